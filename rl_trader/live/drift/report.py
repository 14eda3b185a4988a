"""The drift of a deployment that has traded, out of its journal."""

import heapq
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.klines import utc
from rl_trader.live.drift.archive import Archive
from rl_trader.live.drift.comparison import BarDrift, Comparison
from rl_trader.live.drift.pricing import Priced
from rl_trader.live.drift.steps import Step, Steps
from rl_trader.live.drift.totals import Totals, totals_of
from rl_trader.live.journal.reader import JournalReader, open_read_only
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
from rl_trader.live.policy.deployment import Deployment
from rl_trader.observed_market import ObservedMarket

_KINDS: Final[tuple[type[Row], ...]] = (IntentRow, IntentStateRow, FillRow, IncomeRow, DecisionRow, AccountRow)
"""Of one event in this order: an order is known before its trades."""


def read_drift(path: Path, deployment: Deployment) -> list[BarDrift]:
    """Return the drift of every bar after the first, the oldest first; none where fewer than two were closed.

    Args:
        path: The journal's; nobody may be writing it.
        deployment: What was deployed.

    Raises:
        ConfigError: If the journal is another checkpoint's, or of a trader at work.
        JournalError: If it cannot be read, or is no journal.
        DataError: If the market data in it are damaged.
    """
    if not path.exists():
        raise ConfigError(f"the journal {path} is not there; name the one of a session, or trade first")
    with closing(open_read_only(path)) as journal:
        _check_identity(journal, deployment)
        archive = Archive(deployment)
        archive.add(row for _, row in journal.rows(MarketRow) if row.symbol == deployment.symbol)
        steps = list(_steps(journal, deployment.symbol))
    return list(_compared(steps, archive, deployment))


def _check_identity(journal: JournalReader, deployment: Deployment) -> None:
    found, wanted = journal.identity().get("checkpoint"), deployment.checkpoint_sha256
    if found != wanted:
        raise ConfigError(
            f"the journal {journal.path} must be of the checkpoint {wanted[:12]} of {deployment.name}"
            f" and is of {str(found)[:12]}; name the run that was deployed, or --checkpoint"
        )


def _steps(journal: JournalReader, symbol: str) -> Iterator[Step]:
    every = [[(seq, place, row) for seq, row in journal.rows(kind)] for place, kind in enumerate(_KINDS)]
    rows = (row for _, _, row in heapq.merge(*every, key=itemgetter(0, 1)))
    return Steps(symbol).take(rows)


def _compared(steps: list[Step], archive: Archive, deployment: Deployment) -> Iterator[BarDrift]:
    comparison, stretches = Comparison(deployment), archive.stretches()
    announced = {step.after.bar_open_ms: step.after.next_funding_ms for step in steps}
    window_ms = (deployment.num_bars - 1) * deployment.interval_ms

    @lru_cache(maxsize=1)
    def market(first_ms: int, last_ms: int) -> ObservedMarket:
        return archive.observed(first_ms, last_ms, announced.get(last_ms))

    for step in steps:
        needed = step.before.bar_open_ms - window_ms, step.after.bar_open_ms
        whole = next((each for each in stretches if each[0] <= needed[0] and needed[1] <= each[1]), None)
        yield comparison.take(step, None if whole is None else market(*whole))


# As text and JSON


def as_text(bars: list[BarDrift], name: str) -> str:
    """Return the drift in lines for a person."""
    totals = totals_of(bars)
    if not totals.compared:
        return f"{name}: {totals.bars} bars, none of which the simulation can play beside it; nothing is compared\n"
    lines = [
        f"{name}: {totals.bars} bars from {utc(bars[0].open_ms)} to {utc(bars[-1].open_ms)},"
        f" {totals.compared} of them beside the simulation",
        _line("observations", _share(totals.rebuilt, totals), "come out of the recorded bars with the same bytes"),
        _line("decisions", _share(totals.repeated, totals), "are what the policy wants of them again"),
        _line("", _share(totals.same_observations, totals), "see what the simulation sees"),
        _line("", _share(totals.same_actions, totals), "want what the simulation wants"),
        _line("trades", str(totals.trades), f"{totals.priced} of which the simulation has a price for"),
        _line("slippage", f"{totals.slippage:.8f}", f"USDT beyond the simulation, {_part(totals)} of the notional"),
        _pair("fees", totals.fees, totals.simulated_fees),
        _pair("funding", totals.funding, totals.simulated_funding),
        _pair("equity", totals.equity or Decimal(0), totals.simulated_equity or Decimal(0)),
        _line("", f"{totals.largest_equity_gap:.8f}", "USDT at most between the two at a bar's close"),
    ]
    return "".join(f"{line}\n" for line in lines)


def as_json(bars: list[BarDrift], name: str) -> dict[str, object]:
    """Return the drift as JSON values; money and prices as texts."""
    return {"name": name, "total": _plain(asdict(totals_of(bars))), "bars": [_bar_json(bar) for bar in bars]}


def _bar_json(bar: BarDrift) -> dict[str, object]:
    made = None if bar.decisions is None else {**asdict(bar.decisions), "is_same_action": bar.decisions.is_same_action}
    values = {**asdict(bar), "decisions": made, "equity_gap": bar.equity_gap}
    return {**_plain(values), "trades": [_trade_json(trade) for trade in bar.trades]}


def _trade_json(trade: Priced) -> dict[str, object]:
    return _plain({**asdict(trade), "slippage": trade.slippage})


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in values.items()}


def _share(number: int, totals: Totals) -> str:
    return f"{number} of {totals.compared}"


def _part(totals: Totals) -> str:
    return f"{totals.slippage_fraction:.4%}"


def _pair(what: str, live: Decimal, simulated: Decimal) -> str:
    return _line(what, f"{live:.8f}", f"USDT, in the simulation {simulated:.8f}, difference {live - simulated:+.8f}")


def _line(what: str, value: str, words: str) -> str:
    return f"  {what:<14}{value:>20}  {words}"
