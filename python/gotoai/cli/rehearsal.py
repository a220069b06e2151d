"""What ``gotoai demo`` does: four calls through a real gateway to the scripted twin, without any key, on the loopback.

A plain call, a streamed one, one whose provider fails and one whose stream is cut. Each is settled; the report holds
the replies, the receipts, the entries and the proof.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gotoai.cli import session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

    from gotoai._core import Core, Twin


# The twin plays a provider whose prices are known, so that there is something to charge.
MODEL = "gpt-4o-mini"
RECEIPT_HEADERS = ("x-gotoai-order", "x-gotoai-endpoint", "x-gotoai-attempts", "x-gotoai-charge")
TIMEOUT_SECONDS = 30.0

# What the twin is told before each call. A failing provider fails more often than the gateway tries.
ANSWERS: list[dict[str, Any]] = []
FAILS: list[dict[str, Any]] = [{"status": 500}] * 10
CUTS: list[dict[str, Any]] = [{"cut_after_events": 3}]


@dataclass
class Call:
    """One call of the demo and what came of it. ``order`` is ``GET /v1/orders/{id}`` once it was settled."""

    title: str
    status: int = 0
    text: str = ""
    events: int = 0
    ended: str = "complete"
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    order: dict[str, Any] = field(default_factory=dict)


class Client:
    """An application: it knows a base URL and a key, and speaks HTTP with the standard library."""

    def __init__(self, base_url: str, key: str) -> None:
        parts = urlsplit(base_url)
        self._place = (parts.hostname or "127.0.0.1", parts.port)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def chat(self, title: str, stream: bool = False) -> Call:
        """Sends one chat completion and reads its answer, however it ends."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 64}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        call = Call(title)
        connection = HTTPConnection(*self._place, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), self._headers)
            response = connection.getresponse()
            call.status = response.status
            call.headers = {name: value for name in RECEIPT_HEADERS if (value := response.headers.get(name))}
            if stream and response.status == 200:
                read_stream(response, call)
            else:
                read_whole(response, call)
        finally:
            connection.close()
        if order := call.headers.get("x-gotoai-order"):
            call.order = self.settled(order)
        return call

    def settled(self, order: str) -> dict[str, Any]:
        """The order's receipt, once it is finished: settlement follows the last byte, so it may take a moment."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            receipt = self._get(f"/v1/orders/{order}")
            if receipt.get("finished_at") or time.monotonic() > deadline:
                return receipt
            time.sleep(0.02)

    def _get(self, path: str) -> dict[str, Any]:
        connection = HTTPConnection(*self._place, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", path, headers=self._headers)
            document: dict[str, Any] = json.loads(connection.getresponse().read())
            return document
        finally:
            connection.close()


def read_whole(response: HTTPResponse, call: Call) -> None:
    """A reply in one piece: the text of the first choice, or the error."""
    document = json.loads(response.read())
    call.error = document.get("error")
    call.ended = "error" if call.error else "complete"
    call.text = "".join(choice["message"].get("content") or "" for choice in document.get("choices", []))


def read_stream(response: HTTPResponse, call: Call) -> None:
    """A streamed reply. It is complete only when its end mark came."""
    call.ended = "cut"
    try:
        for data in events(response):
            if data == "[DONE]":
                call.ended = "complete"
                break
            chunk = json.loads(data)
            call.events += 1
            call.error = chunk.get("error", call.error)
            call.text += "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))
    except (HTTPException, ConnectionError):
        pass  # the cut itself: `ended` says so


def events(response: HTTPResponse) -> Iterator[str]:
    """The data of each server-sent event; a line that was cut in the middle is none."""
    for line in response:
        if line.startswith(b"data:") and line.endswith(b"\n"):
            yield line[5:].strip().decode()


def rehearse() -> dict[str, Any]:
    """Starts the twin and a gateway in a temporary folder, makes the calls, asks the ledger, takes all down again."""
    from gotoai._core import Core, Twin

    with tempfile.TemporaryDirectory(prefix="gotoai-demo-") as folder:
        # Named, so that a gotoai.yaml lying here with real providers is not read.
        settings = Path(folder, "gotoai.yaml")
        settings.write_text("{}\n", encoding="utf-8")
        twin = Twin.start()
        try:
            core = Core.open(environment(folder, twin.url), config=str(settings))
            try:
                return perform(core, twin)
            finally:
                core.close()
        finally:
            twin.close()


def environment(folder: str, twin_url: str) -> dict[str, str]:
    """Settings of the demo. The process's own environment stays out: no real provider can be called by accident."""
    return {
        "HOST": "127.0.0.1",
        "PORT": "0",
        "GOTOAI_DATA_DIR": folder,
        "OPENAI_API_KEY": "twin",
        "OPENAI_BASE_URL": twin_url,
        "OPENAI_MODELS": MODEL,
        "LOG_LEVEL": "error",
    }


def perform(core: Core, twin: Twin) -> dict[str, Any]:
    """The four calls and what the ledger says about them."""
    gateway = session.Administration(core)
    key = gateway.ask("keys.create", name="demo", scopes=["chat"], models=[])
    base_url = core.listen()
    client = Client(base_url, key["secret"])
    calls = []
    for title, script, stream in (
        ("a call", ANSWERS, False),
        ("a stream", ANSWERS, True),
        ("a provider that fails", FAILS, False),
        ("a stream that is cut", CUTS, True),
    ):
        twin.script(json.dumps(script).encode())
        calls.append(client.chat(title, stream))
    orders = [call.order for call in calls if call.order]
    proof = gateway.ask("ledger.verify")
    paid_by = orders[0]["wallet"] if orders else None
    return {
        "ok": bool(proof["ok"]) and as_expected(calls),
        "base_url": f"{base_url}/v1",
        "calls": [asdict(call) for call in calls],
        "entries": [entry for order in orders for entry in gateway.ask("ledger.order", id=order["order"])["entries"]],
        "verify": proof,
        "wallet": gateway.ask("wallet.balance", wallet=paid_by) if paid_by else None,
    }


def as_expected(calls: list[Call]) -> bool:
    """Two calls answer, two do not, and every one that became an order is finished."""
    answered, streamed, failed, cut = calls
    answers = answered.status == 200 and streamed.status == 200 and streamed.ended == "complete"
    settled = all(call.order.get("finished_at") for call in calls if "x-gotoai-order" in call.headers)
    return answers and bool(answered.order) and failed.status >= 500 and cut.ended == "cut" and settled
