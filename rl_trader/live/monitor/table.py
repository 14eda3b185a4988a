"""A view as a table for the terminal, drawn over itself."""

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from rl_trader.klines import utc
from rl_trader.live.monitor.view import AccountView, OrderView, View
from rl_trader.live.monitor.words import DASH, age, amount, faults, measured, number, position, wanted

STYLES: Final = {"TRADING": "bold green", "WAITING": "bold yellow", "HALTED": "bold red", "KILLED": "bold red"}
NUM_ORDERS: Final = 6
NUM_ALERTS: Final = 4

_MS: Final = 1_000
_HEADINGS: Final = (
    ("time", "left"),
    ("order", "left"),
    ("amount", "right"),
    ("price", "right"),
    ("state", "left"),
    ("done", "right"),
    ("answered in", "right"),
    ("after the bar", "right"),
)


def table(view: View) -> RenderableType:
    """Return what is drawn of a view."""
    parts: list[RenderableType] = [_head(view)]
    if view.stop is not None:
        parts.append(Text(f"{view.stop.kind}: {view.stop.reason}; `resume` lets it enter again", style="bold red"))
    parts += [Rule(style="dim"), _figures(view)]
    orders = _shown_orders(view)
    if orders:
        parts += [Rule(style="dim"), _orders(orders)]
    if view.alerts:
        parts.append(Rule(style="dim"))
    for alert in view.alerts[:NUM_ALERTS]:
        parts.append(Text(f"{_clock(alert.t_ms)}  {alert.text}", overflow="ellipsis", no_wrap=True, style="dim"))
    return Group(*parts)


def _head(view: View) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(justify="left", ratio=1, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    left = Text.assemble((view.run, "bold"), f"  {view.symbol} {view.interval}  ", (view.mode, "bold cyan"))
    if view.armed_until_ms is not None:
        left.append(f"  armed until {utc(view.armed_until_ms // _MS * _MS)}")
    right = Text.assemble((view.phase, STYLES.get(view.phase, "")), f"  {utc(view.time_ms // _MS * _MS)}")
    grid.add_row(left, right)
    return grid


def _figures(view: View) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    if view.account is None:
        grid.add_row("account", "not known yet")
    else:
        for name, text in _account_rows(view.account):
            grid.add_row(name, text)
    decision = view.decisions[0] if view.decisions else None
    told = f"bar of {utc(decision.open_ms)}: {wanted(decision)}; {age(view.decision_age_ms)}" if decision else DASH
    grid.add_row("decision", told)
    wrong = faults(view.health)
    grid.add_row("health", Text("; ".join(wrong), style="bold yellow") if wrong else Text("all well", style="green"))
    grid.add_row("", Text(measured(view.health), style="dim"))
    return grid


def _account_rows(account: AccountView) -> list[tuple[str, RenderableType]]:
    day = number(account.day_pnl, "+,.2f")
    rows: list[tuple[str, RenderableType]] = [
        (
            "equity",
            Text.assemble(
                (f"{number(account.equity)} USDT", "bold"),
                f"   today {day}   drawdown {account.drawdown:.2%}   wallet {number(account.wallet_balance)}",
            ),
        )
    ]
    held = f"{position(account)}   mark {number(account.mark_price)}"
    if not account.amount:
        return [*rows, ("position", held)]
    ends = DASH if account.liquidation_price is None else number(account.liquidation_price)
    exposure = number(account.exposure, "+.2f")
    return [
        *rows,
        ("position", f"{held}   PnL {number(account.unrealized_pnl, '+,.2f')}"),
        ("margin", f"exposure {exposure}   margin ratio {account.margin_ratio:.2%}   liquidation {ends}"),
    ]


def _shown_orders(view: View) -> list[OrderView]:
    """Return what is open, and the last orders behind it."""
    shown = {order.client_id: order for order in (*view.open_stops, *view.open_orders)}
    for order in view.last_orders:
        if len(shown) < NUM_ORDERS:
            shown.setdefault(order.client_id, order)
    return list(shown.values())


def _orders(orders: list[OrderView]) -> RenderableType:
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading, justify in _HEADINGS:
        drawn.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    for order in orders:
        drawn.add_row(
            _clock(order.t_ms),
            order.purpose,
            amount(order.amount),
            DASH if order.trigger_price is None else number(order.trigger_price),
            order.state,
            number(order.executed.normalize(), ",f"),
            DASH if order.latency_ms is None else f"{order.latency_ms:,.0f} ms",
            DASH if order.after_close_ms is None else f"{order.after_close_ms:,} ms",
        )
    return drawn


def _clock(t_ms: int) -> str:
    return utc(t_ms // _MS * _MS).partition("T")[2].removesuffix("Z") if t_ms else DASH


class LiveTable:
    """A table that is drawn over itself as long as the context lasts; what is said stands above it.

    Args:
        console: A terminal.
    """

    is_terminal = True

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> "LiveTable":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, view: View) -> None:
        """Draw a view."""
        self._live.update(table(view), refresh=True)

    def say(self, text: str) -> None:
        """Write a line above the table."""
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
