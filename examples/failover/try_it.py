"""One model at two providers, the first of which is down: who serves, and what the receipt says of it."""

import tempfile
from pathlib import Path

import gotoai
from gotoai.testing import twin

CONFIG = Path(__file__).with_name("gotoai.yaml")

with twin() as primary, twin() as backup, tempfile.TemporaryDirectory() as data_dir:
    primary.script({"status": 503, "times": 0})  # from now on, for every call
    env = {
        "PRIMARY_URL": primary.url,
        "PRIMARY_KEY": "twin",
        "BACKUP_URL": backup.url,
        "BACKUP_KEY": "twin",
        "GOTOAI_DATA_DIR": data_dir,
        "LOG_LEVEL": "error",
    }
    with gotoai.SyncGateway(config=CONFIG, env=env) as gateway:
        reply = gateway.chat.completions.create(model="fast", messages=[{"role": "user", "content": "Hello"}])
        print("served by", reply.endpoint, "for", reply.charge, "USD")
        for attempt in gateway.orders.retrieve(reply.order or "").attempts:
            print(attempt.n, attempt.endpoint, attempt.outcome, attempt.status)
