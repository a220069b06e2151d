"""What the README and the pages it links to must say: every setting, command, metric, error code and operation."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import gotoai
import gotoai.testing
from gotoai import _core
from gotoai.cli.main import program

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SETTINGS = (ROOT / "src/app/settings/reference.rs").read_text(encoding="utf-8")
TELEMETRY = (ROOT / "src/adapters/telemetry" / name for name in ("metrics.rs", "ledger_gauges.rs"))
METRICS = "".join(path.read_text(encoding="utf-8") for path in TELEMETRY)


def linked(page: Path) -> Iterator[Path]:
    """The files of this repository that a page links to."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            yield page.parent / target


PAGES = [ROOT / "README.md", *(page for page in linked(ROOT / "README.md") if page.suffix == ".md")]
TOLD = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def commands(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{path} {name}")
    else:
        yield path


def operations() -> list[str]:
    with gotoai.testing.gateway_with_twin() as (gateway, _), pytest.raises(gotoai.errors.NotFoundError) as refused:
        gateway.admin("no such operation")
    return refused.value.message.split("there are: ")[1].split(", ")


def test_links_lead_somewhere() -> None:
    lost = [f"{page.name}: {target}" for page in PAGES for target in linked(page) if not target.exists()]
    assert lost == []


def test_the_tables_from_the_code_are_up_to_date() -> None:
    script = str(ROOT / "scripts/reference")
    done = subprocess.run([sys.executable, script, "--check"], check=False)  # noqa: S603 - our own script
    assert done.returncode == 0, "run: .venv/bin/python scripts/reference"


def test_every_setting_is_told() -> None:
    names = set(re.findall(r'\b(?:row|secret)\(\s*"([A-Z][^"]*|<FAMILY>[^"]*)"', SETTINGS))
    assert len(names) > 30
    assert [name for name in sorted(names) if f"`{name}`" not in TOLD] == []


def test_every_command_is_told() -> None:
    assert [path for path in commands(program, "gotoai") if f"`{path}" not in TOLD] == []


def test_every_metric_is_told() -> None:
    names = re.findall(r'registry\.register\("(\w+)"', METRICS)
    assert len(names) == 17
    assert [name for name in names if f"`gotoai_{name}" not in TOLD] == []


def test_every_error_is_told_with_its_status_and_type() -> None:
    rows = [f"| `{code}` | {status} | `{type_}` |" for code, status, type_ in _core.error_kinds()]
    assert [row for row in rows if row not in TOLD] == []


def test_every_administrative_operation_is_told() -> None:
    assert [name for name in operations() if f"| `{name}` |" not in TOLD] == []
