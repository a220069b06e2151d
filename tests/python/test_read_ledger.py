"""The ledger as an analyst reads it: ``Decimal`` everywhere, tables for data frames, beside a gateway that serves."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import gotoai
from support import MESSAGES, MODEL, Site

TEXT_AMOUNT = re.compile(r"-?\d+\.\d{2,}")


def members(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every member of a value, however deep, with its name."""
    match value:
        case dict():
            for key, one in value.items():
                if key != "payload":
                    yield from members(one, key)
        case gotoai.Table() | list():
            for one in value:
                yield from members(one, name)
        case _:
            yield name, value


@pytest.fixture
def used(gateway: gotoai.SyncGateway) -> gotoai.SyncGateway:
    """A ledger with some of everything."""
    gateway.admin("wallet.topup", wallet="default", amount=Decimal(25), reference="t", fee=Decimal("0.80"))
    gateway.admin("wallet.grant", wallet="default", grant="g", amount="0.5")
    gateway.admin("wallet.create", wallet="partner", kind="postpaid", credit_limit="500")
    gateway.admin("budget.create", name="money", period={"every": "day"}, amount="5")
    gateway.admin("budget.create", name="calls", period={"every": "day"}, requests=50)
    order = gateway.chat.completions.create(model=MODEL, messages=MESSAGES).order
    assert order is not None
    list(gateway.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    gateway.admin("wallet.refund", order=order, reason="test")
    return gateway


def this_month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")


def test_every_amount_is_a_decimal_and_none_a_float(used: gotoai.SyncGateway) -> None:
    ledger = used.ledger
    entries = list(ledger.entries())
    order = next(one.order for one in entries if one.order)
    statement, spend = ledger.statement("default", this_month()), ledger.spend("day", "endpoint")
    answers: list[object] = [entries, ledger.postings(), ledger.order(order), ledger.wallet(), ledger.wallets()]
    answers += [ledger.budgets(), ledger.builders(), ledger.verify(), spend.rows, spend.totals]
    answers += [statement.movements, statement.usage, statement.totals]
    found = [(name, value) for answer in answers for name, value in members(answer)]
    assert not [pair for pair in found if isinstance(pair[1], float)]
    left = {name for name, value in found if isinstance(value, str) and TEXT_AMOUNT.fullmatch(value)}
    assert not left, "amounts that are still text"
    assert sum(isinstance(value, Decimal) for _, value in found) > 50


def test_figures_add_up(used: gotoai.SyncGateway) -> None:
    ledger = used.ledger
    statement, spend = ledger.statement("default", this_month()), ledger.spend("day", "provider")
    assert statement.opening + sum(one.amount for one in statement.movements) == statement.closing
    assert not statement.complete
    assert spend.spent.known == sum(row.spent_known for row in spend.rows) == ledger.wallet().spent_known
    assert spend.spent.most == spend.spent.known + spend.totals.spent_uncertain_max
    assert str(spend.cost) == f"{spend.totals.cost_known} + at most {spend.totals.cost_uncertain_max}"
    row = spend.rows[0]
    assert list(row)[:2] == ["day", "provider"], "what a row is of comes first"
    assert isinstance(row.day, date)
    last = ledger.postings()[-1]
    assert isinstance(last.ts, datetime)
    moved = sum((one.amount for one in ledger.postings(wallet="default") if one.code == "top_up"), Decimal())
    assert moved in {Decimal(25), Decimal("24.20")}


def test_pages_are_read_to_the_end(used: gotoai.SyncGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [one.seq for one in used.ledger.entries()]
    monkeypatch.setattr("gotoai._ledger.PAGE_ENTRIES", 2)
    assert [one.seq for one in used.ledger.entries()] == whole == list(range(1, len(whole) + 1))
    assert [one.seq for one in used.ledger.entries(after_seq=whole[-3])] == whole[-2:]


def test_tables_go_to_arrow_without_a_float(used: gotoai.SyncGateway) -> None:
    postings = used.ledger.postings().to_arrow()
    assert str(postings.schema.field("amount").type) == "decimal128(19, 9)"
    assert str(postings.schema.field("ts").type) == "timestamp[us, tz=UTC]"
    usage = used.ledger.statement("default", this_month()).usage
    assert usage.to_arrow().column("charge").to_pylist() == [row.charge for row in usage]
    assert used.ledger.budgets().to_arrow().num_rows == 2
    assert gotoai.Table([]).to_arrow().num_rows == 0
    assert len(usage[0:1]) == 1
    assert "charge" in repr(usage)


def test_it_is_read_beside_a_gateway_that_goes_on(used: gotoai.SyncGateway, site: Site) -> None:
    with gotoai.Ledger(env=site.env) as ledger:
        before = ledger.spend().totals.orders
        used.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert ledger.spend().totals.orders == before + 1
        assert ledger.verify().ok
    with pytest.raises(gotoai.errors.UnavailableError, match="closed"):
        ledger.wallet()
    used.ledger.close()
    assert used.ledger.wallet().wallet == "default", "the gateway's own ledger stays open with it"


def test_what_is_wrong_is_told(used: gotoai.SyncGateway) -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: used.ledger.wallet("typo"), "there is no wallet 'typo'"),
        (lambda: used.ledger.statement("default", "November"), "a month looks like"),
        (lambda: used.ledger.spend("moon"), "'moon' is not one of"),  # type: ignore[arg-type]
        (lambda: used.ledger.spend(since="soon"), "is no day such as"),
    ]
    for wrong, why in cases:
        with pytest.raises(gotoai.GatewayError, match=why):
            wrong()


def test_types_are_complete_for_whoever_checks_strictly(tmp_path: Path) -> None:
    script = tmp_path / "analysis.py"
    script.write_text(
        "from datetime import date\nfrom decimal import Decimal\nimport gotoai\n\n"
        "def report(ledger: gotoai.Ledger) -> Decimal:\n"
        '    spend = ledger.spend("day", "endpoint", since=date(2026, 11, 1))\n'
        '    month: gotoai.Statement = ledger.statement("default", "2026-11")\n'
        "    rows: list[gotoai.Object] = [row for row in spend.rows]\n"
        "    print(len(rows), spend.cost.known, month.closing)\n"
        "    return spend.spent.most\n\n"
        'with gotoai.Ledger(data_dir="ledger") as opened:\n    report(opened)\n'
        'with gotoai.SyncGateway(data_dir="ledger") as gateway:\n    report(gateway.ledger)\n'
    )
    checked = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(script)],
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert checked.returncode == 0, checked.stdout.decode()
