"""The journal's rows, gathered into steps: from one bar's close to the next, with what was decided and what was booked.

Rows come in the order in which they were journalled, from a session at work or from its journal: it makes no
difference. Amounts in base asset and signed, money in USDT, times in milliseconds since 1970 UTC.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from rl_trader.live.journal.rows import (
    AccountRow,
    DecisionRow,
    FillRow,
    IncomeRow,
    IntentRow,
    IntentStateRow,
    MarketRow,
    Row,
)


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade of the account, with the order that it is of; None is somebody else's, or not known."""

    fill: FillRow
    order: IntentRow | None

    @property
    def amount(self) -> Decimal:
        """Signed."""
        return self.fill.quantity if self.fill.side == "BUY" else -self.fill.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What lies between two closes."""

    before: AccountRow  # at the first close
    decision: DecisionRow | None  # upon that bar; None where there was none
    trades: tuple[Trade, ...]  # that were told since
    income: tuple[IncomeRow, ...]  # likewise
    after: AccountRow  # at the next close that was seen

    def income_of(self, *kinds: str) -> Decimal:
        """Return what was booked of some kinds, USDT."""
        return sum((row.amount for row in self.income if row.income_type in kinds), Decimal(0))


@dataclass(slots=True)
class Steps:
    """Gathers rows of one symbol."""

    symbol: str
    market: list[MarketRow] = field(default_factory=list)  # since they were last taken
    _before: AccountRow | None = None
    _decision: DecisionRow | None = None
    _trades: list[Trade] = field(default_factory=list)
    _income: list[IncomeRow] = field(default_factory=list)
    _orders: dict[str, IntentRow] = field(default_factory=dict)
    _client_ids: dict[int, str] = field(default_factory=dict)  # by order number

    def take(self, rows: Iterable[Row]) -> Iterator[Step]:
        """Take rows, and yield the steps that they end."""
        for row in rows:
            if isinstance(row, IncomeRow | IntentStateRow) or getattr(row, "symbol", None) == self.symbol:
                yield from self._take(row)

    def _take(self, row: Row) -> Iterator[Step]:
        match row:
            case MarketRow():
                self.market.append(row)
            case AccountRow():
                yield from self._close(row)
            case DecisionRow():
                self._decision = row
            case IntentRow():
                self._orders[row.client_order_id] = row
            case IntentStateRow() if row.order_id is not None:
                self._client_ids[row.order_id] = row.client_order_id
            case FillRow():
                self._trades.append(Trade(row, self._order_of(row)))
            case IncomeRow():
                self._income.append(row)

    def _order_of(self, fill: FillRow) -> IntentRow | None:
        known = self._orders.get(fill.client_order_id or "")
        return known or self._orders.get(self._client_ids.get(fill.order_id, ""))

    def _close(self, after: AccountRow) -> Iterator[Step]:
        before, decision = self._before, self._decision
        trades, income = tuple(self._trades), tuple(self._income)
        self._before, self._decision = after, None
        self._trades.clear()
        self._income.clear()
        if before is not None:
            made = decision if decision is not None and decision.bar_open_ms == before.bar_open_ms else None
            yield Step(before=before, decision=made, trades=trades, income=income, after=after)
