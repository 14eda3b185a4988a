"""Baselines that deploy like an agent: a random forest, and crossings of moving averages, as runs with checkpoints.

The forest predicts the log return of the next bars from the market's part of the observation. It is fitted on the
training period alone, whose last bars are left out where their return reaches beyond it; the scaling is the training
period's; the hurdle that a prediction must clear is chosen on the validation period.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.markets import load_market, parse_period, recorded_series
from agents.run_folder import RunFolder
from envs.vector_env import TradingVectorEnv
from rl_trader.backtest import backtest_policy
from rl_trader.baselines import BASELINES, Crossover
from rl_trader.checkpoint import Checkpoint
from rl_trader.decision import ActionMap
from rl_trader.errors import ConfigError
from rl_trader.features import resolve_features
from rl_trader.forest import LEAF, ForestPolicy
from rl_trader.lookahead import check_causal
from rl_trader.market import MarketData, Period
from rl_trader.metrics import Metrics, measure
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.policies import DeployablePolicy
from rl_trader.remembering import decide_in_turn
from rl_trader.scaling import Scaling
from rl_trader.trading import charged_fees

NUM_GOLDEN: Final = 16
HURDLES: Final = (0.0, 0.5, 1.0, 2.0)  # in round trips' costs
CROSSOVERS: Final = {name: rule for name, rule in BASELINES.items() if isinstance(rule, Crossover)}
KINDS: Final = ("forest", *CROSSOVERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestConfig:
    """How the forest is grown."""

    num_trees: int = 100
    max_depth: int = 6
    min_samples_leaf: int = 200
    max_features: float = 0.3  # share of the features that a split looks at
    horizon_bars: int = 12  # whose return is predicted


def fit_baseline(kind: str, config: TrainConfig, name: str, forest: ForestConfig | None = None) -> RunFolder:
    """Fit a baseline and write the folder of its run, which evaluation and deployment take as any other.

    Args:
        kind: One of ``KINDS``.
        config: Market, account, features and seed; its algorithm is not used.
        name: Of the run's folder.
        forest: How a forest is grown.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown baseline {kind!r}; choose from {', '.join(KINDS)}")
    config = replace(config, name=name)
    if kind in CROSSOVERS:
        config = _crossover_config(config, CROSSOVERS[kind])
    schema = config.env.schema
    market = load_market(config.market, schema, config.data)
    check_causal([f for f in resolve_features(schema.features) if f.kernel is not None], market.bars)
    train, validation = parse_period(config.market.train), parse_period(config.market.validation)
    if kind in CROSSOVERS:
        num = len(schema.features)
        scaling = Scaling(np.zeros(num, np.float32), np.ones(num, np.float32))
        observed = observe_market(market, schema, scaling=scaling)
        policy: DeployablePolicy = crossover_policy(schema.size, ActionMap(levels=config.env.trading.levels))
        learner: dict[str, Any] = asdict(CROSSOVERS[kind])
    else:
        chosen = forest or ForestConfig()
        observed = observe_market(market, schema, fit_on=train)
        policy = fit_forest(observed, config, train, validation, chosen)
        learner = asdict(chosen)
    return _write_run(kind, learner, policy, observed, config, validation)


def _write_run(
    kind: str,
    learner: dict[str, Any],
    policy: DeployablePolicy,
    observed: ObservedMarket,
    config: TrainConfig,
    validation: Period,
) -> RunFolder:
    market = observed.market
    metrics = _score(policy, observed, config, validation)
    env = TradingVectorEnv(NUM_GOLDEN, observed, _scaled_reward(config).env, parse_period(config.market.train))
    golden = np.asarray(env.reset(seed=config.seed)[0], np.float32)
    checkpoint = Checkpoint(
        policy=policy,
        env=config.env,
        scaling=observed.scaling,
        interval=market.interval,
        terms=market.terms,
        golden_observations=golden,
        golden_targets=decide_in_turn(policy, golden),
        facts={
            "algorithm": kind,
            "learner": learner,
            "seed": config.seed,
            "timesteps": 0,
            "train": list(config.market.train),
            "validation_period": list(config.market.validation),
            "assumptions": list(market.assumptions),
            "series": recorded_series(config.market, market, config.data),
            "validation": metrics.to_json(),
        },
    )
    assert config.name is not None
    run = RunFolder.create(Path(config.runs) / config.name, config, {"assumptions": list(market.assumptions)})
    run.save(checkpoint, 0, is_best=True)
    return run


def _scaled_reward(config: TrainConfig) -> TrainConfig:
    return replace(config, env=replace(config.env, reward_scale=1.0))  # the reward is not looked at


def _score(policy: DeployablePolicy, observed: ObservedMarket, config: TrainConfig, period: Period) -> Metrics:
    return measure(backtest_policy("baseline", policy, observed, config.env.trading, period))


# ---- Moving averages


def _crossover_config(config: TrainConfig, rule: Crossover) -> TrainConfig:
    features = tuple(f"moving_average_gap_{bars}" for bars in (rule.fast_bars, rule.slow_bars))
    return replace(config, env=replace(config.env, features=features, account_features=("exposure",), window=1))


def crossover_policy(observation_size: int, action_map: ActionMap) -> NetworkPolicy:
    """Return a network of one layer that is long while the fast average is above the slow one, short below.

    The observation begins with the gaps of the close to the fast and to the slow average: the larger the gap, the
    lower the average.
    """
    levels = action_map.levels or (1.0,)
    steepness = 1.0 if action_map.is_discrete else 1e6  # so that a continuous target is cut at -1 or 1
    weight = np.zeros((len(levels), observation_size), np.float32)
    weight[:, 0], weight[:, 1] = -steepness * np.array(levels), steepness * np.array(levels)
    bias = np.array([1e-12 if level == 0.0 else 0.0 for level in levels], np.float32)  # flat where both are equal
    return NetworkPolicy((Layer(weight, bias),), "tanh", "argmax" if action_map.is_discrete else "mean", action_map)


# ---- Forest


def fit_forest(
    observed: ObservedMarket, config: TrainConfig, train: Period, validation: Period, forest: ForestConfig
) -> ForestPolicy:
    """Return the forest of the training period with the hurdle that earned most on the validation period.

    Raises:
        ConfigError: If scikit-learn is not installed, or the training period has too few bars.
    """
    inputs, returns = training_rows(observed, train, forest.horizon_bars)
    arrays = grow_forest(inputs, returns, forest, config.seed)
    cost = round_trip(observed.market, config)
    action_map = ActionMap(levels=config.env.trading.levels)
    policies = [ForestPolicy(arrays, observed.schema.size, factor * cost, action_map) for factor in HURDLES]
    found = [_score(policy, observed, config, validation).log_growth for policy in policies]
    growths = [-math.inf if growth is None else growth for growth in found]
    return policies[growths.index(max(growths))]


def grow_forest(
    inputs: NDArray[np.float32], returns: NDArray[np.float64], forest: ForestConfig, seed: int
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a forest that predicts returns.

    Args:
        inputs: (num_rows, num_inputs).
        returns: (num_rows,) log returns.
        forest: How it is grown.
        seed: Of the samples and features that trees look at.

    Raises:
        ConfigError: If scikit-learn is not installed, or there are too few rows.
    """
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError as error:
        raise ConfigError(
            "a forest needs scikit-learn; install it by `pip install -c constraints.txt -e .[baselines]`"
        ) from error
    if len(inputs) < 2 * forest.min_samples_leaf:
        raise ConfigError(
            f"a forest with leaves of {forest.min_samples_leaf} bars needs twice as many to train on, found"
            f" {len(inputs)}; choose a longer market.train"
        )
    grown = RandomForestRegressor(
        n_estimators=forest.num_trees,
        max_depth=forest.max_depth,
        min_samples_leaf=forest.min_samples_leaf,
        max_features=forest.max_features,
        random_state=seed,
        n_jobs=1,
    ).fit(inputs, returns)
    return forest_arrays([tree.tree_ for tree in grown.estimators_])


def training_rows(
    observed: ObservedMarket, period: Period, horizon_bars: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return inputs (num_rows, window * num_features) and the log returns (num_rows,) of the bars after them.

    Only bars of the period are read: the last ``horizon_bars`` of every segment have no return within it.
    """
    inputs, returns = [], []
    window = observed.schema.window
    close = np.log(observed.market.bars["close"])
    for episode in observed.episodes(period):
        rows = np.arange(episode["first_start"], episode["last_bar"] - horizon_bars + 1)
        if len(rows):
            windows = [observed.rows[rows - window + 1 + i] for i in range(window)]
            inputs.append(np.concatenate(windows, axis=1))
            returns.append(close[rows + horizon_bars] - close[rows])
    if not inputs:
        return np.zeros((0, 1), np.float32), np.zeros(0)
    return np.concatenate(inputs), np.concatenate(returns)


def forest_arrays(trees: list[Any]) -> dict[str, NDArray[Any]]:
    """Return grown trees of scikit-learn, one below the other, as ``rl_trader.forest`` reads them."""
    begins = np.cumsum([0, *(tree.node_count for tree in trees)])
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    for begin, tree in zip(begins, trees, strict=False):
        is_leaf = tree.children_left == -1
        parts["feature"].append(np.where(is_leaf, LEAF, tree.feature))
        parts["threshold"].append(np.where(is_leaf, 0.0, tree.threshold))
        parts["left"].append(np.where(is_leaf, 0, tree.children_left + begin))
        parts["right"].append(np.where(is_leaf, 0, tree.children_right + begin))
        parts["value"].append(tree.value[:, 0, 0])
    kinds = {"threshold": np.float64, "value": np.float64}
    arrays = {f"forest.{name}": np.concatenate(part).astype(kinds.get(name, np.int32)) for name, part in parts.items()}
    return {"forest.roots": begins[:-1].astype(np.int32), **arrays}


def round_trip(market: MarketData, config: TrainConfig) -> float:
    """Return what opening and closing a position costs, a fraction of its notional, mean of the symbols."""
    fees = [charged_fees(terms, config.env.trading).taker for terms in market.terms]
    return 2.0 * (float(np.mean(fees)) + config.env.trading.slippage.half_spread)
