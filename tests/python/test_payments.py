"""Stripe's events through both HTTP doors: each fact counts once, whatever order and however often it is told."""

import hmac
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import gotoai
from support import CHAT, Door, eventually, open_door

GOLDEN = Path(__file__).parents[1] / "golden" / "stripe"
SECRET, NEXT_SECRET = "whsec_test_now", "whsec_test_next"
PAYMENT, CHARGE, REFUND = "pi_3PqZ1hKc81JmP0aa0YtQ9wXe", "ch_3PqZ1hKc81JmP0aa0bLmT4Ru", "re_3PqZ1hKc81JmP0aa0Xc5NyGd"
DISPUTE, PAYOUT = "dp_1PqZDpKc81JmP0aaGold0001", "po_1PqZPoKc81JmP0aaGold0001"
BOTH = ("payment_intent_succeeded", "checkout_session_completed")


def sign(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    stamp = str(int(time.time() if at is None else at))
    return f"t={stamp},v1={hmac.new(secret.encode(), stamp.encode() + b'.' + body, 'sha256').hexdigest()}"


class Customer:
    """A wallet of its own, with a payment of its own: the golden events under ids that no other test has."""

    def __init__(self, door: Door, tag: str, *, has_wallet: bool = True) -> None:
        self.door, self.tag, self.books = door, tag, door.site.books
        if has_wallet:
            self.books.ask("wallet.create", wallet=tag, kind="prepaid")

    def id(self, golden: str) -> str:
        return f"{golden}{self.tag}"

    def event(self, name: str, **members: object) -> bytes:
        """A golden event about this customer, with members of its object replaced."""
        event = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
        event["data"]["object"].update(members)
        return self.own(json.dumps(event))

    def own(self, text: str) -> bytes:
        for golden in (PAYMENT, CHARGE, REFUND, DISPUTE, PAYOUT, "evt_1PqZ2", "txn_1PqZ", "txn_3PqZ"):
            text = text.replace(golden, golden + self.tag)
        return text.replace('"acme"', f'"{self.tag}"').replace('"livemode": false', '"livemode": true').encode()

    def send(self, body: bytes, signature: str | None = None) -> httpx.Response:
        headers = {"stripe-signature": sign(body) if signature is None else signature}
        return httpx.post(f"{self.door.url}/webhooks/stripe", content=body, headers=headers, timeout=60)

    def tell(self, name: str, **members: object) -> Any:  # noqa: ANN401 - JSON
        """Sends an event that is taken: what is answered."""
        reply = self.send(self.event(name, **members))
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        assert answer["received"]
        return answer

    def refused(self, name: str, **members: object) -> tuple[int, str]:
        """Sends an event that is not taken: status and message."""
        reply = self.send(self.event(name, **members))
        assert reply.status_code >= 400, reply.text
        return reply.status_code, reply.json()["error"]["message"]

    @property
    def wallet(self) -> Any:  # noqa: ANN401 - JSON
        return self.books.wallet(self.tag)

    def money(self) -> tuple[str, str, bool]:
        """Cash, debt, frozen."""
        wallet = self.wallet
        return wallet["cash"], wallet["owed"], wallet["frozen"]

    def moved(self, account: str) -> Decimal:
        """What this customer's entries have added to an account's debits, less its credits."""
        total = Decimal(0)
        for entry in self.books.ask("ledger.entries", limit=10_000)["entries"]:
            if self.tag in json.dumps(entry["payload"]):
                for posting in entry["postings"]:
                    sign = (posting["debit"] == account) - (posting["credit"] == account)
                    total += sign * Decimal(posting["amount"])
        return total

    def messages(self) -> list[tuple[str, int]]:
        """What people will be told: topic, and in how many milliseconds."""
        with closing(sqlite3.connect(Path(self.door.site.env["GOTOAI_DATA_DIR"]) / "gotoai.db")) as store:
            rows = store.execute("SELECT topic, next_at - created_at FROM outbox WHERE dedupe LIKE ?", [f"%{self.tag}"])
            return rows.fetchall()

    def unassigned(self) -> dict[str, str]:
        waiting = self.books.ask("payments.unassigned")["payments"]
        return {one["payment"]: one["left"] for one in waiting if self.tag in one["payment"]}


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Door]]:
    """Doors that take Stripe's events, signed with either of two secrets; what they have booked adds up at the end."""
    opened: dict[str, Door] = {}
    with ExitStack() as stack:

        def door(name: str) -> Door:
            if name not in opened:
                secrets = {"GOTOAI_STRIPE_WEBHOOK_SECRET": f"{SECRET},{NEXT_SECRET}", "BODY_SIZE_LIMIT": "1M"}
                opened[name] = stack.enter_context(open_door(name, tmp_path_factory.mktemp(name), **secrets))
            return opened[name]

        yield door
        for one in opened.values():
            assert one.site.run("ledger", "verify")["ok"]


@pytest.fixture(params=["native", "uvicorn"])
def paying(request: pytest.FixtureRequest, taking: Callable[[str], Door]) -> Iterator[Door]:
    door = taking(request.param)
    yield door
    proof = door.site.books.ask("ledger.verify")
    assert proof["ok"], [check for check in proof["checks"] if not check["ok"]]


@pytest.mark.parametrize("names", [BOTH, BOTH[::-1], ("invoice_paid", "checkout_session_async_payment_succeeded")])
def test_a_payment_counts_once_whoever_tells_of_it(paying: Door, names: tuple[str, ...]) -> None:
    customer = Customer(paying, f"once{len(names[0])}")
    first = customer.tell(names[0])
    assert [(line["what"], line["wallet"], line["duplicate"]) for line in first["booked"]] == [
        ("top_up", customer.tag, False)
    ]
    for name in (*names, *names):
        again = customer.tell(name)
        assert [(line["wallet"], line["duplicate"]) for line in again["booked"]] == [(customer.tag, True)]
    assert customer.money() == ("25.00", "0.00", False)
    assert customer.moved("psp:stripe:clearing") == 25


def test_twenty_deliveries_at_the_same_time_are_one_credit(paying: Door) -> None:
    customer = Customer(paying, "twenty")
    bodies = [customer.event(BOTH[n % 2]) for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(customer.send, bodies))
    assert [reply.status_code for reply in replies] == [200] * 20
    assert sum(not line["duplicate"] for reply in replies for line in reply.json()["booked"]) == 1
    assert customer.money() == ("25.00", "0.00", False)


def test_deliveries_at_the_same_time_of_which_some_name_no_wallet(paying: Door) -> None:
    customer = Customer(paying, "mixed")
    bodies = [customer.event(BOTH[0], metadata={}), customer.event(BOTH[1]), customer.event("refund_created")] * 7
    with ThreadPoolExecutor(21) as pool:
        replies = list(pool.map(customer.send, bodies))
    assert {reply.status_code for reply in replies} <= {200, 409}, "a refund of what is not booked yet comes again"
    customer.tell("refund_created")
    assert customer.money() == ("15.00", "0.00", False)
    assert customer.unassigned() == {}


def test_only_stripe_may_tell(paying: Door) -> None:
    customer = Customer(paying, "forged")
    body = customer.event("payment_intent_succeeded")
    other = customer.event("payment_intent_succeeded", amount_received=9_999_900)
    for signature, part in [
        (sign(body, "whsec_wrong"), "does not fit"),
        (sign(other), "does not fit"),
        (sign(body, at=time.time() - 400), "too long ago"),
        (sign(body, at=time.time() + 400), "too long ago"),
        ("v1=00", "form"),
        ("", "form"),
    ]:
        reply = customer.send(body, signature)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (400, "invalid_signature")
        assert part in error["message"]
    bare = httpx.post(f"{paying.url}/webhooks/stripe", content=body, headers=paying.authorization)
    assert (bare.status_code, bare.json()["error"]["code"]) == (400, "invalid_signature"), "a key is no signature"
    assert paying.get("/webhooks/stripe").status_code == 405
    assert customer.money() == ("0.00", "0.00", False)
    assert customer.send(body, sign(body, NEXT_SECRET)).status_code == 200, "while the secret is changed"
    assert customer.money() == ("25.00", "0.00", False)


def test_what_is_no_event(paying: Door) -> None:
    customer = Customer(paying, "garbage")
    assert customer.send(b" " * (1 << 20) + b"  ").status_code == 413
    for body in (
        b"",
        b"[]",
        b'{"id":"evt_1","object":"event","type":"payout.paid"}',
        b'{"object":"v2.core.event","id":"x"}',
    ):
        assert customer.send(body).status_code == 400


def test_what_moves_no_money_is_taken_and_says_why(paying: Door) -> None:
    customer = Customer(paying, "quiet")
    for name in ("customer_created", "checkout_session_unpaid", "charge_updated", "charge_refunded", "dispute_inquiry"):
        answer = customer.tell(name)
        assert answer["booked"] == []
        assert answer["note"]
    assert customer.money() == ("0.00", "0.00", False)


def test_money_without_a_wallet_waits_until_somebody_says_whose_it_is(paying: Door) -> None:
    customer = Customer(paying, "later", has_wallet=False)
    for _ in range(2):
        booked = customer.tell("payment_intent_succeeded")["booked"]
        assert [(line["what"], line["wallet"]) for line in booked] == [("payment_unassigned", None)]
    payment = customer.id(PAYMENT)
    assert customer.unassigned() == {payment: "25.00"}
    assert customer.moved("psp:stripe:clearing") == 25, "it is at Stripe, whoever it belongs to"
    status, message = customer.refused("refund_created", amount=2600)
    assert (status, "less is left" in message) == (409, True)
    customer.books.ask("wallet.create", wallet=customer.tag, kind="prepaid")
    assigned = paying.site.run("payments", "assign", payment, customer.tag, "--actor", "ann")
    assert (assigned["cash"], assigned["duplicate"]) == ("25.00", False)
    assert paying.site.run("payments", "assign", payment, customer.tag)["duplicate"]
    for name in BOTH:
        assert all(line["duplicate"] for line in customer.tell(name)["booked"])
    assert customer.unassigned() == {}
    customer.tell("refund_created")
    assert customer.money() == ("15.00", "0.00", False)


def test_the_wallet_may_be_named_by_a_later_event_only(paying: Door) -> None:
    customer = Customer(paying, "pieces")
    assert customer.tell("payment_intent_succeeded", metadata={})["booked"][0]["what"] == "payment_unassigned"
    assert customer.messages() == [("payment.unassigned", 600_000)]
    customer.tell("refund_created")
    assert customer.unassigned() == {customer.id(PAYMENT): "15.00"}, "given back before it was anybody's"
    failed = {"id": customer.id("re_other"), "amount": 500}
    customer.tell("refund_failed", **failed)
    assert customer.unassigned() == {customer.id(PAYMENT): "15.00"}
    booked = customer.tell("checkout_session_completed")["booked"]
    assert [(line["what"], line["wallet"]) for line in booked] == [("payment_assigned", customer.tag)]
    assert customer.messages() == [], "put right in time"
    customer.tell("refund_updated")
    customer.tell("refund_failed", **failed)
    assert customer.money() == ("15.00", "0.00", False)
    assert customer.unassigned() == {}


def test_what_the_books_cannot_hold_is_refused_and_told(paying: Door) -> None:
    customer = Customer(paying, "euros")
    status, message = customer.refused("payment_intent_succeeded", currency="eur")
    assert (status, "25.00 EUR" in message) == (400, True)
    status, message = customer.refused("payment_intent_succeeded", currency="jpy")
    assert (status, "2500 JPY" in message) == (400, True)
    customer.tell("payment_intent_succeeded")
    status, message = customer.refused("checkout_session_completed", amount_total=2000)
    assert (status, "25.00 USD" in message) == (409, True)
    status, message = customer.refused("checkout_session_completed", client_reference_id="somebody-else")
    assert (status, "somebody-else" in message) == (409, True)
    assert customer.money() == ("25.00", "0.00", False)
    assert customer.messages() == [("payment.refused", 600_000)], "once, and not before it could have been put right"


@pytest.mark.parametrize(
    ("amount", "spent", "left"),
    [(1000, "0", ("15.00", "0.00")), (2500, "0", ("0.00", "0.00")), (2500, "20", ("0.00", "20.00"))],
)
def test_a_refund_made_at_stripe(paying: Door, amount: int, spent: str, left: tuple[str, str]) -> None:
    customer = Customer(paying, f"refund{amount}x{spent}")
    customer.tell("payment_intent_succeeded")
    if spent != "0":
        customer.books.ask("wallet.cash_out", wallet=customer.tag, amount=spent, reference=f"{customer.tag} spends")
    for name in ("refund_created", "refund_updated", "refund_created"):
        customer.tell(name, amount=amount)
    assert customer.money() == (*left, False), "what has left Stripe is booked, cash or no cash"
    status, _ = customer.refused("refund_updated", amount=amount - 1)
    assert status == 409
    customer.tell("refund_failed", amount=amount)
    customer.tell("refund_failed", amount=amount)
    customer.tell("refund_created", amount=amount)
    assert Decimal(customer.wallet["cash"]) == 25 - Decimal(spent)
    assert customer.wallet["owed"] == "0.00"


def test_a_refund_that_comes_before_its_payment_is_sent_again(paying: Door) -> None:
    customer = Customer(paying, "early")
    status, message = customer.refused("refund_failed")
    assert (status, customer.id(PAYMENT) in message) == (409, True)
    assert customer.messages() == [("payment.refused", 600_000)]
    customer.tell("payment_intent_succeeded")
    assert [line["what"] for line in customer.tell("refund_failed")["booked"]] == ["paid_back", "top_up"]
    assert customer.messages() == []
    customer.tell("refund_created")
    assert customer.money() == ("25.00", "0.00", False)


def test_a_dispute_freezes_and_a_won_one_brings_the_money_back(paying: Door) -> None:
    customer = Customer(paying, "dispute")
    customer.tell("payment_intent_succeeded")
    for name in ("dispute_created", "dispute_funds_withdrawn", "dispute_created", "dispute_closed_lost"):
        customer.tell(name)
        assert customer.money() == ("0.00", "0.00", True)
    assert customer.moved("exp:psp_fee") == 15
    for name in ("dispute_closed_won", "dispute_funds_reinstated", "dispute_funds_withdrawn"):
        customer.tell(name)
        assert customer.money() == ("25.00", "0.00", True), "to thaw it is a person's decision"
    assert customer.moved("exp:psp_fee") == 0
    assert customer.moved("psp:stripe:clearing") == 25


def test_a_won_dispute_that_is_the_first_to_be_told(paying: Door) -> None:
    customer = Customer(paying, "won")
    customer.tell("payment_intent_succeeded")
    customer.tell("dispute_closed_won")
    customer.tell("dispute_created")
    assert customer.money() == ("25.00", "0.00", True)


def test_a_payout_and_one_that_came_back(paying: Door) -> None:
    customer = Customer(paying, "payout")
    for name in ("payout_paid", "payout_paid"):
        customer.tell(name)
    assert customer.moved("bank:main") == Decimal("23.97")
    assert customer.moved("psp:stripe:clearing") == -Decimal("23.97")
    for name in ("payout_failed", "payout_failed", "payout_paid"):
        customer.tell(name)
    assert customer.moved("bank:main") == customer.moved("psp:stripe:clearing") == 0
    drawn = customer.id("drawn")
    customer.tell("payout_paid", id=drawn, amount=-500)
    assert customer.moved("bank:main") == -5


def test_what_was_booked_by_hand_is_not_booked_again(paying: Door) -> None:
    customer = Customer(paying, "hand")
    ask, stripe = customer.books.ask, {"payment_provider": "stripe"}
    payment, refund, dispute = customer.id(PAYMENT), customer.id(REFUND), customer.id(DISPUTE)
    paying.site.run(
        *(
            "wallet",
            "topup",
            customer.tag,
            "25.00",
            "--reference",
            payment,
            "--fee",
            "1.03",
            "--payment-provider",
            "stripe",
        )
    )
    for name in BOTH:
        assert customer.tell(name)["booked"][0]["duplicate"]
    fee = {"id": customer.id("txn_"), "object": "balance_transaction", "fee": 103, "currency": "usd"}
    assert customer.tell("charge_updated", balance_transaction=fee)["booked"][0]["duplicate"]
    ask("wallet.cash_out", wallet=customer.tag, amount="10", reference=refund, **stripe)
    assert customer.wallet["paying_out"] == "10.00"
    assert [line["what"] for line in customer.tell("refund_created")["booked"]] == ["cash_out", "cash_out_paid"]
    assert (customer.wallet["cash"], customer.wallet["paying_out"]) == ("15.00", "0.00")
    ask("wallet.cash_out_end", reference=refund, result="paid", **stripe)
    ask("wallet.chargeback", wallet=customer.tag, amount="25", reference=dispute, **stripe)
    customer.tell("dispute_created")
    assert customer.money() == ("0.00", "10.00", True)
    assert customer.moved("exp:psp_fee") == Decimal("16.03"), "the fee by hand, and the dispute's"


def test_a_cash_out_begun_here_ends_at_stripe(paying: Door) -> None:
    customer = Customer(paying, "begun")
    customer.tell("payment_intent_succeeded")
    ours = f"{customer.tag}-7"
    customer.books.ask("wallet.cash_out", wallet=customer.tag, amount="10", reference=ours, payment_provider="stripe")
    failed = customer.tell("refund_failed", metadata={"cash_out": ours})["booked"]
    assert [line["what"] for line in failed] == ["cash_out", "cash_out_failed"]
    for name in ("refund_failed", "refund_created"):
        customer.tell(name, metadata={"cash_out": ours})
    assert (customer.wallet["cash"], customer.wallet["paying_out"]) == ("25.00", "0.00")
    stripe = {"reference": customer.id(REFUND), "payment_provider": "stripe"}
    customer.books.ask("wallet.cash_out", wallet=customer.tag, amount="10", **stripe)
    customer.books.ask("wallet.cash_out_end", result="failed", **stripe)
    status, message = customer.refused("refund_created")
    assert (status, "booked as failed" in message) == (409, True), "a person said so, and the money has left Stripe"
    customer.tell("refund_failed")
    assert (customer.wallet["cash"], customer.wallet["paying_out"]) == ("25.00", "0.00")


def test_a_refund_that_comes_back_is_no_top_up_of_the_same_name(paying: Door) -> None:
    customer = Customer(paying, "namesake")
    customer.tell("payment_intent_succeeded")
    ours = {"reference": f"{customer.tag}-invoice", "payment_provider": "stripe"}
    customer.books.ask("wallet.topup", wallet=customer.tag, amount="10", **ours)
    customer.books.ask("wallet.cash_out", wallet=customer.tag, amount="10", **ours)
    customer.books.ask("wallet.cash_out_end", result="paid", **ours)
    assert customer.wallet["cash"] == "25.00"
    customer.tell("refund_failed", metadata={"cash_out": ours["reference"]})
    assert customer.wallet["cash"] == "35.00"
    customer.tell("refund_failed", metadata={"cash_out": ours["reference"]})
    assert customer.wallet["cash"] == "35.00", "once"


def test_what_the_webhook_has_booked_can_be_ended_by_hand(paying: Door) -> None:
    customer = Customer(paying, "ended")
    customer.tell("payment_intent_succeeded")
    customer.tell("refund_created")
    end = {"reference": customer.id(REFUND), "payment_provider": "stripe"}
    assert customer.books.ask("wallet.cash_out_end", result="paid", **end)["cash"] == "15.00"
    assert customer.books.ask("wallet.cash_out_end", result="failed", **end)["cash"] == "25.00"
    customer.tell("refund_failed")
    assert customer.money() == ("25.00", "0.00", False)


def test_events_that_were_missed_are_replayed_from_a_file(taking: Callable[[str], Door], tmp_path: Path) -> None:
    door = taking("native")
    customer = Customer(door, "missed")
    names = ("refund_created", "checkout_session_completed", "payment_intent_succeeded", "customer_created")
    exported = tmp_path / "events.json"
    events = [json.loads(customer.event(name)) for name in names]
    exported.write_text(json.dumps({"object": "list", "data": events}), "utf-8")
    told = door.site.run("payments", "replay", str(exported))
    assert (told["events"], told["booked"], told["booked_before"]) == (4, 2, 1)
    assert customer.money() == ("15.00", "0.00", False)
    assert door.site.run("payments", "replay", str(exported))["booked"] == 0
    customer.tell("payment_intent_succeeded")
    foreign = json.loads(customer.event("payment_intent_succeeded", currency="eur"))
    exported.write_text(json.dumps([foreign]), "utf-8")
    with pytest.raises(AssertionError, match="the ledger's currency is USD"):
        door.site.run("payments", "replay", str(exported))


def test_what_is_of_stripes_test_mode_is_no_money(paying: Door, tmp_path: Path) -> None:
    """Signed as it should be: somebody has used the secret twice."""
    customer = Customer(paying, "trying")
    live = customer.event("payment_intent_succeeded")
    of_test, unsaid = live.replace(b'"livemode": true', b'"livemode": false'), live.replace(b'"livemode"', b'"mode"')
    for body in (of_test, unsaid):
        reply = customer.send(body)
        assert (reply.status_code, customer.money()) == (400, ("0.00", "0.00", False)), reply.text
        assert "GOTOAI_STRIPE_TEST_MODE" in reply.json()["error"]["message"]
    exported = tmp_path / "exported.json"
    transactions = customer.own((GOLDEN / "balance_transactions.json").read_text("utf-8"))
    for content in (of_test, transactions.replace(b'"livemode": true', b'"livemode": false')):
        exported.write_bytes(content)
        with pytest.raises(AssertionError, match="test mode"):
            paying.site.run("payments", "replay", str(exported))
    assert customer.money() == ("0.00", "0.00", False)
    assert customer.send(live).status_code == 200
    assert customer.money() == ("25.00", "0.00", False)


def test_a_gateway_that_is_tried_out_books_test_mode(tmp_path: Path) -> None:
    secrets = {"GOTOAI_STRIPE_WEBHOOK_SECRET": SECRET, "GOTOAI_STRIPE_TEST_MODE": "on"}
    with open_door("native", tmp_path, **secrets) as door:
        customer = Customer(door, "tried")
        body = customer.event("payment_intent_succeeded").replace(b'"livemode": true', b'"livemode": false')
        assert customer.send(body).status_code == 200
        assert customer.money() == ("25.00", "0.00", False)


@pytest.mark.parametrize("told", [(), ("payment_intent_succeeded", "refund_created", "dispute_created", "payout_paid")])
def test_balance_transactions_bring_fees_and_whatever_the_books_lack(
    taking: Callable[[str], Door], tmp_path: Path, told: tuple[str, ...]
) -> None:
    door = taking("native")
    customer = Customer(door, f"balance{len(told)}")
    for name in told:
        customer.tell(name)
    exported = tmp_path / "balance_transactions.json"
    exported.write_bytes(customer.own((GOLDEN / "balance_transactions.json").read_text("utf-8")))
    booked = [door.site.run("payments", "replay", str(exported))["booked"] for _ in range(2)]
    assert booked == [2 if told else 7, 0]
    assert customer.money() == ("0.00", "10.00", True)
    assert customer.moved("exp:psp_fee") == Decimal("18.03"), "of the payment, of the dispute, and for services"
    net = sum(one["net"] for one in json.loads(exported.read_text("utf-8"))["data"])
    assert customer.moved("psp:stripe:clearing") == Decimal(net) / 100, "what Stripe's balance says"


def test_what_is_booked_and_not_in_stripes_list_is_named(taking: Callable[[str], Door], tmp_path: Path) -> None:
    door = taking("native")
    customer = Customer(door, "invented")
    invented = {"reference": "pi_of_nobody", "payment_provider": "stripe"}
    customer.books.ask("wallet.topup", wallet=customer.tag, amount="9.00", **invented)
    transactions = json.loads(customer.own((GOLDEN / "balance_transactions.json").read_text("utf-8")))
    now = int(time.time())
    *later, first = transactions["data"]
    for number, one in enumerate(later):
        one["created"] = now + 60 - number
    first["created"] = now - 3600
    exported = tmp_path / "balance_transactions.json"
    exported.write_text(json.dumps(transactions), "utf-8")
    told = door.site.run("payments", "replay", str(exported))
    missing = [one for one in told["missing_there"] if one["wallet"] == customer.tag]
    assert [(one["what"], one["reference"], one["amount"]) for one in missing] == [("top_up", "pi_of_nobody", "9.00")]
    own = {customer.id(PAYMENT), customer.id(REFUND), customer.id(DISPUTE), customer.id(PAYOUT)}
    assert not own & {one["reference"] for one in told["missing_there"]}
    for name in (*BOTH, "refund_updated", "dispute_funds_withdrawn", "payout_paid"):
        assert all(line["duplicate"] for line in customer.tell(name)["booked"])


def test_payments_are_booked_while_calls_are_stopped(taking: Callable[[str], Door]) -> None:
    door = taking("native")
    customer = Customer(door, "frozen")
    with closing(sqlite3.connect(Path(door.site.env["GOTOAI_DATA_DIR"]) / "gotoai.db", isolation_level=None)) as store:
        bump = "UPDATE control SET v = CAST(v AS INTEGER) + 1 WHERE k = 'version'"
        store.execute("INSERT INTO control(k, v) VALUES ('frozen', '{}')")
        store.execute(bump)
        eventually(lambda: "ledger_frozen" in door.post(json=CHAT).text)
        customer.tell("payment_intent_succeeded")
        store.execute("DELETE FROM control WHERE k = 'frozen'")
        store.execute(bump)
    assert customer.money() == ("25.00", "0.00", False)


def test_what_cannot_be_written_is_not_acknowledged(taking: Callable[[str], Door]) -> None:
    """While another process holds the file longer than the ledger waits for it."""
    door = taking("native")
    customer = Customer(door, "locked")
    body = customer.event("payment_intent_succeeded")
    with closing(sqlite3.connect(Path(door.site.env["GOTOAI_DATA_DIR"]) / "gotoai.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        reply = customer.send(body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "ledger_unavailable")
        other.execute("ROLLBACK")
    assert customer.money() == ("0.00", "0.00", False)
    assert customer.send(body).json()["booked"][0]["duplicate"] is False
    assert customer.money() == ("25.00", "0.00", False)


def test_without_a_secret_there_is_no_webhook(door: Door) -> None:
    body = (GOLDEN / "payment_intent_succeeded.json").read_bytes()
    reply = httpx.post(f"{door.url}/webhooks/stripe", content=body, headers={"stripe-signature": sign(body)})
    assert reply.status_code == 404
    assert "GOTOAI_STRIPE_WEBHOOK_SECRET" in reply.json()["error"]["message"]


def test_assigning_what_is_somebodys_already(gateway: gotoai.SyncGateway) -> None:
    gateway.admin("wallet.topup", wallet="default", amount="5", reference="pi_9", payment_provider="stripe")
    with pytest.raises(gotoai.errors.InvalidRequestError, match="'default'"):
        gateway.admin("payments.assign", payment="pi_9", wallet="default")
    with pytest.raises(gotoai.errors.NotFoundError, match="pi_10"):
        gateway.admin("payments.assign", payment="pi_10", wallet="default")
    checks = {check["id"]: check for check in gateway.admin("doctor")["checks"]}
    assert checks["payments"]["status"] == "ok"
