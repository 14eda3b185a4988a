"""What a person asks to be deployed, made ready: venue, keys, checkpoint, caps, and for real money the arming.

Nothing is sent while it is read. Where money is at stake, the exchange is then looked at and a person types the leave;
only what comes of that can reach the exchange with more than a question.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.live.arming.arming import NO_STOP, PAPER_HOURS, Arming, Wish, arm
from rl_trader.live.arming.paper_time import PaperKeeper, PaperTime, build_sha256
from rl_trader.live.core.caps import NOT_FOR_LIVE, Caps, load_caps
from rl_trader.live.drift.band import Band, load_band
from rl_trader.live.exchange.local_keys import ask_local_keys
from rl_trader.live.exchange.permissions import check_waived
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.secrets import AskKeyring, Credentials, find_credentials, load_credentials
from rl_trader.live.exchange.server_clock import ServerClock
from rl_trader.live.exchange.venue import DEMO, LIVE, Gate, Look, Venue, VenueName
from rl_trader.live.exchange.wire import AiohttpTransport
from rl_trader.live.paper_caps import keep_paper_caps
from rl_trader.live.policy.deployment import Deployment, load_deployment
from rl_trader.live.policy.own_features import check_own_features
from rl_trader.live.preflight.clocks import wall_ms
from rl_trader.live.preflight.preflight import Preflight
from rl_trader.live.redaction import Redactor
from rl_trader.live.session import SessionSetup
from rl_trader.live.streams.sockets import MachineClock
from rl_trader.live.trader import Watcher

LOCAL_REST: Final = "http://127.0.0.1:8550"
LOCAL_STREAMS: Final = "ws://127.0.0.1:8550"

_FIXED: Final = {VenueName.DEMO: DEMO, VenueName.LIVE: LIVE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person asks for, as it is typed; None is what was not said."""

    run: Path
    caps: Path | None = None  # None lets caps for paper be made out of the run
    mode: VenueName = VenueName.PAPER
    rest: str | None = None
    streams: str | None = None
    symbol: str | None = None
    checkpoint: str = "best"
    keys: Path | None = None
    journal: Path | None = None
    account: str = "main"
    hours: float | None = None
    paper_hours: float | None = None
    waived: tuple[str, ...] = ()
    band: Path | None = None
    allowed: tuple[str, ...] = ()  # modules whose features may be imported


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is asked for, read and found to fit together."""

    venue: Venue
    deployment: Deployment
    caps: Caps
    credentials: Credentials | None  # None lets a local exchange be asked for its own
    account: str
    journal: Path
    waived: tuple[str, ...]  # permissions of the key
    band: Band  # of the drift from the simulation
    wish: Wish | None  # what is to be armed; None where no money is at stake
    paper: PaperTime
    redactor: Redactor = field(default_factory=Redactor)
    notes: tuple[str, ...] = ()  # what a person should know of it


def prepare(order: Order, environment: Mapping[str, str], ask_keyring: AskKeyring | None, redactor: Redactor) -> Launch:
    """Read what is asked for, before anything is sent anywhere.

    Args:
        order: What.
        environment: The process's, for keys.
        ask_keyring: The system's.
        redactor: Is told of the keys at once.

    Raises:
        ConfigError: If something contradicts the rest, or is missing.
        CheckpointError: If the run cannot be deployed.
        ContractError: If its symbol does not allow its leverage.
    """
    venue = venue_of(order)
    check_own_features(order.run, order.checkpoint, order.allowed)
    deployment = load_deployment(order.run, order.symbol, order.checkpoint)
    caps, notes = _caps(order, deployment)
    wish = _wish(order, deployment)
    credentials = _credentials(order, environment, ask_keyring)
    if credentials is not None:
        _hide(credentials, redactor)
    return Launch(
        venue=venue,
        deployment=deployment,
        caps=caps,
        credentials=credentials,
        account=order.account,
        journal=order.journal or order.run / f"{order.mode}-{order.account}.journal",
        waived=_waived_permissions(order),
        band=Band() if order.band is None else load_band(order.band),
        wish=wish,
        paper=PaperTime(order.run, deployment.checkpoint_sha256, build_sha256()),
        redactor=redactor,
        notes=notes,
    )


def _caps(order: Order, deployment: Deployment) -> tuple[Caps, tuple[str, ...]]:
    """Return the caps, and what a person is told of them."""
    path = order.caps
    notes: tuple[str, ...] = ()
    if path is None:
        if order.mode is not VenueName.PAPER:
            raise ConfigError(f"mode {order.mode} needs the operator's caps and there are none; give --caps FILE")
        path, note = keep_paper_caps(order.run, deployment)
        notes = (note,)
    caps, _, is_for_live = load_caps(path)
    if order.mode is VenueName.LIVE and not is_for_live:
        raise ConfigError(
            f"the caps of {path} were made for paper and nobody has weighed them; weigh each, take the line"
            f" {NOT_FOR_LIVE!r} out, or give others by --caps"
        )
    caps.check_run(deployment.symbol, deployment.trading)
    return caps, notes


def _credentials(order: Order, environment: Mapping[str, str], ask_keyring: AskKeyring | None) -> Credentials | None:
    """Return the keys that were given; None lets a local exchange be asked."""
    if order.mode is VenueName.PAPER and order.keys is None:
        return find_credentials(order.mode, environment, None, ask_keyring)
    return load_credentials(order.mode, environment, order.keys, ask_keyring)


def _hide(credentials: Credentials, redactor: Redactor) -> None:
    redactor.add(credentials.key.reveal())
    redactor.add(credentials.secret.reveal())


def venue_of(order: Order) -> Venue:
    """Return where is traded; the addresses of demo and live are fixed.

    Raises:
        ConfigError: If addresses are given for them, or one of a local exchange is not on this machine.
    """
    if order.mode is VenueName.PAPER:
        return Venue.paper(order.rest or LOCAL_REST, order.streams or LOCAL_STREAMS)
    if order.rest is not None or order.streams is not None:
        raise ConfigError(f"mode {order.mode} has addresses of its own, and --rest and --streams are for paper alone")
    return _FIXED[order.mode]


async def setup_of(launch: Launch, ask: Callable[[str], str], tell: Callable[[str], object]) -> SessionSetup:
    """Return what a session is made of; a local exchange is asked for its keys, and a person arms what is at stake.

    Args:
        launch: What is asked for.
        ask: Shows a text, and returns the line that a person types.
        tell: Shown what is found.

    Raises:
        ConfigError: If something stands against it.
        PreflightError: If the exchange does not answer.
    """
    for note in launch.notes:
        tell(note)
    credentials = launch.credentials
    if credentials is None:
        credentials = await ask_local_keys(launch.venue, launch.account)
        _hide(credentials, launch.redactor)
        tell(f"keys of the account {launch.account}: those of the local exchange at {launch.venue.rest}")
    arming = None if launch.wish is None else await _armed(launch, launch.wish, ask, tell)
    return SessionSetup(
        deployment=launch.deployment,
        venue=launch.venue,
        gate=Gate(launch.venue, None if arming is None else arming.token),
        credentials=credentials,
        account=launch.account,
        caps=launch.caps,
        journal=launch.journal,
        arming=arming,
        band=launch.band,
        waived=launch.waived,
        redactor=launch.redactor,
    )


def watchers_of(launch: Launch) -> list[Watcher]:
    """Return what watches a session: on paper, whoever counts its hours."""
    return [PaperKeeper(launch.paper, MachineClock().monotonic_ms)] if launch.venue.name is VenueName.PAPER else []


async def _armed(launch: Launch, wish: Wish, ask: Callable[[str], str], tell: Callable[[str], object]) -> Arming:
    """Let a person look, and arm; whatever is asked passes a gate that lets nothing else through."""
    transport = AiohttpTransport(Gate(launch.venue, Look()))
    clock = ServerClock(MachineClock().monotonic_ms)
    rest = Rest(launch.venue, transport, clock, redactor=launch.redactor, credentials=launch.credentials)
    preflight = Preflight(rest, launch.deployment, launch.caps, wall_ms=wall_ms, waived=launch.waived)
    try:
        return await arm(wish, preflight, launch.paper, now_ms=clock.now_ms, ask=ask, tell=tell)
    finally:
        await rest.close()


def _wish(order: Order, deployment: Deployment) -> Wish | None:
    if order.mode is not VenueName.LIVE:
        if order.hours is not None or order.paper_hours is not None or NO_STOP in order.waived:
            raise ConfigError(
                f"mode {order.mode} is not armed, and --hours, --paper-hours and --waive {NO_STOP} are for live alone"
            )
        return None
    if order.hours is None:
        raise ConfigError("mode live is armed for some hours, and how many was not said; give --hours")
    paper_hours = PAPER_HOURS if order.paper_hours is None else order.paper_hours
    return Wish(deployment=deployment, hours=order.hours, paper_hours=paper_hours, waived=order.waived)


def _waived_permissions(order: Order) -> tuple[str, ...]:
    names = tuple(name for name in order.waived if name != NO_STOP)
    check_waived(names)
    return names
