"""Runs a command with the scripted twin as its only provider, and with a ledger that is thrown away afterwards.

python examples/with_twin.py python examples/in_process/sync_calls.py
"""

import os
import subprocess
import sys
import tempfile

from gotoai.testing import twin

with twin() as provider, tempfile.TemporaryDirectory() as data_dir:
    settings = {
        "OPENAI_API_KEY": "twin",
        "OPENAI_BASE_URL": provider.url,
        "OPENAI_MODELS": "gpt-4o-mini,text-embedding-3-small",  # the twin answers to any name; these have a price
        "GOTOAI_DATA_DIR": data_dir,
    }
    try:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, **settings}, check=False).returncode)  # noqa: S603
    except KeyboardInterrupt:
        sys.exit(130)
