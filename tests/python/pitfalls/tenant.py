"""A customer of a gateway: a wallet, a key that spends from it, and what every page says of it.

Everything goes over HTTP, the customer's calls and the operator's administration alike. Amounts are whole nano-USD
here, so that a test compares integers and never rounds.
"""

import itertools
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx

from support import CHAT, Child, Door, Site, eventually

# Nano-USD a token of `support.MODEL`, as the embedded price book has it.
INPUT, CACHED, OUTPUT = 150, 75, 600
# So short that an answer's bound is small beside the input's; and of one tier, or the hold would cover a dearer one.
SHORT: dict[str, Any] = {"max_tokens": 20, "service_tier": "default"}

_numbers = itertools.count(1)


def nano(amount: str | None) -> int:
    """Decimal text as nano-USD; fails on anything finer, or on nothing."""
    assert isinstance(amount, str), f"no amount: {amount!r}"
    whole = Decimal(amount).scaleb(9)
    assert whole == whole.to_integral_value(), amount
    return int(whole)


def usd(amount_nano: int) -> str:
    return format(Decimal(amount_nano).scaleb(-9), "f")


def counted(prompt: int, completion: int, **more: object) -> dict[str, Any]:
    """Usage as OpenAI reports it."""
    total = prompt + completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


def code(reply: httpx.Response) -> object:
    return reply.json()["error"]["code"]


def administer(door: Door, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
    """An administrative operation that has to succeed."""
    reply = door.post(f"/admin/{operation}", json=arguments)
    assert reply.status_code == 200, reply.text
    return reply.json()


def metric(door: Door, name: str) -> int:
    """Of all models together."""
    lines = door.get("/metrics").text.splitlines()
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith(f"{name}{{"))


@contextmanager
def serving(site: Site, **more: str) -> Iterator[Door]:
    """A gateway of the test's own, in a process of its own, stopped as an operator stops it."""
    with Child.native({**site.env, **more}) as child:
        yield Door("native", child.url, site)


class Tenant:
    """``funds``: nano-USD; none of them makes a postpaid wallet without a limit."""

    def __init__(self, door: Door, funds: int | None = None, *, hold: str | None = None, **wallet: object) -> None:
        self.door, self.name = door, f"tenant-{next(_numbers)}"
        kind = "postpaid" if funds is None else "prepaid"
        administer(door, "wallet.create", wallet=self.name, kind=kind, **wallet)
        if funds:
            administer(door, "wallet.topup", wallet=self.name, amount=usd(funds), reference=f"for {self.name}")
        if hold:
            administer(door, "wallet.terms", wallet=self.name, hold=hold, reason="contract")
        self.key = administer(door, "keys.create", name=self.name, wallet=self.name, user_path=f"/{self.name}")
        self.client = self.at(door)

    def at(self, door: Door) -> httpx.Client:
        """This customer's connections to a gateway."""
        headers = {"authorization": f"Bearer {self.key['secret']}"}
        return httpx.Client(base_url=door.base_url, headers=headers, timeout=30)

    def close(self) -> None:
        self.client.close()

    def chat(self, **members: object) -> httpx.Response:
        return self.client.post("/chat/completions", json={**CHAT, **SHORT, **members})

    def served(self, **members: object) -> Any:  # noqa: ANN401 - JSON
        """The receipt of a call that has to be served."""
        reply = self.chat(**members)
        assert reply.status_code == 200, reply.text
        return self.receipt(reply)

    def stream(self, **members: object) -> Any:  # noqa: ANN401 - httpx's own context manager
        return self.client.stream("POST", "/chat/completions", json={**CHAT, **SHORT, "stream": True, **members})

    def storm(self, calls: int, *doors: Door, callers: int = 32, **members: object) -> list[httpx.Response]:
        """So many calls at once, dealt out over the doors."""
        clients = [self.at(door) for door in doors or (self.door,)]
        body = {**CHAT, **SHORT, **members}
        with ThreadPoolExecutor(callers) as pool:
            dealt = (clients[n % len(clients)] for n in range(calls))
            replies = list(pool.map(lambda client: client.post("/chat/completions", json=body), dealt))
        for client in clients:
            client.close()
        return replies

    def receipt(self, reply: httpx.Response) -> Any:  # noqa: ANN401 - JSON
        """What the customer reads of one call, once it is settled."""
        path = f"/orders/{reply.headers['x-gotoai-order']}"

        def shown() -> Any:  # noqa: ANN401 - JSON
            told = self.client.get(path)
            assert told.status_code == 200, told.text
            return told.json()

        eventually(lambda: shown()["finished_at"])
        return shown()

    def wallet(self) -> Any:  # noqa: ANN401 - JSON
        return administer(self.door, "wallet.balance", wallet=self.name)

    def spent(self) -> int:
        """For good or on an estimate."""
        wallet = self.wallet()
        return nano(wallet["spent_known"]) + nano(wallet["spent_provisional"])

    def entries(self, *kinds: str) -> list[Any]:
        """The ledger's entries on this wallet, of these kinds or all."""
        told: list[Any] = administer(self.door, "ledger.entries", wallet=self.name, limit=10_000)["entries"]
        return [entry for entry in told if not kinds or entry["kind"] in kinds]

    def orders(self) -> list[str]:
        """Every order that was opened, oldest first."""
        return [entry["order"] for entry in self.entries("reserve")]

    def limit(self, *, period: dict[str, Any] | None = None, **cap: object) -> str:
        """A budget that counts all that this wallet spends."""
        name = f"budget-{next(_numbers)}"
        period = period or {"every": "lifetime"}
        administer(self.door, "budget.create", name=name, wallet=self.name, period=period, **cap)
        return name

    def budget(self, name: str) -> Any:  # noqa: ANN401 - JSON
        listed = administer(self.door, "budget.list", wallet=self.name)["budgets"]
        return next(budget for budget in listed if budget["name"] == name)

    def rests(self) -> None:
        """Waits until no call of this wallet is open."""
        eventually(lambda: self.wallet()["open_orders"] == 0)

    def hold(self, **members: object) -> int:
        """What is held for such a call. It makes one."""
        return nano(self.served(**members)["hold"])


# The fixture: opens tenants at a gateway.
Opener = Callable[..., Tenant]


def restarted(site: Site, tenant: Tenant) -> Child:
    """The gateway again after a crash, with the tenant at its new address."""
    child = Child.native(site.env)
    tenant.close()
    tenant.door = Door("native", child.url, site)
    tenant.client = tenant.at(tenant.door)
    return child


def abandon(tenant: Tenant, **members: object) -> None:
    """Sends a call and hangs up once the provider has it, before anything has come back."""
    site, url = tenant.door.site, urlsplit(tenant.door.base_url)
    before = len(site.calls())
    body = json.dumps({**CHAT, **SHORT, **members}).encode()
    head = (
        f"POST {url.path}/chat/completions HTTP/1.1",
        f"host: {url.netloc}",
        f"authorization: Bearer {tenant.key['secret']}",
        f"content-length: {len(body)}",
    )
    assert url.hostname
    assert url.port
    with closing(socket.create_connection((url.hostname, url.port))) as caller:
        caller.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        eventually(lambda: len(site.calls()) > before)
