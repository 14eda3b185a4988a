"""The page of an evaluation's report: its words, its tables and its style. No figure is made here."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from rl_trader.evaluation import Evaluation, RandomAgents
from rl_trader.klines import utc
from rl_trader.metrics import Metrics, measure
from rl_trader.trading import charged_fees

ABSENT: Final = "\u2013"  # a dash
MINUS: Final = "\u2212"

_PERCENT: Final = "{:.1%}"
_SIGNED_PERCENT: Final = "{:+.1%}"
_MONEY: Final = "{:,.0f}"
_SIGNED_MONEY: Final = "{:+,.0f}"
_COUNT: Final = "{:,}"
_TWO: Final = "{:.2f}"
_TIMES: Final = "{:.2f}\u00d7"

# Group, then field of Metrics, heading and format of each row.
_ROWS: Final = (
    (
        "Return",
        (
            ("total_return", "Total return", _SIGNED_PERCENT),
            ("annual_return", "Annual return, compounded", _SIGNED_PERCENT),
            ("log_growth", "Log growth a year", "{:+.3f}"),
            ("final_balance", "Final balance, USDT", _MONEY),
        ),
    ),
    (
        "Risk",
        (
            ("sharpe", "Sharpe ratio, daily returns, annualised", _TWO),
            ("sharpe_error", "Standard error of it", _TWO),
            ("volatility", "Volatility a year", _PERCENT),
            ("max_drawdown", "Largest drawdown", _PERCENT),
            ("calmar", "Calmar ratio", _TWO),
            ("min_balance", "Lowest balance, USDT", _MONEY),
            ("liquidations", "Liquidations", _COUNT),
            ("stops", "Protective stops", _COUNT),
        ),
    ),
    (
        "Trading",
        (
            ("exposure", "Mean exposure, without sign", _TWO),
            ("time_long", "Time long", _PERCENT),
            ("time_short", "Time short", _PERCENT),
            ("time_flat", "Time flat", _PERCENT),
            ("turnover", "Turnover a day, of the balance", _TIMES),
            ("num_trades", "Trades", _COUNT),
            ("mean_holding_bars", "Mean holding, bars", "{:,.1f}"),
            ("hit_rate", "Trades that won", _PERCENT),
            ("refused", "Refused orders", _COUNT),
        ),
    ),
    (
        "Where it came from, USDT",
        (
            ("price_pnl", "Price", _SIGNED_MONEY),
            ("fees", "Fees", _SIGNED_MONEY),
            ("slippage", "Slippage", _SIGNED_MONEY),
            ("funding", "Funding", _SIGNED_MONEY),
            ("liquidation", "Liquidation", _SIGNED_MONEY),
            ("fees_share", "Fees, share of all flows", _PERCENT),
            ("slippage_share", "Slippage, share of all flows", _PERCENT),
            ("funding_share", "Funding, share of all flows", _SIGNED_PERCENT),
            ("break_even_fee", "Fee at which it earns 0", "{:+.3%}"),
        ),
    ),
)
_SYMBOL_FIELDS: Final = (
    "total_return",
    "sharpe",
    "max_drawdown",
    "num_trades",
    "time_long",
    "time_short",
    "price_pnl",
    "fees",
    "funding",
)


def shown(value: float | None, spec: str) -> str:
    """Return a figure as the tables show it; a zero has no sign."""
    if value is None:
        return ABSENT
    text = spec.format(value)
    is_zero = not any(digit in text for digit in "123456789")
    return text.lstrip("+-") if is_zero else text.replace("-", MINUS)


def metrics_table(columns: Mapping[str, Metrics]) -> str:
    """Return the table of figures, a column a strategy, the agent's first.

    Args:
        columns: By heading.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = []
    for group, rows in _ROWS:
        body.append(f'<tr class="group"><th colspan="{len(columns) + 1}"><span>{group}</span></th></tr>')
        for field, heading, spec in rows:
            cells = "".join(f"<td>{shown(getattr(metrics, field), spec)}</td>" for metrics in columns.values())
            body.append(f"<tr><th>{heading}</th>{cells}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def symbols_table(evaluation: Evaluation) -> str:
    """Return one row of the agent's figures a symbol."""
    rows = {field: (heading, spec) for _, group in _ROWS for field, heading, spec in group}
    head = "".join(f"<th>{rows[field][0]}</th>" for field in _SYMBOL_FIELDS)
    body = []
    for result in evaluation.agent:
        metrics = measure([result])
        cells = "".join(f"<td>{shown(getattr(metrics, field), rows[field][1])}</td>" for field in _SYMBOL_FIELDS)
        body.append(f"<tr><th>{result.symbol}</th>{cells}</tr>")
    return (
        f'<div class="scroll"><table class="plain"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def cards(evaluation: Evaluation) -> str:
    """Return the figures at the top of the page."""
    metrics = evaluation.metrics
    held = evaluation.baseline_metrics.get("buy_and_hold")
    entries = [
        ("Total return", shown(metrics.total_return, _SIGNED_PERCENT), f"{metrics.num_days:,.0f} days"),
        (
            "Sharpe ratio",
            shown(metrics.sharpe, _TWO),
            f"± {shown(metrics.sharpe_error, _TWO)} standard error",
        ),
        ("Largest drawdown", shown(metrics.max_drawdown, _PERCENT), "at the bars' closes"),
        ("Turnover", shown(metrics.turnover, _TIMES), "of the balance a day"),
        ("Fees paid", shown(-metrics.fees, _MONEY), f"USDT, {shown(metrics.fees_share, _PERCENT)} of all flows"),
    ]
    if held is not None:
        entries.insert(1, ("Buy and hold", shown(held.total_return, _SIGNED_PERCENT), "same bars, same costs"))
    if evaluation.random is not None:
        share, num = evaluation.random.share_below, len(evaluation.random.total_returns)
        entries.append(("Better than", shown(share, "{:.0%}"), f"of {num:,} random agents"))
    return "".join(
        f'<div class="card"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="note">{note}</div></div>'
        for name, value, note in entries
    )


def headline(evaluation: Evaluation) -> str:
    """Return in words what was played: symbols, interval, period and account."""
    played, trading = evaluation.played, evaluation.trading
    assert played.since is not None
    assert played.until is not None
    charged = [charged_fees(terms, trading) for terms in evaluation.market.terms]
    kind = "taker" if trading.limit_distance is None else "maker"
    fees = sorted({getattr(fees, kind) for fees in charged})
    symbols = ", ".join(evaluation.market.symbols)
    begins = f"{trading.initial_balance:,.0f} USDT" + (" a symbol" if len(evaluation.agent) > 1 else "")
    stop = f"protective stop at {trading.stop_loss:.1%}" if trading.stop_loss else "no protective stop"
    leverages = sorted({trading.leverage_of(symbol) for symbol in evaluation.market.symbols})
    parts = [
        f"<strong>{escape(symbols)}</strong>, {evaluation.market.interval} bars",
        f"{_day(played.since)} to {_day(played.until)} UTC",
        f"begins with {begins}",
        f"{kind} fee {', '.join(f'{fee:.3%}' for fee in fees)}",
        f"slippage {trading.slippage.half_spread:.3%}"
        + (" and impact" if trading.slippage.sqrt_impact or trading.slippage.linear_impact else ""),
        f"{trading.margin_mode} margin, leverage {', '.join(map(str, leverages))}",
        f"exposure at most {trading.max_exposure:g}",
        stop,
        *(f"{escape(name)} {escape(value)}" for name, value in evaluation.facts.items()),
    ]
    return " · ".join(parts)


def _day(ms: int) -> str:
    return utc(ms).removesuffix("Z").removesuffix("T00:00").replace("T", " ")


def random_words(random: RandomAgents) -> str:
    """Return what the histogram of random agents shows."""
    return (
        f"{len(random.total_returns):,} agents that move to another target position at random, and trade as much as the"
        f" agent: {random.turnover:.2f} times the balance a day, the agent {random.wanted_turnover:.2f} times. The"
        f" agent earned more than {random.share_below:.0%} of them."
    )


def bullets(sentences: Sequence[str]) -> str:
    """Return an HTML list."""
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"
