"""The report of an evaluation: figures as JSON, equity curves as Parquet, one self-contained HTML page."""

from rl_trader.report.writing import equity_table, report_html, write_evaluation

__all__ = ["equity_table", "report_html", "write_evaluation"]
