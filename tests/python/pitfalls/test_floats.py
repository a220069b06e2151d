"""Money in floating point: sums that are off by a little, and comparisons that are off by a call.

Elsewhere: balances such as 0.6619999999999999 decided who is refused, sums over millions of rows were wrong by
dollars, and amounts came out of JSON as something else than went in (medici #1 #29, otari #691, llmgateway PR 3585,
langwatch #6440). Here an amount is an integer of 10^-9 inside and decimal text outside, and a charge is rounded once.
`tests/structure.rs` keeps floats out of the source; here it is seen from outside.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import gotoai
from pitfalls.tenant import Opener, administer, counted, nano, serving, usd
from support import CHAT, EMBEDDER, MODEL, Door, Site

# A double has 53 bits: it would be off by 128 nano-dollars here.
BEYOND_DOUBLE = 2**60 + 1


def refuse(number: str) -> NoReturn:
    raise AssertionError(f"a number with a point in an answer about money: {number}")


def exactly(text: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(text, parse_float=refuse)


def test_a_tenth_ten_times_is_one(native: Door, tenant: Opener) -> None:
    payer = tenant(0)
    for n in range(10):
        administer(native, "wallet.topup", wallet=payer.name, amount="0.1", reference=f"{payer.name} {n}")
    assert payer.wallet()["cash"] == "1.00"
    administer(native, "wallet.cash_out", wallet=payer.name, amount="0.7", reference=payer.name)
    assert payer.wallet()["cash"] == "0.30"


def test_no_nano_dollar_is_lost_beyond_what_a_double_can_count(native: Door, tenant: Opener) -> None:
    """Through HTTP, the ledger, a statement, and Python."""
    payer = tenant(BEYOND_DOUBLE)
    assert payer.wallet()["cash"] == usd(BEYOND_DOUBLE) == "1152921504.606846977"
    order = payer.served()
    assert nano(payer.wallet()["cash"]) == BEYOND_DOUBLE - nano(order["charge"])
    month = order["created_at"][:7]
    statement = administer(native, "wallet.statement", wallet=payer.name, month=month)
    assert nano(statement["closing"]) == BEYOND_DOUBLE - nano(order["charge"])
    told = native.site.run("wallet", "balance", payer.name)
    assert nano(told["cash"]) == BEYOND_DOUBLE - nano(order["charge"])


def test_the_cap_is_met_exactly_after_many_odd_sums(native: Door, tenant: Opener) -> None:
    """Sixty charges of a third of a cent and the like: what is left is what arithmetic says, and admits to the last
    nano-dollar.
    """
    payer = tenant()
    cap = 10**8
    budget = payer.limit(amount=usd(cap))
    native.site.twin.script(*({"usage": counted(n * 7 + 1, n)} for n in range(1, 61)))
    spent = sum(nano(reply.headers["x-gotoai-charge"]) for reply in payer.storm(60))
    assert spent == sum(150 * (n * 7 + 1) + 600 * n for n in range(1, 61))
    used = payer.budget(budget)
    assert (nano(used["spent_known"]), nano(used["left"])) == (spent, cap - spent)


def test_answers_have_no_number_with_a_point(native: Door, tenant: Opener) -> None:
    payer = tenant(10**9)
    payer.limit(amount="1.00")
    order = payer.served()["order"]
    month = payer.client.get(f"/orders/{order}").json()["created_at"][:7]
    exactly(payer.client.get(f"/orders/{order}").text)
    for operation, arguments in (
        ("wallet.balance", {"wallet": payer.name}),
        ("wallet.statement", {"wallet": payer.name, "month": month}),
        ("wallet.list", {}),
        ("budget.list", {}),
        ("ledger.entries", {"wallet": payer.name}),
        ("ledger.order", {"id": order}),
        ("prices.list", {"search": MODEL}),
    ):
        exactly(native.post(f"/admin/{operation}", json=arguments).text)


# USD a million tokens, tokens, nano-USD.
PRICES = [
    # 37.5 nano-dollars a token: half of one is rounded to even, once, at the end.
    ("0.0375", 1, 38),
    ("0.0375", 3, 112),
    ("0.0375", 1_000_000, 37_500_000),
    # As a double it would be 0.0000000124999999999999994 a token.
    ("0.0125", 3, 38),
    ("0.000001", 1, 1),
    ("0.000001", 499_999, 500),
]


def test_a_price_is_what_was_written(site: Site, tenant: Opener, tmp_path: Path) -> None:
    """As text and as a number, which is read by its digits."""
    written = {price: (f'"{price}"', price) for price, _, _ in PRICES}
    models = [
        f'{{"id": "m{form}-{price}", "price": {{"input_per_mtok": {text}, "output_per_mtok": 0}}}}'
        for price, forms in written.items()
        for form, text in enumerate(forms)
    ]
    house = f'"type": "openai", "api_key": "sk-twin", "base_url": "{site.twin.url}", "models_mode": "allowlist"'
    file = tmp_path / "gotoai.yaml"  # JSON is YAML
    file.write_text(f'{{"providers": {{"house": {{{house}, "models": [{", ".join(models)}]}}}}}}', encoding="utf-8")
    with serving(site, GOTOAI_CONFIG=str(file)) as door:
        payer = tenant(10**12, door=door)
        for price, tokens, charge in PRICES:
            for form in range(2):
                site.twin.script({"usage": counted(tokens, 0)})
                assert nano(payer.served(model=f"house/m{form}-{price}")["charge"]) == charge
        assert payer.spent() == 2 * sum(charge for _, _, charge in PRICES)


def test_python_is_told_decimals(gateway: gotoai.SyncGateway, site: Site) -> None:
    replies = [gateway.chat.completions.create(**CHAT) for _ in range(3)]
    charges = [reply.charge for reply in replies]
    assert all(isinstance(charge, Decimal) for charge in charges)
    vectors = gateway.embeddings.create(model=EMBEDDER, input="hello")
    assert isinstance(vectors.charge, Decimal)
    total = sum((charge for charge in charges if charge is not None), vectors.charge)
    assert Decimal(site.books.wallet()["spent_known"]) == total
