"""Before the first order: does the exchange have what the run was trained for, and is the account set up for it?

Each check gives one finding. One that says ``refuse`` ends the start; one that says ``note`` is shown and kept, since
terms of today differ from those of the training in most cases. What an account sets (leverage, margin mode) is set
here, while there is no position; with one, it must be as it is wanted.

Money in USDT.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, cast

from rl_trader.errors import RlTraderError
from rl_trader.live.calls import Rest
from rl_trader.live.exchange.outcome import Kind, classify
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.reading import number
from rl_trader.trading import smallest_order

Row = Mapping[str, Any]
MOST_SKEW_MS: Final = 1_000  # of the machine's clock, beyond which a person should know

_MARGIN_TYPES: Final = {"isolated": "ISOLATED", "cross": "CROSSED"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found."""

    level: Literal["ok", "note", "refuse"]
    text: str  # one sentence


class PreflightError(RlTraderError):
    """The exchange did not answer what must be known."""


class Preflight:
    """The checks of one deployment.

    Args:
        rest: To the exchange, its clock set.
        deployment: What is to trade.
        skew_ms: By how much the machine's clock is off.
    """

    def __init__(self, rest: Rest, deployment: Deployment, skew_ms: int) -> None:
        self._rest = rest
        self._deployment = deployment
        self._skew_ms = skew_ms

    async def check(self) -> list[Finding]:
        """Check everything, set what is to be set, and return what was found.

        Raises:
            PreflightError: If the exchange does not answer.
        """
        findings = [self._clock(), *await self._symbol(), *await self._modes()]
        position = await self._position()
        findings += await self._settings(position)
        findings += await self._fees()
        return [*findings, await self._balance()]

    def _clock(self) -> Finding:
        if abs(self._skew_ms) > MOST_SKEW_MS:
            return Finding("note", f"the machine's clock is off by {self._skew_ms} ms; the exchange's is used")
        return Finding("ok", f"the machine's clock is off by {self._skew_ms} ms")

    async def _symbol(self) -> list[Finding]:
        symbol, terms = self._deployment.symbol, self._deployment.terms
        info = cast("Row", await self._ask("exchange_info"))
        rows = [row for row in info["symbols"] if row.get("symbol") == symbol]
        if not rows:
            return [Finding("refuse", f"{symbol} must be traded at the exchange and is not; choose another run")]
        row = rows[0]
        if row.get("status") != "TRADING":
            return [Finding("refuse", f"{symbol} must be trading and is {row.get('status')}; wait until it is")]
        filters = {each["filterType"]: each for each in row["filters"]}
        pairs = (
            ("tick size", terms.tick_size, number(filters["PRICE_FILTER"], "tickSize")),
            ("step size", terms.step_size, number(filters["MARKET_LOT_SIZE"], "stepSize")),
            ("smallest notional", Decimal(repr(terms.min_notional)), number(filters["MIN_NOTIONAL"], "notional")),
        )
        return [
            Finding("ok", f"{name} of {symbol} is {today}")
            if trained == today
            else Finding("note", f"{name} of {symbol} is {today}, and {trained} in training")
            for name, trained, today in pairs
        ]

    async def _modes(self) -> list[Finding]:
        config = cast("Row", await self._ask("account_config"))
        findings = []
        if config.get("canTrade") is not True:
            findings.append(Finding("refuse", "the account must be allowed to trade and is not; look at it"))
        if config.get("dualSidePosition") is not False:
            findings.append(Finding("refuse", "the account must be in one-way mode and is in hedge mode; change it"))
        if config.get("multiAssetsMargin") is not False:
            findings.append(Finding("refuse", "the account must be in single-asset mode and is not; change it"))
        return findings or [Finding("ok", "one-way mode, single-asset mode")]

    async def _position(self) -> Decimal:
        rows = cast("Sequence[Row]", await self._ask("positions", symbol=self._deployment.symbol))
        return sum((number(row, "positionAmt") for row in rows), Decimal(0))

    async def _settings(self, position: Decimal) -> list[Finding]:
        """Compare leverage and margin mode with the run's, and set them while there is no position."""
        symbol, trading = self._deployment.symbol, self._deployment.trading
        leverage, margin_type = trading.leverage_of(symbol), _MARGIN_TYPES[trading.margin_mode]
        rows = cast("Sequence[Row]", await self._ask("symbol_config", symbol=symbol))
        row = rows[0] if rows else {}
        findings = []
        for name, found, wanted, setting in (
            ("margin mode", row.get("marginType"), margin_type, ("margin_mode.set", {"marginType": margin_type})),
            ("leverage", row.get("leverage"), leverage, ("leverage.set", {"leverage": leverage})),
        ):
            if found == wanted:
                findings.append(Finding("ok", f"{name} of {symbol} is {wanted}"))
            elif position:
                findings.append(
                    Finding(
                        "refuse", f"{name} of {symbol} must be {wanted} and is {found} with a position; close it first"
                    )
                )
            else:
                findings.append(await self._set(name, setting[0], setting[1], f"{wanted}, it was {found}"))
        return findings

    async def _set(self, name: str, endpoint: str, values: Mapping[str, str | int], what: str) -> Finding:
        symbol = self._deployment.symbol
        outcome = classify(await self._rest.call(endpoint, symbol=symbol, **values))
        if outcome.kind is Kind.ACKED or outcome.is_already_so:
            return Finding("note", f"{name} of {symbol} is set to {what}")
        return Finding("refuse", f"{name} of {symbol} could not be set ({outcome.reason}); set it by hand")

    async def _fees(self) -> list[Finding]:
        row = cast("Row", await self._ask("commission", symbol=self._deployment.symbol))
        trained, today = self._deployment.terms.taker_fee, number(row, "takerCommissionRate")
        if Decimal(repr(trained)) == today:
            return [Finding("ok", f"the taker fee is {today}")]
        return [Finding("note", f"the taker fee is {today}, and {trained} in training")]

    async def _balance(self) -> Finding:
        rows = cast("Sequence[Row]", await self._ask("balances"))
        wallet = next((number(row, "balance") for row in rows if row.get("asset") == "USDT"), Decimal(0))
        mark = cast("Row", await self._ask("premium_index", symbol=self._deployment.symbol))
        trading = self._deployment.trading
        least = smallest_order(self._deployment.terms, trading, float(number(mark, "markPrice")))
        needed = Decimal(repr(least / trading.max_exposure))
        if wallet < needed:
            return Finding(
                "refuse", f"the wallet must carry the smallest order, {needed:.2f}, and has {wallet}; transfer more"
            )
        return Finding("ok", f"the wallet has {wallet}")

    async def _ask(self, name: str, **arguments: str) -> object:
        outcome = classify(await self._rest.call(name, **arguments))
        if outcome.kind is not Kind.ACKED:
            raise PreflightError(f"the exchange does not answer {name} ({outcome.reason}); try again when it does")
        return outcome.data


def refusals(findings: Sequence[Finding]) -> list[str]:
    """Return what stands against trading."""
    return [finding.text for finding in findings if finding.level == "refuse"]
