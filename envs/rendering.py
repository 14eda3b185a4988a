"""An episode as a line of text or as a picture."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.klines import utc
from rl_trader.market import MarketData

SIZE: Final = (8.0, 6.0)  # inches
DOTS_PER_INCH: Final = 80


class History:
    """What an environment has shown of its episode."""

    def __init__(self, market: MarketData) -> None:
        self._market = market
        self._rows: list[tuple[int, float, float]] = []
        self._symbol = 0

    def begin(self, state: np.void) -> None:
        """Forget the last episode and note the account before its first step."""
        self._symbol = int(state["symbol"])
        row, balance = int(state["bar"]), float(state["margin_balance"])
        notional = float(state["position_amount"]) * float(self._market.bars["mark_close"][row])
        self._rows = [(row, balance, notional / balance)]

    def add(self, outcome: np.void) -> None:
        """Note one step."""
        self._rows.append((int(outcome["bar"]), float(outcome["margin_balance"]), float(outcome["exposure"])))

    def line(self) -> str:
        """Return time, price, exposure and margin balance of the newest bar."""
        row, balance, exposure = self._rows[-1]
        bar = self._market.bars[row]
        when = utc(int(bar["open_time"]) + self._market.interval_ms)
        return (
            f"{when} {self._market.symbols[self._symbol]} {bar['close']:,.2f} USDT"
            f" | exposure {exposure:+.3f} | margin balance {balance:,.2f} USDT"
        )

    def picture(self) -> NDArray[np.uint8]:
        """Return price, exposure and margin balance of the episode so far, (height, width, 3)."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        rows = np.array([row for row, _, _ in self._rows])
        times = self._market.bars["open_time"][rows].astype("datetime64[ms]") + np.timedelta64(
            self._market.interval_ms, "ms"
        )
        figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        axes: Any = figure.subplots(3, 1, sharex=True)
        axes[0].plot(times, self._market.bars["close"][rows], color="black", linewidth=1)
        axes[0].set_ylabel(f"{self._market.symbols[self._symbol]}, USDT")
        axes[1].step(times, [exposure for _, _, exposure in self._rows], where="post")
        axes[1].axhline(0.0, color="grey", linewidth=0.5)
        axes[1].set_ylabel("exposure")
        axes[2].plot(times, [balance for _, balance, _ in self._rows], color="tab:green")
        axes[2].set_ylabel("margin balance, USDT")
        axes[2].tick_params(axis="x", rotation=20)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
