"""A person lets the trader trade for real, for some hours: what is seen before, what is typed, and what comes of it.

Everything is looked at through a gate that lets questions pass and nothing else, so that nothing has changed at the
exchange when the person says no. It is the same at every venue: what is asked for does not depend on the address.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.klines import utc
from rl_trader.live.arming.paper_time import PaperTime
from rl_trader.live.exchange.venue import Armed
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.preflight.finding import Finding, require_none_refused
from rl_trader.live.preflight.preflight import Preflight

NO_STOP: Final = "no-stop"  # waives that a run must have been trained with a stop
MOST_HOURS: Final = 168.0  # of an arming
PAPER_HOURS: Final = 24.0  # that a policy should have traded on paper
_MS_PER_HOUR: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arming:
    """Leave to trade for real."""

    token: Armed
    until_ms: int  # on the exchange's clock; nothing is entered afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person wants to be armed.

    Raises:
        ConfigError: If the hours are none that can be.
    """

    deployment: Deployment
    hours: float  # until entries end
    paper_hours: float = PAPER_HOURS  # that it must have traded on paper
    waived: Collection[str] = ()

    def __post_init__(self) -> None:
        if not 0 < self.hours <= MOST_HOURS:
            raise ConfigError(
                f"the trader is armed for some hours, {MOST_HOURS:g} at most, not {self.hours:g}; choose by --hours"
            )
        if not 0 <= self.paper_hours < float("inf"):
            raise ConfigError(f"hours on paper must be a number from 0, not {self.paper_hours:g}; leave the option out")


def check_run(wish: Wish, paper: PaperTime) -> list[Finding]:
    """Return what can be said of a wish before anything is asked at the exchange."""
    return [*_stop(wish), *_paper_time(wish, paper.hours)]


async def arm(
    wish: Wish,
    preflight: Preflight,
    paper: PaperTime,
    *,
    now_ms: Callable[[], int],
    ask: Callable[[str], str],
    tell: Callable[[str], object],
) -> Arming:
    """Show everything, and return the leave that the person gives by typing what is asked for.

    Args:
        wish: What is to be armed.
        preflight: Looks at the exchange.
        paper: For how long the policy has traded on paper.
        now_ms: The exchange's time, once it was looked at.
        ask: Shows a text, and returns the line that a person types.
        tell: Shown every finding.

    Raises:
        ConfigError: If something stands against it, or something else was typed.
    """
    findings = check_run(wish, paper)
    _show(findings, tell)
    seen = await preflight.look()
    _show(seen, tell)
    phrase = _phrase(wish, paper, preflight)
    until_ms = now_ms() + round(wish.hours * _MS_PER_HOUR)
    typed = ask(f"Real money is traded until {utc(until_ms)}. To arm the trader, type: {phrase}\n> ")
    if typed.strip() != phrase:
        raise ConfigError(f"to arm the trader, {phrase!r} must be typed and was not; nothing was changed, start again")
    waived = "".join(f", waived {name}" for name in wish.waived)
    return Arming(token=Armed(f"{phrase}{waived}, for {wish.hours:g} hours"), until_ms=until_ms)


def _show(findings: Sequence[Finding], tell: Callable[[str], object]) -> None:
    for finding in findings:
        tell(str(finding))
    require_none_refused(findings)


def _phrase(wish: Wish, paper: PaperTime, preflight: Preflight) -> str:
    """Return what a person has to type; less time on paper than usual has to be said."""
    deployment = wish.deployment
    short = f" after {paper.hours:.1f} hours on paper" if paper.hours < PAPER_HOURS else ""
    return f"trade {deployment.name} on {deployment.symbol} with {preflight.balance:.2f} USDT{short}"


def _stop(wish: Wish) -> list[Finding]:
    stop = wish.deployment.trading.stop_loss
    if stop is not None:
        return [Finding("ok", f"every position has a stop at {stop:g} of its entry price")]
    if NO_STOP in wish.waived:
        return [Finding("note", "the run was trained without a stop and positions have none: waived")]
    return [
        Finding(
            "refuse",
            "a run must have been trained with a stop, which rests at the exchange, and this one was not; train with"
            f" --env.trading.stop-loss, or deploy it by --waive {NO_STOP}",
        )
    ]


def _paper_time(wish: Wish, hours: float) -> list[Finding]:
    if hours < wish.paper_hours:
        return [
            Finding(
                "refuse",
                f"the policy must have traded on paper with this program for {wish.paper_hours:g} hours and has for"
                f" {hours:.1f}; trade on paper, a changed program begins anew",
            )
        ]
    text = f"the policy has traded on paper with this program for {hours:.1f} hours"
    return [Finding("note" if hours < PAPER_HOURS else "ok", text)]
