"""What TensorBoard shows of a live account: one point a bar, and what a person was told.

The figures that an evaluation has too have its tags, so that they are drawn over it: ``eval/margin_balance``,
``eval/total_return``, ``eval/max_drawdown``. ``account/`` is the account as in training, ``live/`` the trader itself.
A step is a bar since the ledger began, over all restarts; a point's time is the exchange's.
"""

from pathlib import Path

from rl_trader.live.core.state import Books
from rl_trader.live.monitor.event_file import EventFile
from rl_trader.live.monitor.view import OrderView, View

PREFIX = "live_"  # of the run's name beside the baselines of a run's folder


def log_folder(journal: Path) -> Path:
    """Return the folder of the events of a journal's account: a sub-run of the run whose folder it lies in."""
    return journal.parent / f"{PREFIX}{journal.stem}"


class LiveLog:
    """The events of one live account since this start.

    Args:
        folder: Where they are written.
        bar_ms: Length of a bar.
        epoch: Number of the start.

    Raises:
        OSError: If they cannot be written; from the methods too.
    """

    def __init__(self, folder: Path, bar_ms: int, epoch: int) -> None:
        self._file = EventFile(folder, epoch)
        self._bar_ms = bar_ms
        self._max_drawdown = 0.0
        self._seen: set[str] = set()  # orders whose latencies are written

    def write_bar(self, open_ms: int, view: View, books: Books) -> None:
        """Write what is seen after a bar."""
        account = view.account
        if account is None:
            return
        self._max_drawdown = max(self._max_drawdown, account.drawdown)
        equity = float(account.equity)
        begun = float(books.opening_balance)
        scalars = {
            "eval/margin_balance": equity,
            "eval/max_drawdown": self._max_drawdown,
            "account/margin_balance": equity,
            "account/wallet_balance": float(account.wallet_balance),
            "account/net_exposure": account.exposure,
            "account/exposure": abs(account.exposure),
            "account/margin_ratio": account.margin_ratio,
            "account/drawdown": account.drawdown,
            "account/day_pnl": float(account.day_pnl),
            "live/is_stopped": float(view.stop is not None),
            "live/unknown_orders": float(view.health.unknown_orders),
            "live/weight_used": float(view.health.weight_used),
            "live/loop_lag_ms": view.health.loop_lag_ms,
        }
        if begun > 0:
            scalars["eval/total_return"] = equity / begun - 1.0
        for decision in view.decisions:  # the newest may be upon a later bar
            if decision.open_ms == open_ms:
                scalars["live/target_position"] = float(decision.target)
        self._file.scalars(view.time_ms, self._step(open_ms, books), scalars | self._latencies(view))

    def write_alert(self, t_ms: int, books: Books, text: str) -> None:
        """Write what a person is told."""
        self._file.text(t_ms, self._step(t_ms, books), "run/alerts", text)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _step(self, t_ms: int, books: Books) -> int:
        return max(t_ms // self._bar_ms - books.opened_ms // self._bar_ms, 0) if books.opened_ms else 0

    def _latencies(self, view: View) -> dict[str, float]:
        """Return the longest of the orders that were answered since the last bar."""
        orders = [order for order in view.last_orders if order.client_id not in self._seen and order.latency_ms]
        self._seen = {order.client_id for order in view.last_orders if order.latency_ms}
        return _longest("live/order_latency_ms", orders, "latency_ms") | _longest(
            "live/order_after_close_ms", orders, "after_close_ms"
        )


def _longest(tag: str, orders: list[OrderView], field: str) -> dict[str, float]:
    values = [getattr(order, field) for order in orders if getattr(order, field) is not None]
    return {tag: float(max(values))} if values else {}
