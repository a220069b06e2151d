"""The command line against a core that only remembers what it was asked."""

from __future__ import annotations

import json
import re
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner, Result

from gotoai.cli import keys, main, rehearsal, render, serve, session
from gotoai.cli.catalog import further

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

KEY = {
    "id": "key_1",
    "name": "app [prod]",
    "secret": "gta_secret",
    "hint": "gta_...ret",
    "scopes": ["chat"],
    "models": [],
    "user_path": None,
    "expires_at": None,
    "wallet": None,
    "created_at": "2026-11-21T08:00:00.000Z",
    "status": "active",
}
WALLET = {
    "wallet": "team-a",
    "kind": "prepaid",
    "currency": "USD",
    "available": "24.999999999999999999",  # more digits than a float holds
    "held": "0.00",
    "cash": "25.00",
    "owed": "0.00",
    "credit_limit": None,
    "spent_known": "0.0000071",
    "spent_uncertain_max": "0.00",
    "unpriced_orders": 0,
    "open_orders": 0,
}
ENTRY = {
    "seq": 7,
    "ts": "2026-11-21T08:00:00.000Z",
    "kind": "finalize",
    "order": "ord_1",
    "op": None,
    "actor": "gateway",
    "postings": [
        {"debit": "wallet:team-a", "credit": "hold:team-a", "amount": "0.0000071", "code": "release"},
        {"debit": "wallet:team-a", "credit": "revenue", "amount": "0.0000071", "code": "charge"},
    ],
}
RECEIPT = {
    "order": "ord_1",
    "state": "finalized",
    "wallet": "team-a",
    "model": "gpt-4o-mini",
    "hold": "0.01",
    "charge": "0.0000071",
    "usage": {"input_uncached": 9, "output_text": 3},
    "attempts": [{"n": 1, "endpoint": "openai/gpt-4o-mini", "outcome": "served", "status": 200}],
    "finished_at": "2026-11-21T08:00:01.000Z",
    "entries": [ENTRY],
}
PROOF = {
    "ok": True,
    "checks": [{"id": "chain", "title": "Every entry follows its predecessor", "ok": True, "findings": []}],
    "events": 3,
    "postings": 5,
    "orders": 1,
    "head": {"block": 2, "hash": "abc"},
}
RECONCILED = {
    "ok": True,
    "provider": "openai",
    "from": "2026-11-20",
    "to": "2026-11-20",
    "matched_by": ["day", "model"],
    "rows": 1,
    "repeated": 0,
    "foreign": 0,
    "left_out": 0,
    "unread": [{"row": 2, "why": "it has no cost"}],
    "unread_rows": 1,
    "compared": 1,
    "matched": 0,
    "gaps": [
        {
            "id": "gap_1",
            "class": "price_version",
            "meaning": "the same tokens at another price",
            "beyond_tolerance": False,
            "day": "2026-11-20",
            "model": "gpt-4o",
            "key": None,
            "theirs": {"requests": 1, "usage": {"input_uncached": 9, "seconds": 4}, "cost": "0.02"},
            "ours": {"orders": 1, "usage": {"input_uncached": 9}, "cost": "0.01"},
        }
    ],
    "proposals": [{"finding": "gap_1", "debit": "a", "credit": "b", "amount": "0.01", "reason": "billed higher"}],
    "totals": {
        "theirs": {"requests": 1, "usage": {"input_uncached": 9}, "cost": "0.02", "tax": "0.00"},
        "ours": {"orders": 1, "usage": {"input_uncached": 9}, "cost": "0.01"},
        "difference": "0.01",
    },
}
BOOK = {"dated": "2026-11-01", "models": [{"provider": "openai", "id": "gpt-4o-mini", "input_per_mtok": "0.15"}]}
MODELS = {
    "models": [{"id": "gpt-4o-mini", "endpoints": [{"id": "openai/gpt-4o-mini", "provider": "openai"}]}],
    "providers": [{"name": "openai", "family": "openai", "status": "ok"}],
}
REPORT = {
    "ok": True,
    "checks": [{"id": "clock", "title": "Clock", "status": "ok", "detail": "in step", "advice": None}],
}

# A command line, the operation it leads to with its arguments, and the core's answer.
COMMANDS: list[tuple[list[str], str, dict[str, Any], dict[str, Any]]] = [
    (["keys", "create", "--name", "app"], "keys.create", {"name": "app", "scopes": ["chat"], "models": []}, KEY),
    (
        ["keys", "create", "--name", "x", "--scope", "platform", "--model", "a/*", "--model", "b", "--user-path", "/t"],
        "keys.create",
        {"name": "x", "scopes": ["platform"], "models": ["a/*", "b"], "user_path": "/t"},
        KEY,
    ),
    (["keys", "list"], "keys.list", {}, {"keys": [KEY]}),
    (["keys", "revoke", "key_1"], "keys.revoke", {"id": "key_1"}, KEY),
    (["wallet", "create", "team-a"], "wallet.create", {"wallet": "team-a", "kind": "prepaid"}, WALLET),
    (
        ["wallet", "create", "p", "--postpaid", "--credit-limit", "500.00"],
        "wallet.create",
        {"wallet": "p", "kind": "postpaid", "credit_limit": "500.00"},
        WALLET,
    ),
    (["wallet", "balance", "team-a"], "wallet.balance", {"wallet": "team-a"}, WALLET),
    (["wallet", "list"], "wallet.list", {}, {"wallets": [WALLET]}),
    (
        ["ledger", "entries", "--wallet", "team-a", "--after-seq", "3", "--limit", "5"],
        "ledger.entries",
        {"wallet": "team-a", "after_seq": 3, "limit": 5},
        {"entries": [ENTRY], "next_after": 7},
    ),
    (["ledger", "order", "ord_1"], "ledger.order", {"id": "ord_1"}, RECEIPT),
    (["ledger", "verify"], "ledger.verify", {}, PROOF),
    (["models"], "models.list", {}, MODELS),
    (["prices", "--search", "gpt"], "prices.list", {"search": "gpt"}, BOOK),
    (
        ["prices", "refresh", "--path", "b.json"],
        "prices.refresh",
        {"path": "b.json"},
        {"dated": "2026-11-02", "models": 9},
    ),
    (["doctor"], "doctor", {}, REPORT),
]


class FakeCore:
    """Answers every operation with what the test has put down for it."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any] | Exception] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.env: Mapping[str, str] = {}
        self.config: str | None = None
        self.closed = 0

    def admin(self, operation: str, arguments: bytes) -> bytes:
        self.asked.append((operation, json.loads(arguments)))
        answer = self.answers[operation]
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def core_error(monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    """The native error class; a stand-in where the native module is not built."""
    try:
        from gotoai._core import CoreError
    except ImportError:
        module = ModuleType("gotoai._core")
        fake: type[Exception] = type("CoreError", (Exception,), {})
        module.__dict__.update(CoreError=fake, __version__="0.0.0")
        monkeypatch.setitem(sys.modules, "gotoai._core", module)
        return fake
    return CoreError


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> FakeCore:
    fake = FakeCore()

    def open_core(env: Mapping[str, str], config: str | None) -> FakeCore:
        fake.env, fake.config = env, config
        return fake

    monkeypatch.setattr(session, "open_core", open_core)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.program, list(arguments))


@pytest.mark.parametrize(
    ("line", "operation", "arguments", "answer"), [pytest.param(*one, id=" ".join(one[0])) for one in COMMANDS]
)
class TestEveryCommand:
    def test_json_is_the_answer_and_nothing_else(
        self, core: FakeCore, line: list[str], operation: str, arguments: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        core.answers[operation] = answer
        result = run(*line, "--json", "--data-dir", "/d", "--config", "c.yaml")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout) == answer
        assert result.stderr == ""
        assert core.asked == [(operation, arguments)]
        assert (core.env["GOTOAI_DATA_DIR"], core.config, core.closed) == ("/d", "c.yaml", 1)

    def test_people_get_tables(
        self, core: FakeCore, line: list[str], operation: str, arguments: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        core.answers[operation] = answer
        result = run(*line)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.strip()
        assert "{" not in result.stdout

    def test_a_refusal_is_a_message_and_an_exit_code(
        self,
        core: FakeCore,
        core_error: type[Exception],
        line: list[str],
        operation: str,
        arguments: dict[str, Any],
        answer: dict[str, Any],
    ) -> None:
        core.answers[operation] = core_error("storage", "the disk is full")
        result = run(*line, "--json")
        assert (result.exit_code, result.stdout, core.closed) == (1, "", 1)
        assert json.loads(result.stderr) == {"error": {"code": "storage", "message": "the disk is full"}}
        plain = run(*line)
        assert (plain.exit_code, plain.stdout) == (1, "")
        assert "the disk is full" in plain.stderr


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        (["ledger", "verify"], "ledger.verify"),
        (["ledger", "reconcile", "--full"], "ledger.reconcile"),
        (["ledger", "rebuild"], "ledger.rebuild"),
        (["ledger", "export", "books"], "ledger.export"),
    ],
)
def test_who_waits_is_told_how_far_it_is(
    core: FakeCore, core_error: type[Exception], monkeypatch: pytest.MonkeyPatch, line: list[str], operation: str
) -> None:
    """The work ends only when somebody has asked how far it is."""
    asked = threading.Event()
    answer = core.admin

    def admin(name: str, arguments: bytes) -> bytes:
        if name == operation:
            assert asked.wait(10)
        elif name == "ledger.progress":
            asked.set()
        return answer(name, arguments)

    monkeypatch.setattr(core, "admin", admin)
    monkeypatch.setattr(session, "PROGRESS_EVERY_S", 0.01)
    core.answers = {
        operation: core_error("conflict", "how it ends is not looked at"),
        "ledger.progress": {"entries": 20_000, "of": 78_900},
    }
    assert "20000 of 78900 entries" in run(*line).stderr


def test_the_callers_mistake_is_exit_code_2(core: FakeCore, core_error: type[Exception]) -> None:
    core.answers["wallet.topup"] = core_error("invalid_request", "'abc' is not a decimal amount")
    assert run("wallet", "topup", "w", "abc", "--reference", "r").exit_code == 2
    assert run("wallet", "topup", "w").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_wrong_usage_is_told_as_json_too() -> None:
    result = run("ledger", "entries", "--limit", "0", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert json.loads(result.stderr)["error"]["code"] == "usage"


def test_amounts_are_never_numbers(core: FakeCore) -> None:
    core.answers["wallet.topup"] = {**WALLET, "entry_seq": 4, "duplicate": False}
    result = run("wallet", "topup", "team-a", "0.100000000000000000001", "--fee", "0.10", "--reference", "p1", "--json")
    assert core.asked == [
        (
            "wallet.topup",
            {"wallet": "team-a", "amount": "0.100000000000000000001", "reference": "p1", "fee": "0.10"},
        )
    ]
    assert '"available": "24.999999999999999999"' in result.stdout
    assert "24.999999999999999999" in run("wallet", "topup", "team-a", "1", "--reference", "p1").stdout


def test_a_frozen_wallet_shows_no_money_to_spend(core: FakeCore) -> None:
    frozen = {"frozen": True, "available": "5.00", "granted": "2.00", "paying_out": "1.00", "spent_provisional": "0.50"}
    core.answers["wallet.balance"] = {**WALLET, **frozen}
    shown = run("wallet", "balance", "team-a").output
    facts = {name: " ".join(rest) for name, *rest in (line.split() for line in shown.splitlines() if line.strip())}
    assert (facts["frozen"], facts["available"]) == ("yes", "nothing (frozen)")
    assert (facts["granted"], facts["paying_out"], facts["spent_provisional"]) == ("2.00", "1.00", "0.50")


def test_a_topup_without_reference_gets_one_and_says_so(core: FakeCore) -> None:
    core.answers["wallet.topup"] = {**WALLET, "entry_seq": 4, "duplicate": False}
    result = run("wallet", "topup", "team-a", "25.00")
    reference = core.asked[0][1]["reference"]
    assert reference.startswith("cli-")
    assert reference in result.stderr
    answer = json.loads(run("wallet", "topup", "team-a", "25.00", "--json").stdout)
    assert answer["reference"] == core.asked[1][1]["reference"] != reference


def test_a_secret_is_printed_once_and_whole(core: FakeCore) -> None:
    core.answers["keys.create"] = KEY
    assert run("keys", "create", "--name", "app").stdout.count("gta_secret") == 1


def test_names_are_not_markup(core: FakeCore) -> None:
    core.answers["keys.list"] = {"keys": [KEY]}
    assert "app [prod]" in run("keys", "list").stdout


def test_findings_end_with_1(core: FakeCore) -> None:
    bad = {"id": "holds", "title": "No hold is overdue", "ok": False, "findings": [{"detail": "ord_9 is overdue"}]}
    core.answers["ledger.verify"] = {**PROOF, "ok": False, "checks": [bad]}
    core.answers["doctor"] = {"ok": False, "checks": [{**REPORT["checks"][0], "status": "fail", "advice": "set it"}]}  # type: ignore[index]
    verify, doctor = run("ledger", "verify"), run("doctor")
    assert (verify.exit_code, doctor.exit_code) == (1, 1)
    assert "ord_9 is overdue" in verify.stdout
    assert "set it" in doctor.stdout
    assert json.loads(run("ledger", "verify", "--json").stdout)["ok"] is False


def test_reconcile_sends_files_and_maps_and_ends_with_1_on_a_gap(core: FakeCore, tmp_path: Path) -> None:
    (tmp_path / "usage.json").write_text("{}", encoding="utf-8-sig")
    (tmp_path / "costs.csv").write_text("a,b", encoding="utf-8")
    files = [str(tmp_path / name) for name in ("usage.json", "costs.csv")]
    core.answers["ledger.reconcile"] = {**RECONCILED, "ok": False}
    days = ("--since", "2026-11-20", "--until", "2026-11-21")
    maps = ("--map-key", "key_a=key_1", "--map-key", "proj=key_2", "--map-model", "Nova=nova-2")
    result = run("ledger", "reconcile", "--provider", "openai", *files, *days, *maps)
    assert result.exit_code == 1
    assert "price_version" in result.stdout
    assert "row 2: it has no cost" in result.stdout
    asked = {
        "level": 1,
        "provider": "openai",
        "format": "auto",
        "content": [{"name": files[0], "content": "{}"}, {"name": files[1], "content": "a,b"}],
        "from": "2026-11-20",
        "to": "2026-11-21",
        "key_map": {"key_a": "key_1", "proj": "key_2"},
        "model_map": {"Nova": "nova-2"},
    }
    assert core.asked == [("ledger.reconcile", asked)]
    core.answers["ledger.reconcile"] = RECONCILED
    assert run("ledger", "reconcile", "--provider", "openai", files[0]).exit_code == 0
    assert run("ledger", "reconcile", "--provider", "openai").exit_code == 2
    assert run("ledger", "reconcile", "--provider", "openai", files[0], "--map-key", "x").exit_code == 2


def test_doctor_reports_a_core_that_does_not_open(monkeypatch: pytest.MonkeyPatch, core_error: type[Exception]) -> None:
    def refuse(env: Mapping[str, str], config: str | None) -> session.Core:
        raise core_error("configuration", "gotoai.yaml, line 3: unknown member 'portt'")

    monkeypatch.setattr(session, "open_core", refuse)
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert "portt" in json.loads(result.stdout)["checks"][0]["detail"]


def test_a_module_that_was_not_built_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gotoai._core", None)
    result = run("keys", "list", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["code"] == "native_module_missing"


def commands() -> Iterator[tuple[str, str | None]]:
    """Every command with its epilog, groups walked through."""
    open_groups: list[tuple[str, Any]] = [("gotoai", main.program)]
    while open_groups:
        path, command = open_groups.pop()
        context = click.Context(command)
        names = command.list_commands(context) if isinstance(command, click.Group) else []
        if not names or command.invoke_without_command:
            yield path, command.epilog
        open_groups += [(f"{path} {name}", command.get_command(context, name)) for name in names]


@pytest.mark.parametrize(("path", "epilog"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_every_help_has_an_example_of_itself(path: str, epilog: str | None) -> None:
    assert epilog is not None
    assert path in epilog
    result = run(*path.split()[1:], "--help")
    assert result.exit_code == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
    assert "Examples:" in shown
    assert path in shown
    assert "--json" in shown


@pytest.mark.parametrize(
    ("given", "span_ms"),
    [("45m", 45 * 60_000), ("12h", 12 * 3_600_000), ("30d", 30 * 86_400_000), ("8w", 56 * 86_400_000)],
)
def test_spans(given: str, span_ms: int) -> None:
    before, after = keys.expiry_ms("0m", None), keys.expiry_ms(given, None)
    assert before is not None
    assert after is not None
    assert 0 <= after - before - span_ms < 60_000


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert keys.expiry_ms(None, "2027-01-31") == 1_801_353_600_000
    assert keys.expiry_ms(None, "2027-01-31T01:00+01:00") == 1_801_353_600_000
    for wrong in (
        ["--expires-in", "soon"],
        ["--expires-at", "32.13."],
        ["--expires-in", "1d", "--expires-at", "2027-01-31"],
    ):
        assert run("keys", "create", "--name", "x", *wrong).exit_code == 2


class FakeServer(FakeCore):
    """A core that serves for no time at all."""

    opened: list[tuple[dict[str, str], bool]]
    notice: str | None = "gta_platform"

    def startup_notice(self) -> str | None:
        notice, self.notice = self.notice, None
        return notice

    def serve(self, on_ready: Callable[[str], None]) -> None:
        on_ready("http://127.0.0.1:8080")


class FakeTwin:
    url = "http://127.0.0.1:9/v1"
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_mistyped_data_directory_is_not_taken_for_an_empty_ledger_in_silence(core: FakeCore, tmp_path: Path) -> None:
    core.answers["ledger.verify"] = PROOF
    there, mistyped = run("ledger", "verify", "--data-dir", str(tmp_path)), tmp_path / "typo"
    assert there.stderr == ""
    assert f"there was no data directory '{mistyped}'" in run("ledger", "verify", "--data-dir", str(mistyped)).stderr


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, core_error: type[Exception]) -> FakeServer:
    fake, twin = FakeServer(), FakeTwin()
    fake.opened = []

    class Core:
        @staticmethod
        def open(env: Mapping[str, str], *, config: str | None = None, offline: bool = False) -> FakeServer:
            fake.config = config
            fake.opened.append((dict(env), offline))
            return fake

    class Twin:
        @staticmethod
        def start() -> FakeTwin:
            return twin

    module = ModuleType("gotoai._core")
    module.__dict__.update(CoreError=core_error, Core=Core, Twin=Twin)
    monkeypatch.setitem(sys.modules, "gotoai._core", module)
    return fake


def test_serve_only_overrides_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("HOST", "::1")
    options = ["--port", "0", "--workers", "3", "--log-level", "warn", "--tls-cert", "c", "--tls-key", "k"]
    result = run("serve", *options, "--data-dir", "/d", "--config", "g.yaml", "--insecure-no-auth")
    assert result.exit_code == 0, result.stderr
    ((env, offline),) = server.opened
    assert not offline
    assert server.config == "g.yaml"
    assert {name: env[name] for name in ("HOST", "PORT", "GOTOAI_WORKERS", "LOG_LEVEL", "GOTOAI_DATA_DIR")} == {
        "HOST": "::1",
        "PORT": "0",
        "GOTOAI_WORKERS": "3",
        "LOG_LEVEL": "warn",
        "GOTOAI_DATA_DIR": "/d",
    }
    assert (env["GOTOAI_TLS_CERT"], env["GOTOAI_TLS_KEY"], env["GOTOAI_INSECURE_NO_AUTH"]) == ("c", "k", "1")
    assert not any("TWIN" in name for name in env)
    assert "Authorization" not in result.stdout
    assert server.closed == 1


def test_serve_prints_where_it_is_the_key_once_and_a_first_call(server: FakeServer) -> None:
    server.answers["models.list"] = {"models": [], "providers": []}
    out = run("serve", "--twin").stdout
    assert "http://127.0.0.1:8080/v1" in out
    assert out.count("gta_platform") == 1
    assert "curl http://127.0.0.1:8080/v1/chat/completions" in out
    assert '"model": "openai-twin/gpt-4o-mini"' in out
    assert serve.TWIN_NOTICE in out
    assert serve.TWIN_BOOKED in out
    assert server.opened[1][0]["OPENAI_TWIN_BASE_URL"] == FakeTwin.url
    ready = json.loads(run("serve", "--json").stdout)
    assert ready == {
        "event": "ready",
        "url": "http://127.0.0.1:8080",
        "base_url": "http://127.0.0.1:8080/v1",
        "platform_key": None,
        "twin": False,
    }


@pytest.mark.parametrize(("providers", "twin"), [([], True), ([{"name": "openai"}], False)])
def test_the_twin_steps_in_only_where_no_provider_is(server: FakeServer, providers: list[Any], twin: bool) -> None:
    server.answers["models.list"] = {"models": [], "providers": providers}
    out = run("serve", "--twin-if-empty").stdout
    assert [offline for _, offline in server.opened] == [True, False]
    assert ("OPENAI_TWIN_API_KEY" in server.opened[1][0]) is twin
    assert (serve.TWIN_NOTICE in out) is twin
    assert out.count("gta_platform") == 1  # made by the first of the two openings


def test_a_twin_beside_real_providers_has_no_price_and_so_never_takes_over(server: FakeServer) -> None:
    server.answers["models.list"] = {"models": [], "providers": [{"name": "openai"}]}
    out = run("serve", "--twin").stdout
    env = server.opened[1][0]
    assert env["CUSTOM_TWIN_BASE_URL"] == FakeTwin.url
    assert "OPENAI_TWIN_API_KEY" not in env
    assert '"model": "custom-twin/gpt-4o-mini"' in out
    assert serve.TWIN_BOOKED not in out


def test_serve_says_why_it_cannot(
    server: FakeServer, core_error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(on_ready: Callable[[str], None]) -> None:
        raise core_error("configuration", "port 8080 is in use")

    monkeypatch.setattr(server, "serve", refuse)
    result = run("serve", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["message"] == "port 8080 is in use"
    assert server.closed == 1


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert re.fullmatch(r"gotoai \d+\.\d+\.\d+\n", result.stdout)


def test_cells_read_well() -> None:
    given = [None, True, False, 3, "x", ["a", 1], {"in": 3, "out": None}]
    assert [render.cell(one) for one in given] == ["", "yes", "no", "3", "x", "a, 1", "in 3, out "]


def test_the_demo_shows_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {
        "title": "a stream that is cut",
        "status": 200,
        "text": "Hel",
        "events": 2,
        "ended": "cut",
        "error": None,
        "headers": {"x-gotoai-order": "ord_1"},
        "order": RECEIPT,
    }
    report = {
        "ok": True,
        "base_url": "http://x/v1",
        "calls": [call],
        "entries": [ENTRY],
        "verify": PROOF,
        "wallet": WALLET,
    }
    monkeypatch.setattr(rehearsal, "rehearse", lambda: report)
    shown = run("demo")
    assert shown.exit_code == 0, shown.stderr
    for part in ("ord_1", "Hel", "finalize", "the ledger is whole", "team-a"):
        assert part in shown.stdout
    assert json.loads(run("demo", "--json").stdout) == report
    report["ok"] = False
    assert run("demo", "--json").exit_code == 1


def test_a_price_says_what_else_a_call_may_cost() -> None:
    tiers = [
        {"service_tier": "flex", "above_input_tokens": 9, "input_per_mtok": "1"},
        {"from": "01:00", "to": "04:00", "output_per_mtok": "4"},
        {"service_tier": "batch", "cached_input_per_mtok": "0.5"},
    ]
    model = {"input_per_mtok": "2", "per_search": "0.01", "tier_percent": {"priority": "200"}, "tiers": tiers}
    assert list(further(model)) == ["search 0.01", "priority 200%", "flex >9 (1)", "01:00-04:00 (4)", "batch"]
    assert list(further({"input_per_mtok": "2"})) == []
