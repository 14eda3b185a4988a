"""What the exchange does not have: a clock that is moved by whoever asks, for lock-step from another process."""

from typing import Final

from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter
from rl_trader.local_exchange.refusal_texts import refused

MOST_BARS: Final = 100_000  # of one request


def _advance(call: Call) -> object:
    """Let the market go on: by bars, to the next opens, or to a moment."""
    bars, to_ms = call.maybe_whole("bars"), call.maybe_whole("toTime")
    if (bars is None) == (to_ms is None):
        raise refused(-1128)
    if to_ms is not None:
        call.venue.advance(to_ms)
    for _ in range(bars or 0):
        if not call.venue.to_next_open():
            break
    return _clock(call)


def _clock(call: Call) -> object:
    return {"serverTime": call.venue.market_ms(), "isOver": call.venue.market.source.is_over}


CONTROL_ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/local/v1/advance",
        answer=_advance,
        weight=0,
        parameters=(
            Parameter("bars", Kind.WHOLE, least=1, most=MOST_BARS),
            Parameter("toTime", Kind.WHOLE, least=0),
        ),
    ),
    Endpoint(method="GET", path="/local/v1/clock", answer=_clock, weight=0),
)
