"""Requests marked with Idempotency-Key: one order and one charge, whoever asks again, through both HTTP doors."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import AUTHORIZED, CHAT, Door, eventually

STREAM = {**CHAT, "stream": True}


def ask(door: Door, key: str, body: dict[str, Any] = CHAT, **headers: str) -> httpx.Response:
    return door.post(json=body, headers={**AUTHORIZED, "Idempotency-Key": key, **headers})


def code(reply: httpx.Response) -> object:
    return reply.json()["error"]["code"]


def test_the_answer_of_before_byte_by_byte(door: Door) -> None:
    before = len(door.site.calls())
    first, again = ask(door, "k-whole"), ask(door, "k-whole", dict(reversed(CHAT.items())))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    told = ("x-gotoai-order", "x-gotoai-charge", "x-gotoai-endpoint", "content-type")
    assert [again.headers[name] for name in told] == [first.headers[name] for name in told]
    assert len(door.site.calls()) == before + 1


def test_a_stream_is_replayed_as_a_stream(door: Door) -> None:
    first = ask(door, "k-stream", STREAM)
    again = ask(door, "k-stream", STREAM)
    assert again.content == first.content
    assert again.content.rstrip().endswith(b"data: [DONE]")
    assert again.headers["content-type"].startswith("text/event-stream")
    assert again.headers["idempotent-replayed"] == "true"


def test_another_request_under_the_same_key(door: Door) -> None:
    ask(door, "k-reused")
    other = ask(door, "k-reused", {**CHAT, "max_tokens": 5})
    assert (other.status_code, code(other)) == (422, "idempotency_key_reused")
    assert code(ask(door, "k-reused", CHAT, **{"x-gotoai-mode": "cheap"})) == "idempotency_key_reused"


def test_many_at_once_are_one_order(door: Door) -> None:
    before = len(door.site.calls())
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: ask(door, "k-many"), range(20)))
    served = [reply for reply in replies if reply.status_code == 200]
    assert served
    assert len({reply.headers["x-gotoai-order"] for reply in served}) == 1
    assert {code(reply) for reply in replies if reply.status_code != 200} <= {"idempotency_in_progress"}
    assert len(door.site.calls()) == before + 1
    assert ask(door, "k-many").content == served[0].content


def test_keys_belong_to_their_callers(door: Door) -> None:
    one, two = door.key("one"), door.key("two")
    replies = [ask(door, "k-own", CHAT, authorization=f"Bearer {secret}") for secret in (one, two)]
    assert replies[0].headers["x-gotoai-order"] != replies[1].headers["x-gotoai-order"]


def test_what_cost_nothing_leaves_the_key_free(door: Door) -> None:
    door.site.twin.script({"status": 400, "body": {"error": {"message": "no", "type": "invalid_request_error"}}})
    assert ask(door, "k-free").status_code == 400
    assert ask(door, "k-free").status_code == 200


def test_a_cut_stream_is_not_run_again(door: Door) -> None:
    door.site.twin.script({"cut_after_events": 3})
    first = ask(door, "k-cut", STREAM)
    order = first.headers["x-gotoai-order"]
    eventually(lambda: door.site.books.order(order)["state"] != "reserved")
    again = ask(door, "k-cut", STREAM)
    assert (again.status_code, code(again)) == (409, "replay_unavailable")
    assert again.headers["x-gotoai-order"] == order
    assert again.headers["x-gotoai-charge"] == door.site.books.order(order)["charge"]
    assert order in again.json()["error"]["message"]


@pytest.mark.parametrize("key", ["x" * 256, "a b"])
def test_what_is_no_key(door: Door, key: str) -> None:
    reply = ask(door, key)
    assert (reply.status_code, code(reply)) == (400, "invalid_request")


def test_nobody_reads_answers_in_the_file(door: Door) -> None:
    reply = ask(door, "k-sealed")
    text = reply.json()["choices"][0]["message"]["content"].encode()
    folder = Path(door.site.env["GOTOAI_DATA_DIR"])
    stored = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file() and "gotoai.db" in path.name)
    assert b"k-sealed" not in stored
    assert text[:16] not in stored
    assert ask(door, "k-sealed").content == reply.content
