"""The official OpenAI SDK for Node, unmodified, through both HTTP doors; the checks: tests/node/compatibility.mjs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import MASTER_KEY, RECORDED, Door

NODE = Path(__file__).parents[1] / "node"
SCRIPT = NODE / "compatibility.mjs"


def node() -> str:
    """The program. Where it or the SDK is missing, the test is skipped, but fails on the machine meant to check it."""
    found = shutil.which("node")
    if found is not None and (NODE / "node_modules" / "openai").is_dir():
        return found
    missing = "node is not installed" if found is None else "tests/node/node_modules is missing: run `npm ci` there"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def test_the_sdk_for_node(door: Door) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "OPENAI_BASE_URL": door.base_url,
        "OPENAI_API_KEY": MASTER_KEY,
        "TWIN_URL": door.site.twin.url.removesuffix("/v1") + "/twin",
        "RECORDED": str(RECORDED),
    }
    done = subprocess.run([node(), SCRIPT], env=env, capture_output=True, check=False, timeout=120)  # noqa: S603 - ours
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert done.stdout.decode().count("ok ") == SCRIPT.read_text("utf-8").count("  async ")
