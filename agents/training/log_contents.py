"""What TensorBoard shows of a run besides its curves: the configuration, HParams, and the charts of its custom page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from agents.config import TrainConfig, without_other_learners
from rl_trader.metrics import Metrics
from rl_trader.serialise import to_json

EVAL_METRICS: Final = (
    "total_return",
    "log_growth",
    "sharpe",
    "max_drawdown",
    "turnover",
    "fees_share",
    "slippage_share",
    "funding_share",
    "exposure",
    "time_long",
    "time_short",
    "num_trades",
    "liquidations",
    "stops",
    "refused",
)
HPARAM_METRICS: Final = ("eval/sharpe", "eval/log_growth", "eval/max_drawdown", "eval/total_return")


def _chart(tag: str) -> list[str | list[str]]:
    return ["Multiline", [f"^{tag}$"]]


LAYOUT: Final[dict[str, dict[str, list[str | list[str]]]]] = {
    "Agent beside the baselines (validation)": {
        "total return, fraction": _chart("eval/total_return"),
        "log growth a year": _chart("eval/log_growth"),
        "Sharpe ratio": _chart("eval/sharpe"),
    },
    "Costs (validation)": {
        "fees, share of all flows": _chart("eval/fees_share"),
        "funding, share of all flows": _chart("eval/funding_share"),
        "turnover a day, times the balance": _chart("eval/turnover"),
    },
    "Risk (validation)": {
        "largest drawdown, fraction": _chart("eval/max_drawdown"),
        "mean exposure": _chart("eval/exposure"),
        "liquidations": _chart("eval/liquidations"),
    },
    "While exploring (training accounts)": {
        "mean margin balance, USDT": _chart("account/margin_balance"),
        "mean exposure": _chart("account/exposure"),
        "turnover a day, times the balance": _chart("account/turnover"),
    },
}
"""Charts by category; a run's baselines are sub-runs with the same tags, so that every chart compares."""


def eval_scalars(metrics: Metrics) -> dict[str, float]:
    """Return the figures of an evaluation by tag; a figure that is not defined is left out."""
    figures = metrics.to_json()
    values = {f"eval/{name}": figures[name] for name in EVAL_METRICS} | {"eval/margin_balance": metrics.final_balance}
    return {tag: float(value) for tag, value in values.items() if value is not None}


def configuration_text(config: TrainConfig) -> str:
    """Return the configuration as Markdown, a table a section; of the algorithms only the chosen one."""
    data = without_other_learners(config, to_json(config))
    parts = []
    for name, rows in _sections("run", data):
        lines = [f"| {key} | {_shown(value)} |" for key, value in rows.items()]
        parts.append("\n".join([f"### {name}", "", "| field | value |", "|---|---|", *lines]))
    return "\n\n".join(parts)


def _sections(name: str, data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield name, {key: value for key, value in data.items() if not isinstance(value, dict)}
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _sections(key if name == "run" else f"{name}.{key}", value)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def assumptions_text(assumptions: Sequence[str]) -> str:
    """Return the assumptions as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in assumptions) or "None: every series of the market is recorded."


def hyperparameters(config: TrainConfig) -> dict[str, bool | str | float | int]:
    """Return what runs differ in, under the same names for every algorithm, as TensorBoard's table needs them."""
    learner = to_json(config.learner)
    own = {key: value for key, value in learner.items() if key not in _SHARED}
    trading = config.env.trading
    return {
        "algo": config.algo,
        "seed": config.seed,
        "symbols": " ".join(config.market.symbols),
        "interval": config.market.interval,
        "num_features": len(config.env.features),
        "window": config.env.window,
        "reward": config.env.reward,
        "max_exposure": trading.max_exposure,
        "stop_loss": trading.stop_loss or 0.0,
        **{name: learner[name] for name in _SHARED if name not in ("net_arch", "gamma")},
        "gamma": config.learner.discount,
        "net_arch": " ".join(map(str, learner["net_arch"])),
        "others": ", ".join(f"{key} {value}" for key, value in own.items()),
    }


_SHARED: Final = ("total_timesteps", "num_envs", "n_steps", "batch_size", "learning_rate", "gamma", "net_arch")
