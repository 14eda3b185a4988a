"""Writes an evaluation down: figures as JSON, series as Parquet, and one HTML page that opens without network.

``equity.parquet`` has one row a symbol and bar: ``symbol``, ``close_time`` (ms UTC), ``close`` (last price, USDT),
``target`` (decided before the bar, fraction of max_exposure), ``exposure`` (signed notional over margin balance at the
close), ``margin_balance`` (USDT at the close), what the bar added to it (``price_pnl``, ``fees``, ``slippage``,
``funding``, ``liquidation``, USDT), ``traded_notional`` (USDT), ``events`` (sum of the bits of ``rl_trader.state``) and
for every baseline ``margin_balance_<baseline>`` (USDT).
"""

import json
import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template
from typing import Final

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pyarrow as pa
import pyarrow.parquet as pq
from plotly.offline import get_plotlyjs

from rl_trader.evaluation import Evaluation
from rl_trader.honesty import Honesty, verdict
from rl_trader.metrics import FLOWS
from rl_trader.report import figures, judgement, page
from rl_trader.report.style import PAGE, STYLE

METRICS_FILE: Final = "metrics.json"
EQUITY_FILE: Final = "equity.parquet"
REPORT_FILE: Final = "report.html"
_FIGURE_CONFIG: Final = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    "showSendToCloud": False,  # Plotly's "Share chart" uploads the data
    "plotlyServerURL": "",
}


def write_evaluation(folder: Path, evaluation: Evaluation, honesty: Honesty) -> None:
    """Write ``metrics.json``, ``equity.parquet`` and ``report.html`` into a folder, each put in place when complete.

    Args:
        folder: Made if it does not exist; what an earlier evaluation wrote there is replaced.
        evaluation: What is written.
        honesty: What it allows to conclude.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(evaluation_json(evaluation, honesty), indent=2, allow_nan=False) + "\n"
    _put(folder / METRICS_FILE, lambda path: path.write_text(text, encoding="utf-8"))
    table = equity_table(evaluation)
    _put(folder / EQUITY_FILE, lambda path: pq.write_table(table, path, compression="zstd"))
    html = report_html(evaluation, honesty)
    _put(folder / REPORT_FILE, lambda path: path.write_text(html, encoding="utf-8"))


def evaluation_json(evaluation: Evaluation, honesty: Honesty) -> dict[str, object]:
    """Return the figures of an evaluation, and under ``honesty`` what they allow to conclude."""
    return {**evaluation.to_json(), "honesty": honesty.to_json()}


def _put(path: Path, write: Callable[[Path], object]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def equity_table(evaluation: Evaluation) -> pa.Table:
    """Return the series of the agent and the baselines, one row a symbol and bar; columns as in the module."""
    tables = []
    for i, result in enumerate(evaluation.agent):
        outcomes = result.outcomes
        columns = {
            "symbol": pa.array(np.full(len(outcomes), result.symbol)).dictionary_encode(),
            "close_time": result.close_time,
            "close": evaluation.market.bars["close"][outcomes["bar"]],
            "target": result.targets,
        }
        for name in ("exposure", "margin_balance", *FLOWS, "traded_notional", "events"):
            columns[name] = np.ascontiguousarray(outcomes[name])
        for name, results in evaluation.baselines.items():
            columns[f"margin_balance_{name}"] = np.ascontiguousarray(results[i].margin_balance)
        tables.append(pa.table(columns))
    return pa.concat_tables(tables).unify_dictionaries()


def report_html(evaluation: Evaluation, honesty: Honesty) -> str:
    """Return the page: everything it needs is in it."""
    columns = {evaluation.name: evaluation.metrics}
    columns |= {figures.label(name): metrics for name, metrics in evaluation.baseline_metrics.items()}
    return Template(PAGE).substitute(
        title=escape(f"{evaluation.name}: {', '.join(evaluation.market.symbols)} {evaluation.market.interval}"),
        name=escape(evaluation.name),
        style=STYLE,
        plotly=get_plotlyjs(),
        headline=page.headline(evaluation),
        cards=page.cards(evaluation),
        verdict=escape(verdict(honesty)),
        judgement=_judgement(honesty),
        equity=figure_html("equity", figures.equity_figure(evaluation)),
        attribution=figure_html("attribution", figures.attribution_figure(evaluation)),
        flows=figure_html("flows", figures.flow_bars_figure(evaluation)),
        table=page.metrics_table(columns),
        symbols=_symbols(evaluation),
        positions=_positions(evaluation),
        random=_random(evaluation),
        targets=figure_html("targets", figures.target_figure(evaluation)),
        exposure=figure_html("exposure", figures.exposure_figure(evaluation)),
        assumptions=page.bullets(evaluation.assumptions),
        max_points=f"{figures.MAX_POINTS:,}",
    )


def _judgement(honesty: Honesty) -> str:
    if not honesty.differences:
        return ""
    figure = figure_html("differences", judgement.difference_figure(honesty))
    return (
        f"<section><h2>Skill or luck</h2>{judgement.differences_words()}{figure}"
        f'<div class="pair"><div>{judgement.sharpe_table(honesty)}</div>'
        f"<div>{judgement.stress_table(honesty)}</div></div></section>"
    )


def _symbols(evaluation: Evaluation) -> str:
    if len(evaluation.agent) == 1:
        return ""
    return (
        "<section><h2>By symbol</h2><p>The portfolio is the sum of the accounts, which began with equal balances.</p>"
        f"{page.symbols_table(evaluation)}</section>"
    )


def _positions(evaluation: Evaluation) -> str:
    parts = []
    for result in evaluation.agent:
        title = "" if len(evaluation.agent) == 1 else f"<h3>{result.symbol}</h3>"
        parts.append(title + figure_html(f"position_{result.symbol}", figures.position_figure(evaluation, result)))
    return "".join(parts)


def _random(evaluation: Evaluation) -> str:
    if evaluation.random is None:
        return ""
    figure = figure_html("random", figures.random_figure(evaluation, evaluation.random))
    return f"<section><h2>Against chance</h2><p>{page.random_words(evaluation.random)}</p>{figure}</section>"


def figure_html(name: str, figure: go.Figure) -> str:
    """Return a figure as a part of a page that has Plotly's script.

    Args:
        name: Identity of the part.
        figure: What is drawn.
    """
    html: str = plotly.io.to_html(
        figure,
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        div_id=name,
        config=_FIGURE_CONFIG,
    )
    return html
