"""Both HTTP doors answer alike, byte for byte: one table of requests, through the native server and through ASGI."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from support import (
    AUTHORIZED,
    CHAT,
    EMBEDDER,
    MODEL,
    REASONER,
    Door,
    Step,
    dead_url,
    events,
    eventually,
    open_door,
    replay,
)

STREAM = {**CHAT, "stream": True}
THINK = {**CHAT, "model": REASONER}  # an endpoint of its own: its breaker opens
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
DOWN = "llama-3.1-8b-instant"
# Of the connection or of the server, not of the reply.
IGNORED = {"date", "server", "connection", "keep-alive", "transfer-encoding"}
# A span that is running out.
VARYING = {"retry-after"}
ALWAYS = 0  # a step for all requests that follow


@dataclass(frozen=True)
class Case:
    """One request, what the provider is told to do, and the status and error code to expect at both doors."""

    name: str
    status: int = 200
    code: str | None = None
    body: object = field(default_factory=lambda: CHAT)  # bytes are sent as they are, None sends none
    method: str = "POST"
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(default_factory=lambda: AUTHORIZED)
    key: str | None = None
    steps: tuple[Step, ...] = ()


def bare(**headers: str) -> dict[str, str]:
    return headers


CASES = [
    Case("chat"),
    Case("chat without the prefix", path="/chat/completions"),
    Case("chat by provider and model", body={**CHAT, "model": f"openai/{MODEL}"}),
    Case("chat in a mode by suffix", body={**CHAT, "model": f"{MODEL}:cheap"}),
    Case("chat by x-api-key", headers=bare(**{"x-api-key": "sk-test-master"})),
    Case("stream", body=STREAM),
    Case("stream with usage", body={**STREAM, "stream_options": {"include_usage": True}}),
    Case("tools", body={**CHAT, "tools": [TOOL]}),
    Case("streamed tools", body={**STREAM, "tools": [TOOL]}),
    Case("several choices, streamed", body={**STREAM, "n": 3}),
    Case("embeddings", path="/v1/embeddings", body={"model": EMBEDDER, "input": ["a", "b"]}),
    Case("recorded reply", steps=(replay("chat_completion.json"),)),
    Case("recorded stream", body=STREAM, steps=(replay("chat_completion_stream.txt"),)),
    Case("long stream", body=STREAM, steps=({"reply_text": events(2000)},)),
    Case("unknown members", body={**CHAT, "x_new": {"deep": [1, None, "é"]}}),
    Case("large reply", steps=({"reply_text": json.dumps({"text": "x" * (3 << 20)})},)),
    Case("unpriced model", body={**CHAT, "model": "twin-small"}),
    Case("models", method="GET", path="/v1/models", body=None),
    Case("one model", method="GET", path=f"/v1/models/openai/{MODEL}", body=None),
    Case("HEAD", method="HEAD", path="/v1/models", body=None),
    Case("HEAD refused", 405, method="HEAD", body=None),
    Case("health", method="GET", path="/health", body=None, headers=bare()),
    Case("ready", method="GET", path="/health/ready", body=None, headers=bare()),
    Case("OpenAPI", method="GET", path="/openapi.json", body=None, headers=bare()),
    Case("request id kept", headers={**AUTHORIZED, "x-request-id": "mine-1"}),
    Case("request id of a body in it", headers={**AUTHORIZED, "x-request-id": "a b\tc"}),
    Case("broken JSON", 400, "invalid_json", body=b'{"model": "gpt-4o-mini", "messages": ['),
    Case("no body", 400, "invalid_json", body=b""),
    Case("not UTF-8", 400, "invalid_json", body=b'{"model": "\xff"}'),
    Case("a list", 400, "invalid_json", body=[1, 2]),
    Case("no model", 400, "invalid_request", body={"messages": []}),
    Case("messages of a wrong type", 400, "invalid_request", body={"model": MODEL, "messages": "hi"}),
    Case("a mode that is none", 400, "invalid_request", headers={**AUTHORIZED, "x-gotoai-mode": "fast"}),
    Case("unknown model", 404, "model_not_found", body={**CHAT, "model": "gpt-none"}),
    Case("unknown model by GET", 404, "model_not_found", method="GET", path="/v1/models/gpt-none", body=None),
    Case("no key", 401, "missing_api_key", headers=bare()),
    Case("not a bearer", 401, "missing_api_key", headers=bare(authorization="Basic eDp5")),
    Case("invalid key", 401, "invalid_api_key", headers=bare(authorization="Bearer gta_nobody")),
    Case("revoked key", 401, "key_revoked", key="revoked"),
    Case("expired key", 401, "key_expired", key="expired"),
    Case("wrong scope", 403, "insufficient_scope", key="admin"),
    Case("model denied", 403, "model_access_denied", key="restricted"),
    Case("empty wallet", 402, "insufficient_funds", key="poor"),
    Case("unpriced model, prepaid", 402, "model_unpriced", key="poor", body={**CHAT, "model": "twin-small"}),
    Case("body over the limit", 413, "body_too_large", body=b" " * (10 << 20) + b"  "),
    Case("no webhook here", 404, "not_found", path="/webhooks/stripe", body=b"{}", headers=bare()),
    Case("unknown path", 404, "not_found", method="GET", path="/v1/nothing/at%20all?q=%2F", body=None),
    Case("wrong method", 405, "method_not_allowed", method="GET", body=None),
    Case("unknown order", 404, "not_found", method="GET", path="/v1/orders/ord_" + "0" * 32, body=None),
    Case("malformed order", 404, "not_found", method="GET", path="/v1/orders/17", body=None),
    Case("provider down", 502, "provider_unreachable", body={**CHAT, "model": DOWN}),
    Case("provider 500", 500, steps=({"status": 500, "times": ALWAYS},)),
    Case(
        "provider 429",
        429,
        "rate_limit_exceeded",
        body=THINK,
        steps=({"status": 429, "headers": {"retry-after": "60"}},),
    ),
    Case("provider at rest", 503, "circuit_open", body=THINK),
    Case("provider 400", 400, steps=({"status": 400},)),
    Case("provider 401", 502, "provider_rejected", steps=({"status": 401, "times": ALWAYS},)),
    Case("provider error without JSON", 503, "provider_rejected", steps=({"status": 503, "body": "busy", "times": 0},)),
    Case("provider garbage", 502, "provider_invalid_reply", steps=({"garbage": True, "times": ALWAYS},)),
    Case("garbage, streamed", 502, "provider_invalid_reply", body=STREAM, steps=({"garbage": True, "times": ALWAYS},)),
    Case("provider hangs up", 502, "provider_unreachable", steps=({"close": True, "times": ALWAYS},)),
    Case("provider breaks off", 502, "provider_unreachable", steps=({"truncate": 40, "times": ALWAYS},)),
    Case("stream cut", body=STREAM, steps=({"cut_after_events": 3},)),
    Case("stream ended early", body=STREAM, steps=({"end_after_events": 3},)),
    Case("stream with an error event", body=STREAM, steps=({"stream_error_after_events": 2},)),
    Case("stream refused", 500, body=STREAM, steps=({"status": 500, "times": ALWAYS},)),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Door, Door]]:
    with dead_url() as down:
        more = {"GROQ_API_KEY": "sk-down", "GROQ_BASE_URL": down, "GROQ_MODELS": DOWN, "RETRY_MAX_RETRIES": "1"}
        with (
            open_door("native", tmp_path_factory.mktemp("native"), **more) as native,
            open_door("uvicorn", tmp_path_factory.mktemp("asgi"), **more) as asgi,
        ):
            yield native, asgi


@pytest.fixture(scope="module")
def keys(both: tuple[Door, Door]) -> dict[str, dict[str, str]]:
    """Keys of every kind at each door: secrets by name."""
    return {door.name: make_keys(door) for door in both}


def make_keys(door: Door) -> dict[str, str]:
    books = door.site.books
    books.ask("wallet.create", wallet="poor", kind="prepaid")
    books.ask("wallet.topup", wallet="poor", amount="0.000000001", reference="a nano")
    keys = {
        "admin": door.key("admin", scopes=["org_admin"]),
        "restricted": door.key("restricted", models=["o3*"]),
        "poor": door.key("poor", wallet="poor"),
        "expired": str(
            books.ask("keys.create", name="expired", expires_at_ms=round(time.time() * 1000) + 300)["secret"]
        ),
    }
    revoked = books.ask("keys.create", name="revoked")
    books.ask("keys.revoke", id=revoked["id"])
    keys["revoked"] = str(revoked["secret"])
    eventually(lambda: "key_expired" in ask(door, Case("", key="expired"), keys).text)
    eventually(lambda: "key_revoked" in ask(door, Case("", key="revoked"), keys).text)
    return keys


def ask(door: Door, case: Case, keys: Mapping[str, str]) -> httpx.Response:
    headers = dict(case.headers) if case.key is None else {"authorization": f"Bearer {keys[case.key]}"}
    content = case.body if isinstance(case.body, bytes) or case.body is None else json.dumps(case.body).encode()
    if content is not None:
        headers["content-type"] = "application/json"
    return httpx.request(case.method, door.url + case.path, content=content, headers=headers, timeout=30)


def seen(reply: httpx.Response) -> dict[str, Any]:
    """What a client sees, with ids that differ from call to call replaced."""

    def steady(text: str) -> str:
        return re.sub(r"ord_[0-9a-f]{32}", "ord_", text)

    headers = [(name.lower(), steady(value)) for name, value in reply.headers.multi_items()]
    if not reply.request.headers.get("x-request-id", "").startswith("mine"):
        headers = [(name, "" if name == "x-request-id" else value) for name, value in headers]
    headers = [(name, "" if name in VARYING else value) for name, value in headers]
    return {
        "status": reply.status_code,
        "headers": sorted((name, value) for name, value in headers if name not in IGNORED),
        "body": reply.content,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_doors_agree(both: tuple[Door, Door], keys: dict[str, dict[str, str]], case: Case) -> None:
    native, asgi = (through(door, case, keys[door.name]) for door in both)
    assert seen(native) == seen(asgi)
    assert native.status_code == case.status
    if case.code is not None:
        error = native.json()["error"]
        assert error["code"] == case.code
        assert {"message", "type", "param", "code"} == error.keys()
    assert native.headers["x-request-id"]


def through(door: Door, case: Case, keys: Mapping[str, str]) -> httpx.Response:
    door.site.reset()
    door.site.twin.script(*case.steps)
    return ask(door, case, keys)


def test_after_all_of_it_the_books_are_whole(both: tuple[Door, Door], keys: dict[str, dict[str, str]]) -> None:
    eventually(lambda: all(door.site.books.open_orders() == 0 for door in both))
    for door in both:
        assert door.site.run("ledger", "verify")["ok"]
