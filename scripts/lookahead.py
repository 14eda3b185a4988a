"""Look for features that know the future: ``python -m scripts.lookahead RUN``.

Rows of the run's features are computed again after every bar that a feature must not know was replaced by noise, and
with these bars cut off. Exit code 1 and the name where a value moves. Training does the same before it begins.
"""

from pathlib import Path

from scripts._cli import Parser, run


def main() -> int:
    """Test every feature of a run and print what was found."""
    parser = Parser(prog="scripts.lookahead", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--data", type=Path, help="folder of market data (default: the run's)")
    parser.add_argument("--feature", action="append", default=[], help="test this one instead, by name or import path")
    parser.add_argument("--rows", type=int, default=64, help="bars at which each is tested (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise and the bars (default: 0)")
    arguments = parser.parse_args()

    from agents.markets import load_market
    from agents.run_folder import RunFolder
    from rl_trader.errors import ConfigError
    from rl_trader.features import resolve_features
    from rl_trader.lookahead import find_lookahead

    if arguments.rows < 1 or arguments.seed < 0:
        raise ConfigError(f"rows must be at least 1 and the seed not negative, were {arguments.rows}, {arguments.seed}")
    config = RunFolder.open(arguments.run).config()
    features = resolve_features(tuple(arguments.feature) or config.env.features)
    market = load_market(config.market, config.env.schema, arguments.data or config.data)
    num_faults = 0
    for feature in features:
        fault = find_lookahead(feature, market.bars, market.signals, rows=arguments.rows, seed=arguments.seed)
        num_faults += fault is not None
        print(f"{feature.name}: {fault or 'knows nothing of later bars'}")
    return 1 if num_faults else 0


if __name__ == "__main__":
    run(main)
