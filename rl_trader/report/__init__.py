"""The report of an evaluation: figures as JSON, equity curves as Parquet, one self-contained HTML page."""

from rl_trader.report.writing import METRICS_FILE, equity_table, evaluation_json, report_html, write_evaluation

__all__ = ["METRICS_FILE", "equity_table", "evaluation_json", "report_html", "write_evaluation"]
