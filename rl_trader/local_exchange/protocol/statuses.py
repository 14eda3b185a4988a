"""HTTP statuses of refusals, and the body that every refusal has.

Source: the API documentation of USD-M futures, "General Info" (read in autumn 2026); -5000 with 404 and the text
"Path …, Method … is invalid" as recorded by users.
"""

from typing import Final

from rl_trader.local_exchange.books.refusals import RefusedError

_STATUSES: Final = {-1001: 503, -1003: 429, -1007: 408, -1008: 503, -1015: 429, -2014: 401, -2015: 401, -5000: 404}


class StatusError(RefusedError):
    """A refusal with a status that its code does not tell.

    Args:
        status: HTTP's.
        code: The exchange's error code.
        message: The exchange's words.
        retry_after_s: After how many seconds the caller may come back; None where that would not help.
        retry_at_ms: The same as a time of the session's clock.
    """

    def __init__(
        self, status: int, code: int, message: str, retry_after_s: int | None = None, retry_at_ms: int | None = None
    ) -> None:
        super().__init__(code, message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.retry_at_ms = retry_at_ms


def status_of(error: RefusedError) -> int:
    """Return the HTTP status of a refusal, 400 for most."""
    return error.status if isinstance(error, StatusError) else _STATUSES.get(error.code, 400)


def error_body(error: RefusedError) -> dict[str, object]:
    """Return what the exchange answers to a refused request."""
    return {"code": error.code, "msg": str(error)}
