"""Train an agent: ``python -m scripts.train [PRESET] [--field value ...]`` or ``--resume RUN``.

Presets are ``demo`` (the embedded market; the default), ``btcusdt-30m``, ``btcusdt-4h`` and ``majors-4h``, each with
``--algo ppo`` or ``--algo dqn``, and with the extra ``contrib`` also ``qrdqn`` and ``recurrent``. Every number can be
overridden: ``--help`` after a preset lists the fields.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agents.config import without_other_discount
from agents.presets import PRESETS
from rl_trader.errors import ConfigError
from scripts._cli import run
from scripts._overrides import parse_preset

if TYPE_CHECKING:
    from agents.training.run import TrainingRun

COMMAND = "python -m scripts.train"


def main() -> int:
    """Train, or go on with a run that was interrupted."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--resume"]:
        if len(arguments) != 2:  # noqa: PLR2004
            raise ConfigError(f"--resume needs one run folder and nothing else, as in `{COMMAND} --resume runs/NAME`")
        return _resume(Path(arguments[1]))
    if "--resume" in arguments:
        raise ConfigError(f"--resume goes with no preset or other field; type `{COMMAND} --resume runs/NAME`")
    if arguments in (["--help"], ["-h"]):
        print(__doc__)
        for name, (about, _) in PRESETS.items():
            print(f"  {name:<12} {about}")
        return 0
    preset, config = parse_preset(PRESETS, arguments, COMMAND, without_other_discount)
    from agents.training.run import new_run

    return _learn(new_run(config, preset))


def _resume(folder: Path) -> int:
    from agents.training.run import resumed_run

    return _learn(resumed_run(folder))


def _learn(run_: "TrainingRun") -> int:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from agents.known.optimum import optimum_share
    from agents.training.interruption import TrainingInterruptedError

    for sentence in run_.observed.market.assumptions:
        print(f"assumption: {sentence}")
    total, done = run_.total_timesteps, run_.model.num_timesteps
    with logging_redirect_tqdm(), tqdm(total=total, initial=done, unit="bar", unit_scale=True) as bar:

        def report(done: int, _total: int) -> None:
            bar.total = max(run_.total_timesteps, done)  # a run ends with a whole update
            bar.update(done - bar.n)

        try:
            metrics = run_.learn(report)
        except TrainingInterruptedError:
            bar.close()
            print(
                f"interrupted at {run_.model.num_timesteps:,} bars; go on with `{COMMAND} --resume {run_.folder.path}`"
            )
            return 130
        bar.update(run_.model.num_timesteps - bar.n)
    print(f"validation: {metrics.total_return:+.2%} return, Sharpe {metrics.sharpe or 0.0:.2f}")
    share = optimum_share(run_.folder.checkpoint("last"))
    if share is not None:
        print(share)
    print(f"run: {run_.folder.path}")
    print(f"evaluate it: python -m scripts.evaluate {run_.folder.path}")
    print(f"watch it:    tensorboard --logdir {run_.folder.path.parent}")
    return 0


if __name__ == "__main__":
    run(main)
