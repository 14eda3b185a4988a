"""Several runs side by side, by the evaluations in their folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from agents.run_folder import RunFolder, read_json
from rl_trader.errors import CheckpointError

COLUMNS: Final = (
    "run", "algorithm", "seed", "symbols", "interval", "since", "until", "total_return", "sharpe", "sharpe_error",
    "max_drawdown", "turnover", "exposure", "fees", "slippage", "funding", "liquidations", "better_than_random",
    "buy_and_hold_return",
)  # fmt: skip
BUY_AND_HOLD: Final = "buy_and_hold"


def compare_runs(paths: Sequence[Path], evaluation: str = "test") -> list[dict[str, Any]]:
    """Return one row of ``COLUMNS`` a run; fractions, USDT, and turnover a day.

    Args:
        paths: Folders of runs.
        evaluation: Name of the evaluation in each.

    Raises:
        CheckpointError: If a run has no such evaluation or its folder is damaged.
    """
    return [_row(RunFolder.open(path), evaluation) for path in paths]


def _row(run: RunFolder, evaluation: str) -> dict[str, Any]:
    config = run.config()
    path = run.path / "evaluation" / evaluation / "metrics.json"
    if not path.is_file():
        raise CheckpointError(
            f"run {run.path} has no evaluation {evaluation!r}; make it by `python -m scripts.evaluate {run.path}"
            f" --period {evaluation}`"
        )
    found = read_json(path)
    try:
        agent, random = found["agent"], found["random"] or {}
        values: dict[str, Any] = {
            "run": run.name,
            "algorithm": found["facts"].get("algorithm", config.algo),
            "seed": config.seed,
            "symbols": " ".join(found["symbols"]),
            "better_than_random": random.get("share_below"),
            "buy_and_hold_return": found["baselines"][BUY_AND_HOLD]["total_return"],
        }
        return {name: values.get(name, agent.get(name, found.get(name))) for name in COLUMNS}
    except (KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} lacks {error}; evaluate the run again") from error
