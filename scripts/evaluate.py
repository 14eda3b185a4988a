"""Evaluate a run's checkpoint beside the baselines: ``python -m scripts.evaluate RUN [--period test]``.

The deployable policy is replayed, in the kernel of training, over a period that the run did not train on; metrics,
equity curves and a self-contained HTML report are written into the run's folder.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from scripts._cli import Parser, run, wide_console
from scripts._judgement import print_honesty

if TYPE_CHECKING:
    from agents.evaluate import RunEvaluation


def _parser() -> Parser:
    parser = Parser(prog="scripts.evaluate", description=__doc__)
    parser.add_argument(
        "run", type=Path, nargs="?", metavar="RUN", help="folder of a run (default: the newest in runs/)"
    )
    parser.add_argument(
        "--period", default="test", help="validation, test, or two dates as 2025-01-01:2025-04-01 (default: test)"
    )
    parser.add_argument("--symbol", help="one of the run's symbols (default: all)")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which one (default: best)")
    parser.add_argument("--data", type=Path, help="folder of market data (default: the run's)")
    parser.add_argument("--random-agents", type=int, default=200, help="random agents beside it (default: 200)")
    parser.add_argument("--rule", action="append", default=[], help="further baseline, package.module:object; see docs")
    parser.add_argument("--policy", action="append", default=[], help="likewise, one that decides from observations")
    parser.add_argument("--income", action="store_true", help="write every booking into income.parquet too")
    parser.add_argument("--json", action="store_true", help="print what metrics.json holds, as a list")
    return parser


def main() -> None:
    """Evaluate, and print what matters most."""
    arguments = _parser().parse_args()

    from agents.evaluate import evaluate_run
    from agents.run_folder import newest_run
    from rl_trader.report import evaluation_json

    results = evaluate_run(
        arguments.run or newest_run(Path("runs")),
        arguments.period,
        data=arguments.data,
        symbol=arguments.symbol,
        which=arguments.checkpoint,
        num_random=arguments.random_agents,
        rules=arguments.rule,
        policies=arguments.policy,
        with_income=arguments.income,
    )
    if arguments.json:
        print(json.dumps([evaluation_json(result.evaluation, result.honesty) for result in results], indent=1))
        return
    for result in results:
        print_evaluation(result)


def print_evaluation(result: "RunEvaluation") -> None:
    """Print the table of an evaluation and where its report is."""
    from rich import box
    from rich.table import Table

    evaluation = result.evaluation
    title = f"{evaluation.name}: {', '.join(evaluation.market.symbols)}, {evaluation.played}"
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in (
        "",
        "return",
        "Sharpe",
        "largest\ndrawdown",
        "turnover\na day",
        "fees",
        "funding",
        "liqui-\ndations",
    ):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, metrics in {"agent": evaluation.metrics, **evaluation.baseline_metrics}.items():
        table.add_row(
            name,
            f"{metrics.total_return:+.1%}",
            "-" if metrics.sharpe is None else f"{metrics.sharpe:.2f}",
            f"{metrics.max_drawdown:.1%}",
            f"{metrics.turnover:.2f}",
            f"{metrics.fees:,.0f}",
            f"{metrics.funding:,.0f}",
            str(metrics.liquidations),
        )
    if evaluation.random is not None:
        mean = float(evaluation.random.total_returns.mean())
        table.add_row("random, mean", f"{mean:+.1%}", "", "", f"{evaluation.random.turnover:.2f}", "", "", "")
    console = wide_console()
    console.print(table)
    if evaluation.random is not None:
        console.print(
            f"better than {evaluation.random.share_below:.0%} of {len(evaluation.random.total_returns)} random agents"
            " of equal turnover; one seed and one period prove nothing"
        )
    print_honesty(result.honesty)
    for sentence in evaluation.market.assumptions:
        console.print(f"assumption: {sentence}")
    if result.share is not None:
        console.print(str(result.share))
    console.print(f"report: {result.folder / 'report.html'}", soft_wrap=True)
    if result.income is not None:
        console.print(f"income: {result.income}", soft_wrap=True)


if __name__ == "__main__":
    run(main)
