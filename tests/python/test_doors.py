"""What every HTTP door must do alike: native, and mounted in FastAPI under uvicorn and granian."""

import json
from collections.abc import Iterator

import httpx
import pytest

from support import AUTHORIZED, CHAT, Door, events, eventually, replay


def test_a_whole_reply_arrives_as_the_provider_sent_it(any_door: Door) -> None:
    odd = '{ "zoë" : "\\u00e9\t",\n\n "n": 1e2, "n": 3 }\n'.replace("\t", "\\t")
    any_door.site.twin.script({"reply_text": odd, "content_type": "application/json; odd=1"})
    reply = any_door.post(json=CHAT)
    assert (reply.status_code, reply.text) == (200, odd)
    assert reply.headers["content-type"] == "application/json; odd=1"
    assert reply.headers["content-length"] == str(len(odd.encode()))


def test_a_large_body_goes_both_ways(any_door: Door) -> None:
    text = "0123456789abcdef" * (512 << 10)  # 8 MiB
    any_door.site.twin.script({"reply_text": json.dumps({"text": text})})
    reply = any_door.post(json={**CHAT, "messages": [{"role": "user", "content": text}]})
    assert reply.json()["text"] == text
    assert any_door.site.calls()[0]["body"]["messages"][0]["content"] == text


def test_a_chunked_request_body_is_put_together(any_door: Door) -> None:
    body = json.dumps(CHAT).encode()

    def bytewise() -> Iterator[bytes]:
        yield from (body[n : n + 1] for n in range(len(body)))

    assert any_door.post(content=bytewise()).status_code == 200
    assert any_door.site.calls()[0]["body"] == CHAT


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_body_over_the_limit_is_refused(any_door: Door, declared: bool) -> None:
    body = b" " * ((10 << 20) + 1)
    try:
        reply = any_door.post(content=body if declared else iter([body[: 5 << 20], body[5 << 20 :]]))
    except (httpx.WriteError, httpx.ReadError):
        # A server may hang up rather than read what it has refused; then the refusal can get lost on the way.
        return
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (b"/v1/no%2Fthing/c%C3%A9?a=%2F+b", "there is no '/v1/no%2Fthing/c%C3%A9' here"),
        (b"/v1/models/a%2Fb%20c", "the model 'a/b c' does not exist"),
    ],
)
def test_the_path_stays_as_the_client_wrote_it(any_door: Door, path: bytes, told: str) -> None:
    mount = httpx.URL(any_door.url)
    assert told in httpx.get(mount.copy_with(raw_path=mount.raw_path.rstrip(b"/") + path), headers=AUTHORIZED).text


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_head_has_the_headers_of_get_and_no_body(any_door: Door, path: str) -> None:
    head, get = httpx.head(any_door.url + path, headers=AUTHORIZED), any_door.get(path)
    assert head.status_code == get.status_code == 200
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.content == b""


def test_nobody_is_trusted_over_http(any_door: Door) -> None:
    assert any_door.get("/v1/models", headers={}).status_code == 401


def test_a_stream_is_never_held_back(any_door: Door) -> None:
    """The first event arrives although the second one never comes."""
    any_door.site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    with any_door.stream() as reply:
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert next(reply.iter_text()) == events(1).split("\n\n")[0] + "\n\n"


def test_a_long_stream_arrives_whole(any_door: Door) -> None:
    any_door.site.twin.script({"reply_text": events(5000)})
    with any_door.stream() as reply:
        assert reply.read().decode() == events(5000)


def test_a_recorded_stream_arrives_byte_for_byte(any_door: Door) -> None:
    recorded = replay("chat_completion_stream.txt")
    any_door.site.twin.script(recorded)
    with any_door.stream() as reply:
        assert reply.read().decode() == recorded["reply_text"]


def test_a_client_that_leaves_a_stream_is_noticed(any_door: Door) -> None:
    """All the way up: the provider sees the connection close, so that it stops computing."""
    any_door.site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    with any_door.stream() as reply:
        chunks = reply.iter_raw()  # dropped, it would close the connection
        next(chunks)
        assert any_door.site.books.open_orders() == 1
    assert any_door.site.books.settled(reply.headers["x-gotoai-order"])["finish"] == "client_left"
    eventually(lambda: any_door.site.steer("requests")["counters"]["client_gone"] == 1)


def test_a_client_that_leaves_before_the_reply_pays_for_what_was_computed(any_door: Door) -> None:
    any_door.site.twin.script({"delay_ms": 600})
    with pytest.raises(httpx.ReadTimeout):
        any_door.post(json=CHAT, timeout=httpx.Timeout(5, read=0.2))
    eventually(lambda: any_door.site.books.open_orders() == 0)
    (entry,) = any_door.site.books.ask("ledger.entries", limit=10_000)["entries"][-1:]
    assert entry["kind"] == "finalize"
    assert entry["payload"]["finish"] == "complete"
