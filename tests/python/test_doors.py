"""What every HTTP door must do alike: native, uvicorn, granian."""

import httpx
import pytest

from support import eventually


def open_exchanges(url: str) -> int:
    return int(httpx.get(f"{url}/v1/open").text)


def test_a_whole_reply_arrives_as_the_router_made_it(door_url: str) -> None:
    body = bytes(range(256)) * 40
    reply = httpx.post(f"{door_url}/v1/echo", content=body, headers={"content-type": "application/x-test"})
    assert reply.status_code == 200
    assert reply.content == body
    assert reply.headers["content-type"] == "application/x-test"
    assert reply.headers["content-length"] == str(len(body))


def test_a_large_body_goes_both_ways(door_url: str) -> None:
    body = b"0123456789abcdef" * (512 << 10)  # 8 MiB
    assert httpx.post(f"{door_url}/v1/echo", content=body, timeout=30).content == body


def test_a_chunked_request_body_is_put_together(door_url: str) -> None:
    reply = httpx.post(f"{door_url}/v1/echo", content=(bytes([n]) * 1000 for n in range(20)))
    assert reply.content == b"".join(bytes([n]) * 1000 for n in range(20))


def test_a_body_over_the_limit_is_refused_by_the_router(door_url: str) -> None:
    assert httpx.post(f"{door_url}/v1/echo", content=b"x" * ((10 << 20) + 1), timeout=30).status_code == 413


def test_path_and_query_stay_as_the_client_wrote_them(door_url: str) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", door_url)
        request.url = request.url.copy_with(raw_path=b"/v1/target?a=%2F+b&c=%C3%A9")
        assert client.send(request).text == "/v1/target?a=%2F+b&c=%C3%A9"


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_head_has_the_headers_of_get_and_no_body(door_url: str, path: str) -> None:
    headers = {"authorization": "Bearer sk-test-master"}
    head, get = httpx.head(door_url + path, headers=headers), httpx.get(door_url + path, headers=headers)
    assert head.status_code == get.status_code == 200
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.content == b""


def test_no_content_has_neither_body_nor_length(door_url: str) -> None:
    reply = httpx.get(f"{door_url}/v1/empty")
    assert (reply.status_code, reply.content) == (204, b"")
    assert "content-length" not in reply.headers


def test_nobody_is_trusted_over_http(door_url: str) -> None:
    assert httpx.get(f"{door_url}/v1/models").status_code == 401


def test_a_stream_is_never_held_back(door_url: str) -> None:
    """The first event arrives although the second one is a minute away."""
    with httpx.stream("GET", f"{door_url}/v1/stream/2/60000") as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        assert next(reply.iter_raw()) == b"data: 0\n\n"


def test_a_long_stream_arrives_whole(door_url: str) -> None:
    with httpx.stream("GET", f"{door_url}/v1/stream/20000/0") as reply:
        text = "".join(reply.iter_text())
    assert text == "".join(f"data: {n}\n\n" for n in range(20000))


def test_a_client_that_leaves_a_stream_is_noticed(door_url: str) -> None:
    with httpx.stream("GET", f"{door_url}/v1/stream/2/60000") as reply:
        chunks = reply.iter_raw()  # dropped, it would close the connection
        next(chunks)
        assert open_exchanges(door_url) == 1
    eventually(lambda: open_exchanges(door_url) == 0)


def test_a_client_that_leaves_before_the_reply_is_noticed(door_url: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{door_url}/v1/slow", timeout=httpx.Timeout(5, read=0.5))
    eventually(lambda: open_exchanges(door_url) == 0)


def test_a_reply_that_breaks_off_does_not_look_complete(door_url: str) -> None:
    with httpx.stream("GET", f"{door_url}/v1/cut") as reply:
        assert reply.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            reply.read()
