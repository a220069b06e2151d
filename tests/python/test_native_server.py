"""The native server: protocols, TLS, start errors, drain, signals."""

import signal
import socket
import ssl
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
import trustme

import gotoai
from support import AUTHORIZED, CHAT, Child, Site, events, eventually


def stream(url: str) -> AbstractContextManager[httpx.Response]:
    content = {**CHAT, "stream": True}
    return httpx.stream("POST", f"{url}/v1/chat/completions", json=content, headers=AUTHORIZED)


def test_http2_with_prior_knowledge_and_http1(gateway: gotoai.SyncGateway, site: Site) -> None:
    url = gateway.listen()
    assert gateway.listen() == url, "a second call finds the server running"
    site.twin.script({"reply_text": events(3)})
    with httpx.Client(http1=False, http2=True) as client:
        assert client.get(f"{url}/health").http_version == "HTTP/2"
        reply = client.post(f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, headers=AUTHORIZED)
        assert (reply.http_version, reply.text) == ("HTTP/2", events(3))
    assert httpx.get(f"{url}/health").http_version == "HTTP/1.1"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, trustme.CA]:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return cert, key, authority


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_tls_agrees_on_the_protocol(
    certificate: tuple[Path, Path, trustme.CA], site: Site, http2: bool, version: str
) -> None:
    cert, key, authority = certificate
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with gotoai.SyncGateway(env=site.env, tls_cert=cert, tls_key=key) as gateway:
        url = gateway.listen()
        assert url.startswith("https://")
        with httpx.Client(verify=context, http2=http2) as client:
            assert client.get(f"{url}/health").http_version == version


def test_a_key_that_does_not_fit_is_refused_at_start(
    certificate: tuple[Path, Path, trustme.CA], site: Site, tmp_path: Path
) -> None:
    cert, _, authority = certificate
    other = tmp_path / "other.pem"
    other.write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
    with (
        gotoai.SyncGateway(env=site.env, tls_cert=cert, tls_key=other) as gateway,
        pytest.raises(gotoai.errors.ConfigurationError, match="GOTOAI_TLS_KEY"),
    ):
        gateway.listen()


def test_a_port_that_is_taken_is_an_error_not_a_share(gateway: gotoai.SyncGateway, site: Site, tmp_path: Path) -> None:
    port = httpx.URL(gateway.listen()).port
    assert port is not None
    with (
        gotoai.SyncGateway(env=site.env, data_dir=tmp_path / "second", port=port) as second,
        pytest.raises(gotoai.errors.ConfigurationError, match="another process listens there"),
    ):
        second.listen()


def test_drain_lets_a_stream_finish_and_accepts_nothing_new(gateway: gotoai.SyncGateway, site: Site) -> None:
    url = gateway.listen()
    site.twin.script({"reply_text": events(4), "gap_ms": 100})
    with stream(url) as reply:
        chunks = reply.iter_raw()
        first = next(chunks)
        closing = threading.Thread(target=gateway.close)
        closing.start()
        assert first + b"".join(chunks) == events(4).encode()
    closing.join(10)
    assert not closing.is_alive()
    assert site.books.order(reply.headers["x-gotoai-order"])["finish"] == "complete"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_drain_ends_at_its_limit(site: Site) -> None:
    gateway = gotoai.SyncGateway(env=site.env, drain_seconds=0)
    site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    with stream(gateway.listen()) as reply:
        chunks = reply.iter_raw()
        next(chunks)
        gateway.close()
        with pytest.raises(httpx.RemoteProtocolError):
            next(chunks)


def test_an_idle_connection_does_not_delay_the_end(gateway: gotoai.SyncGateway) -> None:
    url = httpx.URL(gateway.listen())
    with socket.create_connection((url.host, url.port or 0)), httpx.Client() as client:
        client.get(url.join("/health"))
        closing = threading.Thread(target=gateway.close)
        closing.start()
        closing.join(3)
        assert not closing.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_well_on_a_signal_and_lets_streams_finish(site: Site, number: signal.Signals) -> None:
    site.twin.script({"reply_text": events(4), "gap_ms": 100})
    with Child.native(site.env) as server:
        with stream(server.url) as reply:
            chunks = reply.iter_raw()
            got = next(chunks)
            server.process.send_signal(number)
            got += b"".join(chunks)
        assert got == events(4).encode()
        assert server.process.wait(10) == 0, server.errors()
    assert site.books.order(reply.headers["x-gotoai-order"])["finish"] == "complete"
    assert site.run("ledger", "verify")["ok"]


def test_a_second_signal_cuts_what_is_in_flight(site: Site) -> None:
    site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    with Child.native(site.env) as server:
        with stream(server.url) as reply:
            chunks = reply.iter_raw()
            next(chunks)
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: _refused(server.url))
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                next(chunks)
        assert server.process.wait(timeout=3) == 0
    assert site.books.settled(reply.headers["x-gotoai-order"])["finish"] == "client_left"


def _refused(url: str) -> bool:
    try:
        httpx.get(f"{url}/health")
    except httpx.TransportError:
        return True
    return False


def test_serving_puts_signal_handlers_back(site: Site) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    core = gotoai._core.Core.open(dict(site.env))
    core.serve(lambda _: threading.Timer(0.05, core.close).start())
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    core.close()
