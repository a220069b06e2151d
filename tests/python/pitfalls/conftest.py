"""The tenants of these tests, and what has to be true after each of them."""

from collections.abc import Iterator

import pytest

from pitfalls.tenant import Opener, Tenant
from support import Books, Door, Site, eventually


def whole(books: Books) -> None:
    eventually(lambda: books.open_orders() == 0)
    proof = books.ask("ledger.verify")
    assert proof["ok"], [check for check in proof["checks"] if not check["ok"]]


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens tenants, each with a wallet of its own, at the gateway all tests share or at one of its own (`door`).

    Whatever the test did to them: in the end no order is open, and the proof from the first entry finds nothing.
    """
    opened: list[Tenant] = []
    sites: dict[str, Site] = {}

    def open_tenant(funds: int | None = None, *, door: Door | None = None, **wallet: object) -> Tenant:
        door = door or request.getfixturevalue("native")
        sites[door.site.env["GOTOAI_DATA_DIR"]] = door.site
        opened.append(Tenant(door, funds, **wallet))  # type: ignore[arg-type]
        return opened[-1]

    yield open_tenant
    for one in opened:
        one.close()
    for site in sites.values():
        whole(site.books)
