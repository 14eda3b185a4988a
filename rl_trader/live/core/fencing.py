"""Until when the exchange may still accept an order that was written to a socket."""

from typing import Final

RECV_WINDOW_MS: Final = 3_000  # short, since until then nobody knows that an order will not be accepted
BACKEND_MS: Final = 10_000  # that the exchange itself waits before it says that it does not know
SLACK_MS: Final = 5_000


def fence_ms(sent_ms: int, recv_window_ms: int = RECV_WINDOW_MS) -> int:
    """Return the server time after which an order can no longer be accepted.

    Args:
        sent_ms: Server time at which it was written, at the latest.
        recv_window_ms: How long after that the exchange takes it.
    """
    return sent_ms + recv_window_ms + BACKEND_MS + SLACK_MS
