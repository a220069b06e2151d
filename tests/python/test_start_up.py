"""What keeps the start short, as facts: what is not loaded. The times themselves are measured by the benchmark."""

import subprocess
import sys

import pytest

from support import Site, program


def loaded_by(code: str, *suspects: str) -> list[str]:
    """Which of ``suspects`` a fresh interpreter has loaded after ``code``."""
    report = f"import sys; {code}; print(*(name for name in {suspects!r} if name in sys.modules))"
    argv = [sys.executable, "-c", report]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603 - our own code


@pytest.mark.parametrize("code", ["import gotoai", "import gotoai; gotoai.errors.GatewayError"])
def test_importing_the_package_loads_nothing_that_its_first_use_needs(code: str) -> None:
    assert loaded_by(code, "asyncio", "http", "click", "rich", "typing_extensions") == []


def test_the_command_line_loads_no_more_than_a_command_needs() -> None:
    suspects = ("rich", "asyncio", "http.client", "gotoai._asgi", "gotoai._async", "tempfile")
    assert loaded_by("import gotoai.cli.main", *suspects) == []


def test_the_server_starts_without_what_the_other_commands_need() -> None:
    code = "from gotoai.cli.main import program; program(['serve', '--help'], standalone_mode=False)"
    others = [f"gotoai.cli.{name}" for name in ("ledger", "keys", "statement", "export")]
    assert loaded_by(code, "gotoai.cli.serve", *others)[-1:] == ["gotoai.cli.serve"]


def test_a_synchronous_caller_never_pays_for_asyncio() -> None:
    assert loaded_by("import gotoai; gotoai.SyncGateway", "asyncio", "gotoai._async", "gotoai._asgi") == []


def test_the_program_says_its_version(site: Site) -> None:
    argv = [program("gotoai"), "--version"]
    said = subprocess.run(argv, env=dict(site.env), check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours
    assert said.startswith("gotoai 0.")
