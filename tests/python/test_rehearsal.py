"""The demo's client and its report, against a gateway that is only a few canned replies."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from gotoai.cli import rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

DELTA = b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'
REPLY = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}]}
FAILURE = {"error": {"message": "provider 'openai' failed", "code": "provider_rejected"}}


class Gateway(BaseHTTPRequestHandler):
    """Replies in the order in which the demo asks: whole, stream, failure, cut stream."""

    replies: ClassVar[list[tuple[int, bytes, int]]] = [
        (200, json.dumps(REPLY).encode(), 0),
        (200, DELTA * 2 + b"data: [DONE]\n\n", 0),
        (502, json.dumps(FAILURE).encode(), 0),
        (200, DELTA + b'data: {"choi', 100),  # promises a hundred bytes more than it sends
    ]
    asked: ClassVar[list[dict[str, Any]]] = []
    polls: ClassVar[dict[str, int]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, reply, missing = self.replies[len(self.asked)]
        self.asked.append(body)
        self.send_response(status)
        self.send_header("x-gotoai-order", f"ord_{len(self.asked)}")
        self.send_header("Content-Length", str(len(reply) + missing))
        self.end_headers()
        self.wfile.write(reply)

    def do_GET(self) -> None:
        order = self.path.rsplit("/", 1)[1]
        self.polls[order] = self.polls.get(order, 0) + 1
        is_finished = self.polls[order] > 1  # open at the first look
        receipt = {"order": order, "wallet": "default", "finished_at": "2026-11-21T08:00:00Z" if is_finished else None}
        reply = json.dumps(receipt).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's own name
        """Says nothing."""


class FakeCore:
    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def listen(self) -> str:
        return self.base_url

    def admin(self, operation: str, arguments: bytes) -> bytes:
        answers = {
            "keys.create": {"secret": "gta_x"},
            "ledger.verify": {"ok": True, "checks": []},
            "ledger.order": {"entries": [{"seq": 1, "order": json.loads(arguments).get("id")}]},
            "wallet.balance": {"wallet": "default"},
        }
        return json.dumps(answers[operation]).encode()


class FakeTwin:
    def __init__(self) -> None:
        self.scripts: list[Any] = []

    def script(self, steps: bytes) -> None:
        self.scripts.append(json.loads(steps))


@pytest.fixture
def gateway() -> Iterator[str]:
    Gateway.asked.clear()
    Gateway.polls.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_four_calls_are_made_and_settled(gateway: str) -> None:
    twin = FakeTwin()
    report = rehearsal.perform(FakeCore(gateway), twin)  # type: ignore[arg-type]
    whole, stream, failure, cut = report["calls"]
    assert report["ok"]
    assert report["base_url"] == f"{gateway}/v1"
    assert (whole["text"], whole["ended"]) == ("Hello", "complete")
    assert (stream["text"], stream["events"], stream["ended"]) == ("HelHel", 2, "complete")
    assert (failure["status"], failure["ended"], failure["error"]["code"]) == (502, "error", "provider_rejected")
    assert (cut["text"], cut["events"], cut["ended"]) == ("Hel", 1, "cut")
    assert [call["order"]["order"] for call in report["calls"]] == ["ord_1", "ord_2", "ord_3", "ord_4"]
    assert all(call["order"]["finished_at"] for call in report["calls"])
    assert [entry["order"] for entry in report["entries"]] == ["ord_1", "ord_2", "ord_3", "ord_4"]
    assert report["wallet"] == {"wallet": "default"}
    assert len(twin.scripts) == 4
    assert [body.get("stream", False) for body in Gateway.asked] == [False, True, False, True]


def test_no_real_provider_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "real")
    env = rehearsal.environment("/tmp/x", "http://127.0.0.1:1/v1")  # noqa: S108 # a name only
    assert env["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert "GROQ_API_KEY" not in env
