"""A payment at Stripe fills a wallet: a sample event, signed as Stripe signs it, sent twice; then what the ledger says.

With a real account, let Stripe send to ``https://your-host/webhooks/stripe``, or on your machine:
``stripe listen --forward-to localhost:8080/webhooks/stripe``, which prints the secret for GOTOAI_STRIPE_WEBHOOK_SECRET;
events of test mode are booked only with GOTOAI_STRIPE_TEST_MODE=on.
"""

import hmac
import json
import tempfile
import time

import gotoai
from gotoai.testing import twin

SECRET = "whsec_example"  # noqa: S105 - of nobody

# What Stripe sends when a payment made with metadata={"wallet": "team-a"} has succeeded, shortened.
EVENT = {
    "id": "evt_example",
    "object": "event",
    "livemode": True,
    "type": "payment_intent.succeeded",
    "created": int(time.time()),
    "api_version": "2025-10-29.clover",
    "data": {
        "object": {
            "id": "pi_example",
            "object": "payment_intent",
            "amount_received": 2500,  # cents
            "currency": "usd",
            "metadata": {"wallet": "team-a"},
        }
    },
}


def signed(body: bytes) -> list[tuple[bytes, bytes]]:
    stamp = str(int(time.time()))
    tag = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    return [(b"stripe-signature", f"t={stamp},v1={tag}".encode())]


with twin() as provider, tempfile.TemporaryDirectory() as data_dir:
    env = {"OPENAI_API_KEY": "twin", "OPENAI_BASE_URL": provider.url, "GOTOAI_DATA_DIR": data_dir, "LOG_LEVEL": "error"}
    with gotoai.SyncGateway(env=env, stripe_webhook_secret=SECRET) as gateway:
        gateway.admin("wallet.create", wallet="team-a", kind="prepaid")
        body = json.dumps(EVENT).encode()
        for delivery in ("first", "second"):
            status, _, answer = gateway.request("POST", "/webhooks/stripe", body, signed(body))
            told = json.loads(answer) if isinstance(answer, bytes) else {}
            for line in told["booked"]:
                print(delivery, status, line["what"], line["wallet"], "duplicate" if line["duplicate"] else "booked")
        print("team-a has", gateway.admin("wallet.balance", wallet="team-a")["available"], "USD")
        for entry in gateway.admin("ledger.entries", wallet="team-a")["entries"]:
            for posting in entry["postings"]:
                print(entry["kind"], posting["debit"], "->", posting["credit"], posting["amount"])
