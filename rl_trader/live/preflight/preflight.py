"""Before the first order: does the exchange have what the run was trained for, and is the account set up for it?

Each check gives one finding. One that says ``refuse`` ends the start; one that says ``note`` is shown, since terms of
today differ from those of the training in most cases. Looking changes nothing; what an account sets (leverage, margin
mode) is set afterwards, while there is no position. With one, it must be as it is wanted.

Money in USDT.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.live.core.caps import Caps
from rl_trader.live.exchange.outcome import Kind, Outcome, classify
from rl_trader.live.exchange.permissions import faults_of
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.preflight.caps import compare_caps
from rl_trader.live.preflight.clocks import compare_clocks
from rl_trader.live.preflight.finding import Finding
from rl_trader.live.preflight.terms import check_brackets, check_fee_burn, check_fees, check_symbol, steps_of
from rl_trader.live.reading import number
from rl_trader.trading import smallest_order

Row = Mapping[str, Any]

_MARGIN_TYPES: Final = {"isolated": "ISOLATED", "cross": "CROSSED"}


class PreflightError(RlTraderError):
    """The exchange did not answer what must be known."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """What is to be set at the account."""

    name: str
    endpoint: str
    values: Mapping[str, str | int]
    before: object  # what is set


class Preflight:
    """The checks of one deployment.

    Args:
        rest: To the exchange.
        deployment: What is to trade.
        caps: What no order may exceed.
        wall_ms: The machine's clock, that people see.
        waived: Names of permissions that the key may have all the same.
    """

    def __init__(
        self,
        rest: Rest,
        deployment: Deployment,
        caps: Caps,
        *,
        wall_ms: Callable[[], int],
        waived: Collection[str] = (),
    ) -> None:
        self._rest = rest
        self._deployment = deployment
        self._caps = caps
        self._wall_ms = wall_ms
        self._waived = waived
        self._unset: list[_Setting] = []
        self.balance = Decimal(0)
        """Of the wallet, as it was read."""
        self.account_code = ""
        """By which the exchange tells the account from others; empty where it does not."""

    async def look(self) -> list[Finding]:
        """Check everything, change nothing, and return what was found.

        Raises:
            PreflightError: If the exchange does not answer.
            ConfigError: If it does not take the key.
            UnreadableError: If an answer lacks what is needed of it.
        """
        if not await self._rest.synchronise():
            rest = self._rest.venue.rest
            raise ConfigError(f"the exchange at {rest} must tell its time and does not; see whether it can be reached")
        clock = compare_clocks(self._wall_ms(), self._rest.clock.now_ms(), self._rest.venue.name)
        if clock.level == "refuse":  # what is signed would be refused
            return [clock]
        findings = [clock, *await self._key(), *await self._symbol()]
        if any(finding.level == "refuse" for finding in findings):  # there may be nothing more to ask about
            return findings
        findings += await self._modes()
        findings += await self._balance()
        findings += await self._brackets()
        findings += await self._settings()
        findings += await self._fees()
        return [*findings, *compare_caps(self._caps, self._deployment.trading)]

    async def set_up(self) -> list[Finding]:
        """Set what looking has found to be set otherwise, and return how that went."""
        findings = [await self._set(setting) for setting in self._unset]
        self._unset = []
        return findings

    async def _key(self) -> list[Finding]:
        if self._rest.venue.wallet is None:
            return [Finding("note", f"venue {self._rest.venue.name} does not say what the key may do; not checked")]
        faults = faults_of(await self._ask("key.restrictions"), self._waived)
        waived = [Finding("note", f"the key may have {name}: waived") for name in self._waived]
        return [*waived, *(Finding("refuse", fault) for fault in faults)] or [
            Finding("ok", "the key may read and trade futures, from given addresses, and nothing else")
        ]

    async def _symbol(self) -> list[Finding]:
        info = cast("Row", await self._ask("exchange_info"))
        return check_symbol(info["symbols"], self._deployment.terms)

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

    async def _settings(self) -> list[Finding]:
        """Compare leverage and margin mode with the run's; they can be set while there is no position."""
        symbol, trading = self._deployment.symbol, self._deployment.trading
        leverage, margin_type = trading.leverage_of(symbol), _MARGIN_TYPES[trading.margin_mode]
        position = await self._position()
        rows = cast("Sequence[Row]", await self._ask("symbol_config", symbol=symbol))
        row = rows[0] if rows else {}
        findings: list[Finding] = []
        self._unset = []
        for name, found, wanted, endpoint, values in (
            ("margin mode", row.get("marginType"), margin_type, "margin_mode.set", {"marginType": margin_type}),
            ("leverage", row.get("leverage"), leverage, "leverage.set", {"leverage": leverage}),
        ):
            what = f"{name} of {symbol}"
            if found == wanted:
                findings.append(Finding("ok", f"{what} is {wanted}"))
            elif position:
                text = f"{what} must be {wanted} and is {found} with a position of {position}; close it first"
                findings.append(Finding("refuse", text))
            else:
                findings.append(Finding("note", f"{what} is {found} and is going to be set to {wanted}"))
                self._unset.append(_Setting(what, endpoint, cast("Mapping[str, str | int]", values), found))
        return findings

    async def _set(self, setting: _Setting) -> Finding:
        outcome = classify(await self._rest.call(setting.endpoint, symbol=self._deployment.symbol, **setting.values))
        (wanted,) = setting.values.values()
        if outcome.kind is Kind.ACKED or outcome.is_already_so:
            return Finding("note", f"{setting.name} is set to {wanted}, it was {setting.before}")
        return Finding("refuse", f"{setting.name} could not be set to {wanted} ({outcome.reason}); set it by hand")

    async def _brackets(self) -> list[Finding]:
        symbol, trading = self._deployment.symbol, self._deployment.trading
        answer = await self._ask("brackets", symbol=symbol)
        rows = cast("Sequence[Row]", answer if isinstance(answer, list) else [answer])
        wanted = self.balance * Decimal(repr(float(trading.max_exposure)))
        largest = min(wanted, self._caps.max_position_notional)
        return check_brackets(steps_of(rows, symbol), self._deployment.terms, int(trading.leverage_of(symbol)), largest)

    async def _fees(self) -> list[Finding]:
        row = cast("Row", await self._ask("commission", symbol=self._deployment.symbol))
        burn = cast("Row", await self._ask("fee_burn"))
        return [*check_fees(row, self._deployment.terms), check_fee_burn(burn, self._deployment.trading)]

    async def _balance(self) -> list[Finding]:
        rows = cast("Sequence[Row]", await self._ask("balances"))
        row = next((row for row in rows if row.get("asset") == "USDT"), {"balance": "0"})
        self.balance, self.account_code = number(row, "balance"), str(row.get("accountAlias", ""))
        mark = cast("Row", await self._ask("premium_index", symbol=self._deployment.symbol))
        trading = self._deployment.trading
        least = smallest_order(self._deployment.terms, trading, float(number(mark, "markPrice")))
        needed = Decimal(repr(least / trading.max_exposure))
        if self.balance < needed:
            text = f"the wallet must carry the smallest order, {needed:.2f} USDT, and has {self.balance}; transfer more"
            return [Finding("refuse", text)]
        return [Finding("ok", f"the wallet has {self.balance} USDT")]

    async def _ask(self, name: str, **arguments: str) -> object:
        outcome = classify(await self._rest.call(name, **arguments))
        if outcome.kind is not Kind.ACKED:
            raise _unanswered(name, outcome, self._rest.venue.name)
        return outcome.data


def _unanswered(name: str, outcome: Outcome, venue: str) -> RlTraderError:
    if outcome.is_key_refused:
        return ConfigError(
            f"the exchange must take the key of venue {venue} and refuses it ({outcome.reason}); see that key and "
            "secret belong together and to this venue, and that the key may be used from this address"
        )
    return PreflightError(f"the exchange does not answer {name} ({outcome.reason}); try again when it does")
