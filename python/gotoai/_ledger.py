"""The ledger for people who read it: spend, statements, entries; amounts are ``Decimal``, tables fit data frames.

Every answer is that of an administrative operation (docs/reference.md); what is booked by hand goes through
``gateway.admin`` or the command line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload

from ._host import Host
from ._reply import Object, decode_object, encode_arguments
from ._settings import Setting
from .errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow

Dimension: TypeAlias = Literal["day", "provider", "endpoint", "wallet", "key", "user_path"]

PAGE_ENTRIES = 1000
# Members that hold an amount wherever they stand; a test holds the answers to it.
MONEY = frozenset(
    {
        "absorbed",
        "amount",
        "available",
        "cap",
        "cash",
        "charge",
        "closing",
        "cost",
        "cost_estimated",
        "cost_known",
        "cost_reported",
        "cost_uncertain_max",
        "credit_limit",
        "credited",
        "debited",
        "fee",
        "granted",
        "held",
        "held_now",
        "hold",
        "left",
        "opening",
        "owed",
        "pass_through",
        "paying_out",
        "provisional",
        "refunded",
        "spent_known",
        "spent_provisional",
        "spent_uncertain_max",
        "upstream_cost",
    }
)


@dataclass(frozen=True, slots=True)
class Bar:
    """An amount with its error bar, in USD: the truth lies between ``known`` and ``most``."""

    known: Decimal
    uncertain_max: Decimal

    @property
    def most(self) -> Decimal:
        """What it is at most."""
        return self.known + self.uncertain_max

    def __str__(self) -> str:
        return f"{self.known} + at most {self.uncertain_max}"


class Table(Sequence[Object]):
    """Rows with the same members: ``pandas.DataFrame(table)``, ``polars.from_arrow(table.to_arrow())``."""

    def __init__(self, rows: Sequence[Object]) -> None:
        self._rows = rows

    @overload
    def __getitem__(self, index: int) -> Object: ...
    @overload
    def __getitem__(self, index: slice) -> "Table": ...
    def __getitem__(self, index: int | slice) -> "Object | Table":
        return Table(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {', '.join(self._rows[0]) if self._rows else 'nothing'}>"

    def to_arrow(self) -> "pyarrow.Table":
        """An Arrow table; amounts are ``decimal128(19, 9)``, so that nothing becomes a float. Needs pyarrow."""
        try:
            import pyarrow as pa
        except ImportError:
            why = "an Arrow table needs pyarrow: pip install 'gotoai[parquet]'"
            raise ConfigurationError(why, code="configuration", status=500) from None
        names = list(self._rows[0]) if self._rows else []
        amount = pa.decimal128(19, 9)
        return pa.table({name: pa.array(self._column(name), amount if name in MONEY else None) for name in names})

    def _column(self, name: str) -> list[Any]:
        """The values of a column; a budget of requests counts under the names that one of money has."""
        values = [row[name] for row in self._rows]
        return [Decimal(one) if name in MONEY and isinstance(one, int) else one for one in values]


@dataclass(frozen=True, slots=True)
class Spend:
    """What calls have come to: rows of the dimensions asked for, and the totals. All amounts in USD."""

    rows: Table
    totals: Object

    @property
    def spent(self) -> Bar:
        """What users pay."""
        return Bar(self.totals.spent_known, self.totals.spent_uncertain_max)

    @property
    def cost(self) -> Bar:
        """What providers bill."""
        return Bar(self.totals.cost_known, self.totals.cost_uncertain_max)


@dataclass(frozen=True, slots=True)
class Statement:
    """A wallet's calendar month (UTC). ``opening`` and the movements make ``closing``. All amounts in USD."""

    wallet: str
    month: str
    opening: Decimal
    closing: Decimal
    #: ``kind`` and ``amount`` of what came and went.
    movements: Table
    #: A row a day and model.
    usage: Table
    totals: Object
    #: False while the month is not over.
    complete: bool


class Ledger:
    """A ledger, for reading: ``gateway.ledger``, or on its own beside a gateway that serves from the same file.

        with gotoai.Ledger(data_dir="/var/lib/gotoai") as ledger:
            print(ledger.spend("day", "endpoint").spent)

    On its own it opens the store only: it recovers nothing, asks no provider, and serves nobody. Takes the arguments of
    ``SyncGateway``. Blocks; may be used by several threads. Errors are ``gotoai.GatewayError``.
    """

    def __init__(
        self,
        *,
        config: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        _host: Host | None = None,
        **settings: Setting,
    ) -> None:
        self._owned = _host is None
        self._host = Host(config, env, settings, offline=True) if _host is None else _host

    def spend(
        self,
        *by: Dimension,
        since: date | str | None = None,
        until: date | str | None = None,
        wallet: str | None = None,
    ) -> Spend:
        """What calls have come to, a row for each value of ``by`` (``provider``, unless said otherwise).

        ``since`` is the first day (UTC; the first of this month), ``until`` the day after the last one (tomorrow).
        """
        asked = {"from": since, "to": until, "wallet": wallet, "by": list(by) or None}
        told = self._ask("ledger.spend", **{name: value for name, value in asked.items() if value is not None})
        # The dimensions first, as people read a table.
        rows = [Object({**{name: row[name] for name in told["by"]}, **row}) for row in told["rows"]]
        return Spend(Table(rows), told["totals"])

    def statement(self, wallet: str, month: str) -> Statement:
        """The month (``2026-11``) of a wallet. Raises where the entries do not explain the balance."""
        told = self._ask("wallet.statement", wallet=wallet, month=month)
        movements, usage = Table(told["movements"]), Table(told["usage"])
        amounts = {name: told[name] for name in ("opening", "closing")}
        facts = {
            "wallet": told["wallet"],
            "month": told["month"],
            "complete": told["complete"],
            "totals": told["totals"],
        }
        return Statement(movements=movements, usage=usage, **amounts, **facts)

    def entries(self, *, wallet: str | None = None, order: str | None = None, after_seq: int = 0) -> Iterator[Object]:
        """Entries with their ``postings``, oldest first, read page by page. ``payload``: the record that is hashed."""
        where = {name: value for name, value in (("wallet", wallet), ("order", order)) if value is not None}
        after: int | None = after_seq
        while after is not None:
            page = self._ask("ledger.entries", after_seq=after, limit=PAGE_ENTRIES, **where)
            yield from page["entries"]
            after = page["next_after"]

    def postings(self, *, wallet: str | None = None, order: str | None = None, after_seq: int = 0) -> Table:
        """The same as a table: a row for each movement from a ``debit`` account to a ``credit`` account."""
        entries = self.entries(wallet=wallet, order=order, after_seq=after_seq)
        head = ("seq", "ts", "kind", "order", "actor")
        return Table(
            [
                Object({**{name: one[name] for name in head}, **posting})
                for one in entries
                for posting in one["postings"]
            ]
        )

    def order(self, order: str) -> Object:
        """One call: hold, charge, cost, usage, attempts, entries."""
        return self._ask("ledger.order", id=order)

    def wallet(self, name: str = "default") -> Object:
        """What a wallet has, holds, owes and has spent."""
        return self._ask("wallet.balance", wallet=name)

    def wallets(self) -> Table:
        """All wallets, a row each."""
        return Table(self._ask("wallet.list")["wallets"])

    def budgets(self, wallet: str | None = None) -> Table:
        """Budgets with what is used of the window under way; those of one wallet only, if it is named."""
        where = {} if wallet is None else {"wallet": wallet}
        return Table(self._ask("budget.list", **where)["budgets"])

    def builders(self) -> Table:
        """Who earns a share on calls, and what is owed to each."""
        return Table(self._ask("ledger.builders")["builders"])

    def verify(self) -> Object:
        """Proves the books from the first entry on: ``ok``, and ``checks`` with what was found."""
        return self._ask("ledger.verify")

    def close(self) -> None:
        """Closes what this object has opened; the ledger of a gateway stays open with it. Idempotent."""
        if self._owned:
            self._host.close()

    def __enter__(self) -> Self:
        self._host.core()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, operation: str, **arguments: object) -> Object:
        read: Object = _read(decode_object(self._host.admin(operation, encode_arguments(arguments))))
        return read


def _read(value: Any, name: str = "") -> Any:  # noqa: ANN401 - JSON
    """Amounts, days and moments as what they are."""
    match value:
        case dict():
            return Object({name: one if name == "payload" else _read(one, name) for name, one in value.items()})
        case list():
            return [_read(one) for one in value]
        case str() if name in MONEY:
            return Decimal(value)
        case str() if name == "day":
            return date.fromisoformat(value)
        case str() if name == "ts" or name.endswith("_at"):
            return datetime.fromisoformat(value)
        case _:
            return value
