"""Wrong arguments to every administrative operation: the answer names which and what it takes, in words of people."""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

import gotoai
from support import AUTHORIZED, Door, Site

NO_ORDER, NO_KEY = "ord_" + "0" * 32, "key_" + "0" * 32
WALLET = {"wallet": "default"}
PAID = {**WALLET, "amount": "1", "reference": "r", "payment_provider": "p"}
# Arguments as they should be, by operation; those that read or write files of this machine are left out.
RIGHT: dict[str, dict[str, Any]] = {
    "keys.create": {
        "name": "k",
        "scopes": ["chat"],
        "models": ["*"],
        "user_path": "/a",
        "expires_at_ms": 99999999999999,
        "wallet": "default",
        "mode": "cheap",
        "builder": "b",
        "builder_percent": "1",
    },
    "keys.list": {},
    "keys.revoke": {"id": NO_KEY},
    "wallet.balance": WALLET,
    "wallet.list": {},
    "wallet.statement": {**WALLET, "month": "2026-11"},
    "budget.create": {
        **WALLET,
        "name": "b",
        "period": {"every": "day"},
        "amount": "1",
        "requests": None,
        "key": None,
        "user_path": "/a",
        "model": "*",
        "label": "l",
        "soft": False,
        "status": 402,
        "alert_percent": 50,
    },
    "budget.list": WALLET,
    "budget.remove": {"name": "none"},
    "ledger.entries": {**WALLET, "order": NO_ORDER, "after_seq": 0, "limit": 1},
    "ledger.order": {"id": NO_ORDER},
    "ledger.spend": {**WALLET, "from": "2026-11-01", "to": "2026-12-01", "by": ["day"]},
    "ledger.builders": {},
    "ledger.verify": {},
    "ledger.findings": {"status": "open", "limit": 1},
    "ledger.anchor": {},
    "ledger.progress": {},
    "payments.unassigned": {},
    "alerts.test": {},
    "models.list": {},
    "prices.list": {"provider": "openai", "search": "x"},
    "doctor": {},
    "wallet.create": {"wallet": "w", "kind": "prepaid", "credit_limit": "1", "actor": "a"},
    "wallet.topup": {**PAID, "fee": "0.1"},
    "wallet.grant": {**WALLET, "grant": "g", "amount": "1", "priority": 0, "expires_at_ms": 9999999999999},
    "wallet.refund": {"order": NO_ORDER, "amount": "1", "reason": "r", "reference": "x"},
    "wallet.cash_out": PAID,
    "wallet.cash_out_end": {"reference": "none", "result": "paid", "payment_provider": "p"},
    "wallet.chargeback": {**PAID, "reference": "c"},
    "order.true_up": {
        "order": NO_ORDER,
        "usage": {"output_text": 1},
        "cost": "1",
        "losses": {"openai": "1"},
        "reason": "r",
    },
    "wallet.freeze": {"wallet": "none", "reason": "r"},
    "wallet.thaw": {"wallet": "none", "reason": "r"},
    "wallet.terms": {
        **WALLET,
        "hold": "strict",
        "settlement": {"client_left": {"charge": "used", "fee": "charged", "cost": "payable"}},
        "markup": [{"percent": "5"}],
        "credit_limit": "1",
        "reason": "r",
    },
    "payments.assign": {"payment": "pi", "wallet": "default"},
    "payments.replay": {"content": "[]"},
    "ledger.adjust": {"debit": "bank:main", "credit": "exp:loss:crash", "amount": "1", "reason": "r", "reference": "x"},
    "ledger.reconcile": {
        "provider": "openai",
        "content": "{}",
        "level": 1,
        "format": "auto",
        "from": "2026-11-01",
        "to": "2026-11-02",
        "key_map": {},
        "model_map": {},
        "apply": False,
        "reason": "r",
    },
    "ledger.rerate": {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "from": "2026-11-01",
        "to": "2026-11-02",
        "price": {"input_per_mtok": "1", "output_per_mtok": "1"},
        "apply": False,
        "reason": "r",
        "limit": 1,
    },
    "ledger.payout": {"amount": "1", "reference": "r", "payment_provider": "p"},
    "ledger.invoice": {"provider": "openai", "accrued": "1", "paid": "1", "reference": "r"},
    "ledger.acknowledge": {"finding": "f", "note": "n"},
    "ledger.repair": {"finding": "f", "apply": False, "reason": "r", "debit": "a", "credit": "b", "amount": "1"},
    "ledger.rebuild": {"apply": False, "reason": "r"},
    "ledger.unfreeze": {**WALLET, "force": False, "reason": "r"},
}
ON_FILES = {"ledger.export", "prices.refresh"}
WRONG: list[Any] = [
    None,
    -1,
    1.5,
    True,
    "",
    " ",
    "-1",
    "1e9",
    "NaN",
    "9" * 20,
    "0.0000000001",
    "ünï/cöde \x07\x1b[2J",
    "'; drop",
    "a" * 100_000,
    [],
    {},
    [None],
    10**30,
]
# Words of the program's inside that nobody outside can act on.
INSIDE = re.compile(r"\b(usize|[iu](8|16|32|64)|struct|enum|variant|tuple|serde|unwrap|panick?ed|src/)\b")
POSITION = re.compile(r"at line \d+ column")


def wrong_arguments(operation: str) -> Iterator[tuple[str, dict[str, Any]]]:
    right = {name: value for name, value in RIGHT[operation].items() if value is not None}
    yield "bogus", {**right, "bogus": 1}
    for name in RIGHT[operation]:
        rest = {other: value for other, value in right.items() if other != name}
        yield name, rest
        for wrong in WRONG:
            yield name, {**rest, name: wrong}


def refusal(gateway: gotoai.SyncGateway, operation: str, arguments: dict[str, Any]) -> gotoai.GatewayError | None:
    try:
        gateway.admin(operation, **arguments)
    except gotoai.GatewayError as error:
        return error
    return None


def test_every_operation_is_tried(gateway: gotoai.SyncGateway) -> None:
    with pytest.raises(gotoai.errors.NotFoundError, match="there is no operation 'none'") as told:
        gateway.admin("none")
    names = told.value.message.split("there are: ")[1].split(", ")
    assert set(names) == RIGHT.keys() | ON_FILES


@pytest.mark.parametrize("operation", RIGHT)
def test_a_wrong_argument_is_told_so_that_it_can_be_mended(gateway: gotoai.SyncGateway, operation: str) -> None:
    for name, arguments in wrong_arguments(operation):
        error = refusal(gateway, operation, arguments)
        if error is None:
            assert name != "bogus", "an unknown argument is never passed over"
            continue
        assert error.status in {400, 404, 409}, (arguments, error)
        assert not INSIDE.search(error.message), (arguments, error)
        # A position helps only in a text that somebody has: a file's.
        assert name == "content" or not POSITION.search(error.message), (arguments, error)
        assert "\x1b" not in error.message, "what a stranger wrote must not steer a terminal"
        assert len(error.message) < 2500, (name, len(error.message))
    assert gateway.admin("ledger.verify")["ok"]


def test_the_argument_at_fault_is_named(gateway: gotoai.SyncGateway) -> None:
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("wallet.topup", {**PAID, "amount": 25.5}, "amount", "must be text, in quotes, not 25.5"),
        ("wallet.topup", {**PAID, "amount": "1,50"}, "amount", "'1,50' is not a decimal amount such as 25.00"),
        ("wallet.topup", {**WALLET, "amount": "1"}, "reference", "'reference' is missing"),
        ("budget.create", {"name": "b", "amount": "1", "period": "day"}, "period", "must be an object"),
        ("budget.create", {"name": "b", "amount": "1", "period": {"every": "day"}, "label": "a b"}, "label", "visible"),
        ("budget.create", {"name": "b", "amount": "1", "period": {"every": "day"}, "key": NO_KEY}, "key", "no key"),
        ("ledger.entries", {"limit": 0}, "limit", "1 to 10000"),
        (
            "wallet.terms",
            {**WALLET, "settlement": {"client_left": {"charge": "all"}}, "reason": "r"},
            "settlement",
            "'all'",
        ),
        ("keys.create", {"name": "a\x1b[2J"}, "name", "without control characters"),
    ]
    for operation, arguments, param, why in cases:
        with pytest.raises(gotoai.GatewayError) as told:
            gateway.admin(operation, **arguments)
        assert (told.value.param, why in told.value.message) == (param, True), (operation, str(told.value))


def test_over_http_the_same_is_said(native: Door, gateway: gotoai.SyncGateway) -> None:
    for operation, arguments in (
        ("wallet.topup", {**PAID, "amount": 5}),
        ("keys.list", {"x": 1}),
        ("wallet.balance", {}),
    ):
        with pytest.raises(gotoai.GatewayError) as here:
            gateway.admin(operation, **arguments)
        there = httpx.post(f"{native.url}/admin/{operation}", json=arguments, headers=AUTHORIZED)
        assert (there.status_code, there.json()) == (400, here.value.envelope())
    for body, code in ((b"{", "invalid_json"), (b'["default"]', "invalid_request"), (b"\xff", "invalid_json")):
        there = httpx.post(f"{native.url}/admin/wallet.balance", content=body, headers=AUTHORIZED)
        assert (there.status_code, there.json()["error"]["code"]) == (400, code)


def test_values_of_python_are_taken_as_they_are(gateway: gotoai.SyncGateway) -> None:
    topped = gateway.admin("wallet.topup", wallet="default", amount=Decimal("1E+1"), reference="d")
    assert topped["cash"] == "10.00"
    told = gateway.admin("ledger.spend", from_=date(2026, 11, 1), to=date(2026, 12, 1))
    assert told["from"].startswith("2026-11-01")
    with pytest.raises(TypeError, match="JSON has no word"):
        gateway.admin("wallet.topup", wallet="default", amount=object(), reference="e")


def test_a_reference_of_something_else_says_what_to_do(gateway: gotoai.SyncGateway) -> None:
    gateway.admin("wallet.topup", **PAID)
    with pytest.raises(gotoai.GatewayError, match="needs a reference of its own") as told:
        gateway.admin("wallet.topup", **{**PAID, "amount": "2"})
    assert (told.value.code, told.value.param) == ("conflict", "reference")
    gateway.admin("wallet.create", wallet="w", kind="prepaid")
    with pytest.raises(gotoai.GatewayError, match="there is a wallet 'w' already"):
        gateway.admin("wallet.create", wallet="w", kind="postpaid")


def test_an_unknown_wallet_is_not_an_empty_one(gateway: gotoai.SyncGateway) -> None:
    for operation in ("ledger.entries", "budget.list", "ledger.spend", "wallet.statement"):
        with pytest.raises(gotoai.errors.NotFoundError, match="there is no wallet 'typo'"):
            gateway.admin(operation, wallet="typo", **({"month": "2026-11"} if operation == "wallet.statement" else {}))


def test_a_frozen_wallet_and_its_grants_are_shown(gateway: gotoai.SyncGateway, site: Site) -> None:
    gateway.admin("wallet.grant", wallet="default", grant="welcome", amount="5")
    gateway.admin("wallet.freeze", wallet="default", reason="looked at")
    shown = site.run_text("wallet", "balance", "default")
    assert "frozen" in shown
    assert "gotoai wallet thaw" in shown
    assert "grant welcome: 5.00 left" in shown
