"""``gotoai serve``: the native server in the foreground. Its options only override environment variables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TWIN_MODEL = "gpt-4o-mini"
TWIN_NOTICE = "The scripted twin is the provider: nothing leaves this machine, and its answers mean nothing."
# Alone it stands in for OpenAI, list prices included, so that a first receipt shows figures. Beside real providers it
# has no price: what has a price is never failed over to what has none.
TWIN_ALONE, TWIN_BESIDE = "openai-twin", "custom-twin"
TWIN_BOOKED = "Its calls are booked at OpenAI's list prices, for show: nobody is paid."


@click.command(
    short_help="Run the native server.",
    epilog=options.examples(
        "gotoai serve",
        "gotoai serve --twin --port 9000",
        "OPENAI_API_KEY=... gotoai serve --data-dir /var/lib/gotoai --host 0.0.0.0",
        "gotoai serve --tls-cert cert.pem --tls-key key.pem --log-level warn",
    ),
)
@click.option("--host", help="Address to listen on (HOST, 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one (PORT, 8080).")
@click.option("--insecure-no-auth", is_flag=True, help="Ask nobody for a key. On a loopback address only.")
@click.option("--twin", is_flag=True, help="Start the scripted provider and serve it, too.")
@click.option("--twin-if-empty", is_flag=True, help="The same, but only when no provider is configured.")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain, PEM (GOTOAI_TLS_CERT).")
@click.option("--tls-key", metavar="FILE", help="Private key, PEM (GOTOAI_TLS_KEY).")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that serve (GOTOAI_WORKERS, one a core).")
@click.option("--log-level", metavar="LEVEL", help="error, warn, info or debug (LOG_LEVEL, info).")
@options.store
def serve(
    host: str | None,
    port: int | None,
    insecure_no_auth: bool,
    twin: bool,
    twin_if_empty: bool,
    tls_cert: str | None,
    tls_key: str | None,
    workers: int | None,
    log_level: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Serves the gateway until SIGINT or SIGTERM; streams that are under way are let finish."""
    env = session.environment(
        data_dir,
        HOST=host,
        PORT=None if port is None else str(port),
        GOTOAI_INSECURE_NO_AUTH="1" if insecure_no_auth else None,
        GOTOAI_TLS_CERT=tls_cert,
        GOTOAI_TLS_KEY=tls_key,
        GOTOAI_WORKERS=None if workers is None else str(workers),
        LOG_LEVEL=log_level,
    )
    with session.errors_shown(as_json):
        run(env, config, wants_twin=twin, wants_twin_if_empty=twin_if_empty, as_json=as_json)


def run(env: dict[str, str], config: str | None, *, wants_twin: bool, wants_twin_if_empty: bool, as_json: bool) -> None:
    """Opens the gateway, with the twin beside it where that is wanted, and serves until it is told to stop."""
    from gotoai._core import Core, Twin

    twin_name, notice = None, None
    if wants_twin or wants_twin_if_empty:
        is_alone, notice = find_no_provider(env, config)
        twin_name = TWIN_ALONE if is_alone else TWIN_BESIDE if wants_twin else None
    twin = Twin.start() if twin_name else None
    try:
        if twin is not None and twin_name is not None:
            prefix = twin_name.upper().replace("-", "_")
            env |= {f"{prefix}_API_KEY": "twin", f"{prefix}_BASE_URL": twin.url, f"{prefix}_MODELS": TWIN_MODEL}
        core = Core.open(env, config=config)
        try:
            key = core.startup_notice() or notice
            core.serve(banner(env, key, twin_name=twin_name, as_json=as_json))
        finally:
            core.close()
    finally:
        if twin is not None:
            twin.close()


def find_no_provider(env: dict[str, str], config: str | None) -> tuple[bool, str | None]:
    """Is no provider configured? Asks the core, which alone knows every way to name one.

    Also returns the platform key, should this have been the first start of all: it is told only once.
    """
    from gotoai._core import Core

    core = Core.open(dict(env), config=config, offline=True)
    try:
        providers = session.Administration(core).ask("models.list").get("providers", [])
        return not providers, core.startup_notice()
    finally:
        core.close()


def banner(env: Mapping[str, str], key: str | None, *, twin_name: str | None, as_json: bool) -> Callable[[str], None]:
    """What is printed once the server listens: where it is, the new platform key, a first call to try."""

    def on_ready(url: str) -> None:
        if as_json:
            twin = twin_name is not None
            render.event({"event": "ready", "url": url, "base_url": f"{url}/v1", "platform_key": key, "twin": twin})
            return
        render.line(f"gotoai serves {url}/v1")
        if twin_name is not None:
            render.line(TWIN_NOTICE)
        if twin_name == TWIN_ALONE:
            render.line(TWIN_BOOKED)
        if key is not None:
            render.line("\nThe platform key was made just now and is shown this once. Keep it:\n")
            render.line(f"  export GOTOAI_MASTER_KEY={key}")
        elif not env.get("GOTOAI_MASTER_KEY") and not is_open(env):
            render.line("\nThe platform key was shown at the first start. To make another:\n")
            render.line("  gotoai keys create --name platform --scope platform --scope chat")
        render.line(f"\nTry:\n\n{first_call(url, env, twin_name=twin_name)}\n")

    return on_ready


def is_open(env: Mapping[str, str]) -> bool:
    """Needs nobody a key?"""
    return env.get("GOTOAI_INSECURE_NO_AUTH", "").lower() in {"1", "true", "yes", "on"}


def first_call(url: str, env: Mapping[str, str], *, twin_name: str | None) -> str:
    """A curl command that works as it stands, once the key is exported; with a twin it certainly calls that."""
    model = f"{twin_name}/{TWIN_MODEL}" if twin_name else "MODEL"
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    lines = [f"  curl {url}/v1/chat/completions"]
    if not is_open(env):
        lines.append('    -H "Authorization: Bearer $GOTOAI_MASTER_KEY"')
    lines += ["    -H 'Content-Type: application/json'", f"    -d '{json.dumps(body)}'"]
    return " \\\n".join(lines)
