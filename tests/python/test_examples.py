"""Every example runs as its page says, without any provider key: against a server with the twin, or a twin alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from support import eventually, free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NODE_MODULES = ROOT / "tests/node/node_modules"
TIMEOUT_S = 60

# No provider's key may come in from outside: an example must not call one.
PLAIN = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LOG_LEVEL": "error", "PYTHONUNBUFFERED": "1"}


def output_of(*command: str, env: dict[str, str], cwd: Path = ROOT) -> str:
    argv = list(command)
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
    assert done.returncode == 0, f"{command}: {done.stderr}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """The environment of an example that brings its own gateway."""
    return {**PLAIN, "HOME": str(tmp_path)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of an example that calls `gotoai serve --twin`, which runs."""
    home = str(tmp_path_factory.mktemp("served"))
    env = {**PLAIN, "HOME": home, "GOTOAI_DATA_DIR": home}
    # Before the start: a server that runs learns of another process's key a moment later.
    key = json.loads(output_of("gotoai", "keys", "create", "--name", "examples", "--json", env=env))
    command = ["gotoai", "serve", "--twin", "--port", "0", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own program
        try:
            ready = json.loads(first_line(server.stdout))
            yield {**env, "GOTOAI_URL": ready["url"], "GOTOAI_KEY": key["secret"]}
            assert json.loads(output_of("gotoai", "ledger", "verify", "--json", env=env))["ok"]
        finally:
            stop(server)


def stop(process: subprocess.Popen[str]) -> None:
    """Asks it to drain; a second time means at once."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(20)


def first_line(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.readline()


def test_curl(served: dict[str, str]) -> None:
    said = output_of("bash", "examples/curl/first_calls.sh", env=served)
    for part in ("You asked", "x-gotoai-order: ord_", "x-gotoai-charge: 0.0000", '"state":"finalized"', "data: [DONE]"):
        assert part in said


def test_the_python_sdk(served: dict[str, str]) -> None:
    said = output_of(sys.executable, "examples/openai_sdk/chat.py", env=served)
    assert said.count("You asked") == 2
    assert "order ord_" in said
    assert "charge 0.0000" in said
    assert "openai-twin/gpt-4o-mini" in said


@pytest.mark.skipif(not (shutil.which("node") and NODE_MODULES.exists()), reason="no Node here, or its SDK is missing")
def test_the_node_sdk(served: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "openai_sdk/chat.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)  # as `npm install openai` beside the example would do
    said = output_of("node", "chat.mjs", env=served, cwd=tmp_path)
    assert said.count("You asked") == 2
    assert "charge 0.0000" in said


def test_in_process_calls(alone: dict[str, str]) -> None:
    said = output_of(
        sys.executable, "examples/with_twin.py", sys.executable, "examples/in_process/sync_calls.py", env=alone
    )
    for part in ("You asked", "charge=Decimal('0.0000", "2 vectors of", "model_not_found 404", "spent: 0.0000"):
        assert part in said


def test_in_process_calls_under_asyncio(alone: dict[str, str]) -> None:
    said = output_of(
        sys.executable, "examples/with_twin.py", sys.executable, "examples/in_process/async_calls.py", env=alone
    )
    assert said.count("USD: You asked") == 3
    assert "finalized 0.0000" in said


def test_failover(alone: dict[str, str]) -> None:
    said = output_of(sys.executable, "examples/failover/try_it.py", env=alone)
    assert said.splitlines()[1:] == ["1 primary/gpt-4o-mini rejected 503", "2 backup/gpt-4o-mini served 200"]
    assert said.startswith("served by backup/gpt-4o-mini for 0.0000")


def test_a_payment_at_stripe(alone: dict[str, str]) -> None:
    said = output_of(sys.executable, "examples/stripe/paid.py", env=alone)
    assert said.splitlines() == [
        "first 200 top_up team-a booked",
        "second 200 top_up team-a duplicate",
        "team-a has 25.00 USD",
        "top_up psp:stripe:clearing -> wallet:team-a:cash 25.00",
    ]


def test_the_fastapi_app(alone: dict[str, str]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = ["uvicorn", "--app-dir", "examples/fastapi_app", "app:app", "--port", str(port), "--log-level", "error"]
    command = [sys.executable, "examples/with_twin.py", *server]
    env = {**alone, "GOTOAI_MASTER_KEY": "sk-example"}
    # A group of its own: Ctrl-C in a terminal reaches the server as well as the runner, and so must the signal here.
    with subprocess.Popen(command, env=env, cwd=ROOT, start_new_session=True) as process:  # noqa: S603 - our own example
        try:
            eventually(lambda: answers(url) or process.poll() is not None, within_s=20)
            asked = httpx.get(f"{url}/ask", params={"question": "Hello"}).json()
            assert asked["answer"].startswith("You asked")
            assert asked["charge"].startswith("0.0000")
            order = httpx.get(f"{url}/ai/v1/orders/{asked['order']}", headers={"Authorization": "Bearer sk-example"})
            assert order.json()["state"] == "finalized"
            assert httpx.get(f"{url}/ai/v1/models").status_code == 401
        finally:
            os.killpg(process.pid, 2)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ai/health").status_code == 200
    except httpx.TransportError:
        return False
