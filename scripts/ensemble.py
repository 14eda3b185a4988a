"""Let runs decide together: ``python -m scripts.ensemble RUN RUN ... --name NAME`` makes one run of them.

Its policy takes the mean of the members' targets, times 1 - shrink * variance of them: where they disagree the position
is smaller. With discrete actions the nearest level is taken. The runs must be of one market, observation and account;
they may differ in algorithm, seed and hyperparameters. The new run is evaluated, compared and deployed as any other.
"""

from pathlib import Path

from scripts._cli import Parser, run


def _parser() -> Parser:
    parser = Parser(prog="scripts.ensemble", description=__doc__)
    parser.add_argument("members", nargs="+", type=Path, metavar="RUN", help="folder of a run that takes part")
    parser.add_argument("--name", required=True, help="of the new run's folder")
    parser.add_argument("--runs", type=Path, help="folder that it is made in (default: that of the first run)")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="of the members (default: best)")
    parser.add_argument(
        "--shrink",
        type=float,
        default=1.0,
        help="part of the position that the largest disagreement takes, 0 to 1 (default: %(default)g)",
    )
    return parser


def main() -> None:
    """Write the run and say where it is."""
    arguments = _parser().parse_args()

    from agents.ensemble import make_ensemble
    from agents.known.optimum import optimum_share

    folder = make_ensemble(
        arguments.members,
        arguments.name,
        runs=arguments.runs,
        which=arguments.checkpoint,
        shrink=arguments.shrink,
    )
    checkpoint = folder.checkpoint()
    validation = checkpoint.facts["validation"]
    print(f"validation: {validation['total_return']:+.2%} return, Sharpe {validation['sharpe'] or 0.0:.2f}")
    share = optimum_share(checkpoint)
    if share is not None:
        print(share)
    print(f"run: {folder.path}")
    print(f"evaluate it: python -m scripts.evaluate {folder.path}")


if __name__ == "__main__":
    run(main)
