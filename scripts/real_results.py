"""Walk the presets through recorded markets and write a page of it: ``python -m scripts.real_results [--workers 2]``.

PPO (5 seeds) and DQN (3 seeds) on BTCUSDT and ETHUSDT at 30 minutes and on the majors at 4 hours, 3 folds, with the
presets as they are and the steps below. Each training writes a small result file when it is done; what has a file is
not trained again, and what was interrupted goes on. The page shows every seed, beside the baselines, with the verdicts.
"""

from pathlib import Path

from scripts._cli import Parser, interrupted, run, tell

RESULTS, PAGE, RUNS = Path("docs/real-results"), Path("docs/real-results.md"), Path("runs")


def _parser() -> Parser:
    parser = Parser(prog="scripts.real_results", description=__doc__)
    parser.add_argument("--workers", type=int, default=1, help="trainings at the same time (default: 1)")
    parser.add_argument("--markets", nargs="+", metavar="M", help="btcusdt-30m, ethusdt-30m, majors-4h (default: all)")
    parser.add_argument("--ppo-steps", type=int, default=1_500_000, help="bars of a PPO training (default: 1,500,000)")
    parser.add_argument("--dqn-steps", type=int, default=400_000, help="bars of a DQN training (default: 400,000)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help=f"folder of the result files (default: {RESULTS})"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help=f"page that is written (default: {PAGE})")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder of runs (default: {RUNS})")
    parser.add_argument("--page-only", action="store_true", help="train nothing: write the page of what is there")
    return parser


def main() -> int:
    """Train what has no result yet, and write the page."""
    arguments = _parser().parse_args()

    from agents.recorded.cells import MARKETS, SEEDS, RealResults, run_real_results
    from agents.recorded.page import write_page
    from agents.training.interruption import TrainingInterruptedError
    from rl_trader.errors import ConfigError

    unknown = [market for market in arguments.markets or () if market not in MARKETS]
    if unknown:
        raise ConfigError(f"unknown market {unknown[0]!r}; choose from {', '.join(MARKETS)}")
    steps = {"ppo": arguments.ppo_steps, "dqn": arguments.dqn_steps}
    if not arguments.page_only:
        real = RealResults(
            configs={name: MARKETS[name] for name in arguments.markets or MARKETS},
            seeds=SEEDS,
            steps=steps,
            results=arguments.results,
            runs=arguments.runs,
        )
        try:
            run_real_results(real, tell, arguments.workers)
        except TrainingInterruptedError:
            return interrupted()
    write_page(arguments.results, arguments.page)
    print(f"page: {arguments.page}; results: {arguments.results}")
    return 0


if __name__ == "__main__":
    run(main)
