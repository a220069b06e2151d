"""What goes wrong, and that nothing is lost by it: clear errors, orders settled once, books that are whole."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import gotoai
from gotoai.testing import Twin
from support import (
    CHAT,
    MESSAGES,
    MODEL,
    REASONER,
    SAID,
    Door,
    Site,
    Step,
    dead_url,
    eventually,
    program,
)

DRAINED = "llama-3.1-8b-instant"  # priced, of a family that computes and bills to the end when a client leaves
UNPRICED = "twin-small"


@pytest.fixture(autouse=True)
def books_stay_whole(site: Site, request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test here: no order is open, and the proof finds nothing."""
    if "native" in request.fixturenames:
        site = request.getfixturevalue("native").site
    yield
    eventually(lambda: site.books.open_orders() == 0)
    proof = site.run("ledger", "verify")
    assert proof["ok"], proof


class Serving:
    """A gateway of the test's own behind the native server, with settings of its own."""

    def __init__(self, site: Site, **more: str) -> None:
        self.gateway = gotoai.SyncGateway(env={**site.env, **more})
        self.door = Door("native", self.gateway.listen(), site)

    def __enter__(self) -> Door:
        return self.door

    def __exit__(self, *_: object) -> None:
        self.gateway.close()


def error_of(reply: httpx.Response) -> dict[str, Any]:
    """The OpenAI envelope's members, all of them there."""
    error: dict[str, Any] = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    return error


BAD_REQUESTS = [
    (b'{"model": ', "invalid_json", None),
    (b"[]", "invalid_json", None),
    (b'{"messages": []}', "invalid_request", "model"),
    (b'{"model": 7, "messages": []}', "invalid_request", "model"),
    (b'{"model": "gpt-4o-mini"}', "invalid_request", "messages"),
    (b'{"model": "gpt-4o-mini", "messages": [], "stream": "yes"}', "invalid_request", "stream"),
    (b'{"model": "gpt-4o-mini", "messages": [], "max_tokens": -1}', "invalid_request", "max_tokens"),
    (b'{"model": "gpt-none", "messages": []}', "model_not_found", "model"),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD_REQUESTS, ids=[body.decode() for body, _, _ in BAD_REQUESTS])
def test_a_bad_request_names_what_is_wrong_and_costs_nothing(
    native: Door, body: bytes, code: str, param: str | None
) -> None:
    spent = native.site.books.wallet()["spent_known"]
    reply = native.post(content=body)
    assert reply.status_code == (404 if code == "model_not_found" else 400)
    error = error_of(reply)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert native.site.calls() == []
    assert native.site.books.wallet()["spent_known"] == spent


PROVIDER_FAULTS: list[tuple[Step, int, str, str | None]] = [
    ({"status": 500}, 500, "server_error", None),
    ({"status": 429}, 429, "requests", "rate_limit_exceeded"),
    ({"status": 401}, 502, "provider_error", "provider_rejected"),
    ({"garbage": True}, 502, "provider_error", "provider_invalid_reply"),
    ({"close": True}, 502, "provider_error", "provider_unreachable"),
    ({"truncate": 30}, 502, "provider_error", "provider_unreachable"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("step", "status", "kind", "code"), PROVIDER_FAULTS, ids=[str(f[0]) for f in PROVIDER_FAULTS])
def test_a_provider_that_keeps_failing(
    native: Door, step: Step, status: int, kind: str, code: str | None, stream: bool
) -> None:
    if stream and "truncate" in step:
        step = {"cut_after_events": 0}
    native.site.twin.script({**step, "times": 0})
    reply = native.post(json={**CHAT, "stream": stream})
    error = error_of(reply)
    assert (reply.status_code, error["type"], error["code"]) == (status, kind, code)
    assert reply.headers["x-gotoai-attempts"] == "3"
    assert len(native.site.calls()) == 3
    order = native.site.books.settled(reply.headers["x-gotoai-order"])
    assert order["charge"] in (None, "0.00"), "nobody pays for what was not served"
    assert len(order["attempts"]) == 3


def test_a_refusal_by_the_provider_is_handed_on_and_not_repeated(native: Door) -> None:
    native.site.twin.script({"status": 400, "times": 0})
    reply = native.post(json=CHAT)
    assert (reply.status_code, error_of(reply)["type"]) == (400, "invalid_request_error")
    assert len(native.site.calls()) == 1


def test_a_passing_failure_is_not_seen_by_the_caller(native: Door) -> None:
    native.site.twin.script({"status": 500}, {"close": True})
    reply = native.post(json=CHAT)
    assert reply.json()["choices"][0]["message"]["content"].startswith(SAID)
    assert reply.headers["x-gotoai-attempts"] == "3"
    order = native.site.books.order(reply.headers["x-gotoai-order"])
    assert [attempt["outcome"] for attempt in order["attempts"]] == ["rejected", "broken", "served"]
    assert (order["state"], order["charge"]) == ("finalized", reply.headers["x-gotoai-charge"])


@pytest.mark.parametrize("step", [{"cut_after_events": 4}, {"end_after_events": 4}], ids=["cut", "ended early"])
def test_a_stream_that_breaks_off_says_so_and_is_charged_as_delivered(native: Door, step: Step) -> None:
    native.site.twin.script(step)
    with native.stream() as reply:
        text = reply.read().decode()
    assert "[DONE]" not in text
    (last,) = text.strip().split("\n\n")[-1:]
    assert '"code":"stream_interrupted"' in last
    order = native.site.books.settled(reply.headers["x-gotoai-order"])
    assert (order["state"], order["finish"], order["usage_source"]) == ("provisional", "provider_cut", "estimated")
    assert order["charge"] not in (None, "0.00")
    assert len(native.site.calls()) == 1, "the caller has seen its beginning: too late for another attempt"


def test_an_error_event_within_a_stream_is_handed_on(native: Door) -> None:
    native.site.twin.script({"stream_error_after_events": 3})
    with native.stream() as reply:
        text = reply.read().decode()
    assert text.count('"error"') == 1
    assert native.site.books.settled(reply.headers["x-gotoai-order"])["finish"] == "provider_error"


def test_a_provider_that_is_down_at_the_start_stops_nobody_else(site: Site) -> None:
    with (
        dead_url() as down,
        Serving(site, GROQ_API_KEY="sk-down", GROQ_BASE_URL=down, GROQ_MODELS=DRAINED) as door,
    ):
        assert door.post(json=CHAT).status_code == 200
        reply = door.post(json={**CHAT, "model": DRAINED})
        assert (reply.status_code, error_of(reply)["code"]) == (502, "provider_unreachable")
        order = site.books.order(reply.headers["x-gotoai-order"])
        assert (order["state"], order["cost"]) == ("released", "0.00"), "nothing was sent, nothing can be billed"
        assert door.get("/health/ready").status_code == 200


def test_the_only_provider_is_down_from_start_to_end(tmp_path: Path, site: Site) -> None:
    with dead_url() as down, Serving(site, OPENAI_BASE_URL=down) as door:
        reply = door.post(json=CHAT)
        assert (reply.status_code, error_of(reply)["code"]) == (502, "provider_unreachable")
        assert door.get("/v1/models").status_code == 200


def test_a_prepaid_wallet_pays_first(site: Site) -> None:
    site.run("wallet", "create", "team")
    with Serving(site) as door:
        key = {"authorization": f"Bearer {door.key('team', wallet='team')}"}
        broke = door.post(json=CHAT, headers=key)
        assert (broke.status_code, error_of(broke)["code"]) == (402, "insufficient_funds")
        assert error_of(broke)["type"] == "insufficient_quota"
        site.run("wallet", "topup", "team", "1.00", "--reference", "invoice 1")
        eventually(lambda: UNPRICED in door.get("/v1/models").text)
        unpriced = door.post(json={**CHAT, "model": UNPRICED}, headers=key)
        assert (unpriced.status_code, error_of(unpriced)["code"]) == (402, "model_unpriced")
        assert site.calls() == [], "nothing is sent that cannot be paid"
        served = door.post(json=CHAT, headers=key)
        assert served.status_code == 200
        wallet = site.books.wallet("team")
        assert wallet["spent_known"] == served.headers["x-gotoai-charge"]
        assert float(wallet["available"]) + float(wallet["spent_known"]) == pytest.approx(1)


@pytest.fixture
def second() -> Iterator[Twin]:
    twin = Twin()
    yield twin
    twin.close()


def twice(second: Twin) -> dict[str, str]:
    """Settings for a second provider with the same models."""
    return {"OPENAI_EAST_API_KEY": "sk-twin", "OPENAI_EAST_BASE_URL": second.url, "OPENAI_EAST_MODELS": MODEL}


FIRST_FAILS: list[Step] = [
    {"status": 500},
    {"status": 404},
    {"status": 429, "headers": {"retry-after": "60"}},
    {"close": True},
    {"garbage": True},
    {"stall": True},
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("step", FIRST_FAILS, ids=str)
def test_another_provider_takes_over(site: Site, second: Twin, step: Step, stream: bool) -> None:
    with Serving(site, HTTP_RESPONSE_HEADER_TIMEOUT="300ms", **twice(second)) as door:
        site.twin.script(step)
        reply = door.post(json={**CHAT, "stream": stream})
        assert reply.status_code == 200
        assert "Say" in reply.text
        assert reply.headers["x-gotoai-attempts"] == "2"
        assert reply.headers["x-gotoai-endpoint"] == f"openai-east/{MODEL}"
        order = site.books.settled(reply.headers["x-gotoai-order"])
    assert [attempt["endpoint"] for attempt in order["attempts"]] == [f"openai/{MODEL}", f"openai-east/{MODEL}"]
    assert (order["state"], order["provider"]) == ("finalized", "openai-east")


@pytest.mark.parametrize("fate", ["cut_after_events", "stream_error_after_events", "stall_after_events"])
def test_a_stream_fails_over_as_long_as_nothing_has_been_said(site: Site, second: Twin, fate: str) -> None:
    with Serving(site, HTTP_IDLE_TIMEOUT="300ms", **twice(second)) as door:
        site.twin.script({fate: 0})
        with door.stream() as reply:
            assert reply.read().endswith(b"data: [DONE]\n\n")
        assert reply.headers["x-gotoai-endpoint"] == f"openai-east/{MODEL}"
        assert reply.headers["x-gotoai-attempts"] == "2"


def test_a_short_retry_after_is_waited_for(site: Site) -> None:
    with Serving(site) as door:
        site.twin.script({"status": 429, "headers": {"retry-after-ms": "400"}})
        reply = door.post(json=CHAT)
        assert (reply.status_code, reply.headers["x-gotoai-attempts"]) == (200, "2")
        assert reply.elapsed.total_seconds() >= 0.4


def test_a_long_retry_after_is_handed_on(site: Site) -> None:
    with Serving(site) as door:
        site.twin.script({"status": 429, "headers": {"retry-after": "60"}})
        reply = door.post(json=CHAT)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "60")
        assert reply.headers["x-gotoai-attempts"] == "1"


def test_the_breaker_opens_for_one_endpoint_and_closes_again(site: Site) -> None:
    breaker = {"CIRCUIT_BREAKER_FAILURE_THRESHOLD": "2", "CIRCUIT_BREAKER_TIMEOUT": "300ms", "RETRY_MAX_RETRIES": "0"}
    with Serving(site, **breaker) as door:
        site.twin.script({"status": 500, "times": 2})
        assert [door.post(json=CHAT).status_code for _ in range(2)] == [500, 500]
        resting = door.post(json=CHAT)
        assert (resting.status_code, error_of(resting)["code"]) == (503, "circuit_open")
        assert resting.headers["retry-after"] == "1"
        assert len(site.calls()) == 2, "an open breaker spares the provider"
        assert door.post(json={**CHAT, "model": REASONER}).status_code == 200, "another endpoint is not concerned"
        eventually(lambda: door.post(json=CHAT).status_code == 200)


def test_a_revoked_key_stops_at_once(native: Door) -> None:
    made = native.site.run("keys", "create", "--name", "leaver")
    native.knows(made["secret"])
    headers = {"authorization": f"Bearer {made['secret']}"}
    assert native.post(json=CHAT, headers=headers).status_code == 200
    argv = [program("gotoai"), "keys", "revoke", made["id"]]
    subprocess.run(argv, env=dict(native.site.env), check=True, capture_output=True)  # noqa: S603 - our own command
    eventually(lambda: native.post(json=CHAT, headers=headers).status_code == 401, within_s=1)
    assert error_of(native.post(json=CHAT, headers=headers))["code"] == "key_revoked"


def test_the_kill_switch_stops_calls_and_nothing_else(site: Site) -> None:
    with Serving(site, GOTOAI_KILL_SWITCH="true") as door:
        reply = door.post(json=CHAT)
        assert (reply.status_code, error_of(reply)["code"]) == (503, "kill_switch")
        assert door.get("/v1/models").status_code == 200


def test_two_gateways_on_one_ledger(site: Site) -> None:
    """Two processes' worth of writers, one chain."""
    with Serving(site) as one, Serving(site) as other:
        failures: list[int] = []

        def work(door: Door) -> None:
            failures.extend(s for s in (door.post(json=CHAT).status_code for _ in range(20)) if s != 200)

        threads = [threading.Thread(target=work, args=(door,)) for door in (one, other) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
    assert site.run("ledger", "verify")["orders"] == 80


def test_without_a_ledger_nothing_is_booked(site: Site) -> None:
    with Serving(site, GOTOAI_LEDGER="off") as door:
        reply = door.post(json={**CHAT, "messages": MESSAGES})
        assert reply.status_code == 200
        assert "x-gotoai-charge" not in reply.headers
    assert site.run("ledger", "verify")["orders"] == 0
