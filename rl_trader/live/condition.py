"""How a session is, beside what its core knows."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a session knows beside the core's state."""

    now_ms: int  # the exchange's time
    clock_error_ms: int | None  # by which that may have been wrong when it was set
    is_user_stream_up: bool
    mark_price: Decimal | None  # the newest that was told; None before the first
    weight_used: int  # of the exchange's limit, this minute
    weight_limit: int
