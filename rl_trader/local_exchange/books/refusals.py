"""What the books refuse: requests that make no sense, and requests that the exchange answers with an error code.

An order that is refused inside a bar is no error but an event of that bar
(:mod:`rl_trader.local_exchange.books.checks`).
"""

from rl_trader.errors import RlTraderError


class OrderError(RlTraderError):
    """An order, fill or transfer that cannot be meant: no number, no amount, or against the position it names."""


class RefusedError(RlTraderError):
    """A request that the exchange refuses.

    Args:
        code: The exchange's error code.
        message: One sentence: what was wanted, what was found, what to do.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
