"""Runs of a random policy on the embedded market, the exchange that they trade on, and what was asked of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from rl_trader.config import EMBEDDED_ENV, Slippage, TradingConfig
from rl_trader.klines import parse_date
from rl_trader.live.core.caps import Caps
from rl_trader.local_exchange.assembly import Setup
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.live_session_stage import CAPS
from tests.random_runs import Make, random_policy, random_run
from tests.small_runs import MARKET, small_config

SYMBOL = "EMBEDDED"
TRADING = TradingConfig(
    leverage=10, max_exposure=5.0, stop_loss=0.02, slippage=Slippage(half_spread=0.0002), levels=(), rebalance_band=0.05
)
OWN_CAPS = replace(CAPS, symbols=(SYMBOL,))
VARIABLES = ("RL_TRADER_PAPER_API_KEY", "RL_TRADER_PAPER_API_SECRET")


def embedded_run(folder: Path, trading: TradingConfig = TRADING, seed: int = 0, make: Make = random_policy) -> Path:
    """Write the folder of a run with a random policy that trades on almost every bar, and return it."""
    env = replace(EMBEDDED_ENV, features=("log_return_1", "hour_sin"), window=2, trading=trading)
    return random_run(replace(small_config(folder, "embedded"), market=MARKET, env=env), seed, make).path


def write_caps(path: Path, caps: Caps = OWN_CAPS) -> Path:
    """Write a file of caps, and return it."""
    data = {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(caps).items()}
    path.write_text(json.dumps(data))
    return path


@dataclass
class Asked:
    """What a local exchange was asked for over REST."""

    requests: list[tuple[str, str]] = field(default_factory=list)  # method and path

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What may have changed something."""
        return [request for request in self.requests if request[0] != "GET"]


@contextmanager
def embedded_exchange(plan: dict[str, Any] | None = None, **setup: Any) -> Iterator[tuple[LocalExchange, Asked]]:
    """Serve the embedded market in lock-step, and note what is asked for.

    Args:
        plan: Of faults.
        **setup: What is other than usual.
    """
    usual = Setup(
        symbols=(SYMBOL,), since_ms=parse_date("2020-02-03"), balance=Decimal(10_000), slippage=TRADING.slippage
    )
    exchange = LocalExchange(replace(usual, **setup), plan=None if plan is None else FaultPlan.of(plan))
    asked, dispatcher = Asked(), exchange.assembly.dispatcher
    answer = dispatcher.handle

    def note(request: Request) -> Response:
        asked.requests.append((request.method, request.path))
        return answer(request)

    dispatcher.handle = note  # type: ignore[method-assign]
    with exchange:
        yield exchange, asked


def words_for(exchange: LocalExchange, run: Path, caps: Path, *more: object) -> list[object]:
    """Return the words that deploy a run on an exchange."""
    return [run, "--caps", caps, "--rest", exchange.url, "--streams", exchange.ws_url, *more]


def keys_of(exchange: LocalExchange) -> dict[str, str]:
    """Return the environment with an exchange's keys."""
    return dict(zip(VARIABLES, (exchange.key.key, exchange.key.secret), strict=True))
