"""One training on a known-answer market and its score: a cell of the table, kept in the run's own folder.

A cell is a run like any other (``agents.training.run``), named after row, algorithm and seed; its score is written
beside its checkpoints when it is done. A cell that was interrupted goes on where its training was last saved.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from agents.config import DISCRETE, SECTIONS, DQNConfig, MarketConfig, PPOConfig, TrainConfig
from agents.known.optimum import optimum_share, share_of
from agents.known.policy_map import draw_policy_map
from agents.known.rollouts import best_decisions, policy_decisions, roll_out
from agents.known.variants import CHOSEN, find_variant
from agents.markets import known_market
from agents.pool import interrupt_if_asked, run_tasks
from agents.run_folder import RunFolder, read_json, write_json
from agents.training.run import TrainingRun, new_run, resumed_run
from agents.training.training_log import write_known_answer
from rl_trader.checkpoint import Checkpoint
from rl_trader.config import EpisodeConfig
from rl_trader.errors import ConfigError
from rl_trader.known_answers.rows import ROWS, find_rows
from rl_trader.known_answers.series import INTERVAL, START_MS
from rl_trader.optimum import Score

Algo = Literal["ppo", "dqn", "qrdqn", "recurrent"]

SCORE_FILE: Final = "score.json"
MAP_FILE: Final = "policy_map.png"
TRAIN_DAYS: Final = 18_250  # 1,752,000 bars
HELD_OUT_DAYS: Final = 86  # about a stretch of 8,192 bars, for the validation and for the test
EPISODE_BARS: Final = 32  # of training: each begins with a position of its own, and many shall
ROLLOUT_BARS: Final = 100_000
ROLLOUT_STRETCHES: Final = 32
ROLLOUT_SEED: Final = 20_000  # of bars that no policy was trained on

PPO: Final = PPOConfig(
    total_timesteps=2_500_000,
    num_envs=512,
    n_steps=64,
    batch_size=4_096,
    n_epochs=5,
    learning_rate=1e-3,
    gamma=0.995,
    gae_lambda=0.95,
    ent_coef=0.01,
    net_arch=(32, 32),
    activation="relu",
    hold_probability=0.9,
)
PPO_CONTINUOUS: Final = replace(
    PPO,
    total_timesteps=8_000_000,
    batch_size=2_048,
    gamma=0.98,
    gae_lambda=0.5,
    ent_coef=0.0,
    hold_probability=0.0,
)
"""Of markets without levels: with a spread of actions, the trades of the coming bars are noise that a long advantage
would add up."""
OTHER_PPO: Final = {
    # A position pays for itself after more than a hundred bars.
    "K2-2": replace(PPO, total_timesteps=8_000_000, gamma=0.999, ent_coef=0.02, hold_probability=0.98),
    # A trade of twice the size costs four times as much: so does a wide spread.
    "K4-1": replace(PPO_CONTINUOUS, log_std_init=-1.5),
    "K4-2": replace(PPO_CONTINUOUS, log_std_init=-1.5),
}
"""Of rows that need settings of their own."""
RECURRENT: Final = PPOConfig(
    total_timesteps=1_000_000,
    num_envs=64,
    n_steps=64,
    batch_size=1_024,
    learning_rate=1e-3,
    net_arch=(32, 32),
)
DQN: Final = DQNConfig(
    total_timesteps=2_000_000,
    num_envs=64,
    gamma=0.995,
    n_steps=10,
    cut_returns=True,
    net_arch=(32, 32),
    learning_rate=1e-3,
    target_update_interval=100,
    exploration_final_eps=0.1,
)
OTHER_DQN: Final = {
    # As above.
    "K2-2": replace(DQN, total_timesteps=8_000_000, gamma=0.999, n_steps=40, exploration_final_eps=0.05),
}
DQN_REWARD_SCALE: Final = 0.02
"""Four times the deviation of a bar in K0 to K2. Of an error above 1 the loss takes the size and no longer the square:
the fees of a flip, which are rare and dear, would count for less than they cost."""
OTHER_DQN_REWARD_SCALE: Final[dict[str, float | None]] = {"K2-2": None}
"""Where nothing is dear; None is fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is trained."""

    row: str
    algo: Algo
    seed: int
    steps: int | None = None  # None is the row's own
    variant: str = CHOSEN

    @property
    def name(self) -> str:
        """Return the name of the run."""
        suffix = "" if self.variant == CHOSEN else f"-{self.variant}"
        return f"{self.row}-{self.algo}-{self.seed}{suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellScore:
    """What a trained policy does, exactly and in the environment."""

    row: str
    algo: str
    seed: int
    steps: int
    optimum: Score
    exact: Score | None  # None where the policy sees more than the solver's state
    rollout: Score
    rollout_error: float  # of its growth per bar
    shortfall: float  # growth per bar less the best policy's on the same seeds
    shortfall_error: float

    @property
    def growth(self) -> float:
        """Return the exact growth per bar, or the optimum less what the policy falls short of the best one by."""
        return self.exact.growth_per_bar if self.exact else self.optimum.growth_per_bar + self.shortfall

    @property
    def percent(self) -> float | None:
        """Return the growth in percent of the optimum; None where that is 0."""
        return share_of(self.growth, self.optimum.growth_per_bar)

    @property
    def behaviour(self) -> Score:
        """Return the figures of which turnover and exposure are taken."""
        return self.exact or self.rollout

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        scores = {name: getattr(self, name) for name in ("optimum", "exact", "rollout")}
        return asdict(self) | {name: score and score._asdict() for name, score in scores.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CellScore":
        """Return what ``to_json`` wrote."""
        scores = {name: data[name] and Score(**data[name]) for name in ("optimum", "exact", "rollout")}
        return cls(**(data | scores))


def cell_config(cell: Cell, runs: Path) -> TrainConfig:
    """Return the configuration of a cell's run.

    Raises:
        ConfigError: If the algorithm cannot act in the market, or the variant is unknown.
    """
    market = ROWS[cell.row]
    if cell.algo in DISCRETE and not market.trading.levels:
        raise ConfigError(f"{cell.algo} needs discrete actions, and {cell.row} has none; choose ppo or another market")
    begin = datetime.fromtimestamp(START_MS / 1000, UTC)
    days = (0, TRAIN_DAYS, TRAIN_DAYS + HELD_OUT_DAYS, TRAIN_DAYS + 2 * HELD_OUT_DAYS)
    dates = [(begin + timedelta(days=day)).date().isoformat() for day in days]
    chosen = TrainConfig(
        algo=cell.algo,
        seed=cell.seed,
        device="cpu",
        runs=runs,
        name=cell.name,
        evaluations=1,
        market=MarketConfig(
            symbols=(cell.row,),
            mirror=market.is_symmetric,
            denoise_rewards=market.is_visible,
            interval=INTERVAL,
            train=(dates[0], dates[1]),
            validation=(dates[1], dates[2]),
            test=(dates[2], dates[3]),
        ),
        env=replace(
            market.env_config(),
            episode=EpisodeConfig(episode_bars=EPISODE_BARS),
            reward_scale=_reward_scale(cell),
        ),
        ppo=_ppo_config(cell),
        dqn=OTHER_DQN.get(cell.row, DQN),
    )
    config = find_variant(cell.variant)(chosen)
    if cell.steps is None:
        return config
    learner = replace(config.learner, total_timesteps=cell.steps)
    return replace(config, **{config.section: learner})  # type: ignore[arg-type]  # of its kind


def _reward_scale(cell: Cell) -> float | None:
    return OTHER_DQN_REWARD_SCALE.get(cell.row, DQN_REWARD_SCALE) if cell.algo in DISCRETE else None


def _ppo_config(cell: Cell) -> PPOConfig:
    if cell.algo == "recurrent":
        return RECURRENT
    return OTHER_PPO.get(cell.row, PPO if ROWS[cell.row].trading.levels else PPO_CONTINUOUS)


def play_cell(cell: Cell, runs: Path) -> CellScore:
    """Return the score of a cell: the one that was kept, or after training it, from where it was interrupted.

    Args:
        cell: What is trained.
        runs: Folder of the runs.

    Raises:
        ConfigError: If the cell was made with other settings.
        RlTraderError: If its folder is damaged or cannot be written.
        TrainingInterruptedError: If Ctrl-C was pressed; the next call goes on from there.
    """
    folder = runs / cell.name
    if folder.exists():
        _check_settings(folder, cell_config(cell, runs))
        if (folder / SCORE_FILE).exists():
            return CellScore.from_json(read_json(folder / SCORE_FILE))
    run = _begun(cell, runs)
    run.learn(lambda _done, _total: interrupt_if_asked())
    checkpoint = run.folder.checkpoint("last")
    score = score_checkpoint(cell, checkpoint)
    draw_policy_map(checkpoint, folder / MAP_FILE)
    write_known_answer(folder, cell.row, score.percent, score.behaviour, score.steps)
    write_json(folder / SCORE_FILE, score.to_json())
    return score


def _check_settings(folder: Path, config: TrainConfig) -> None:
    """Refuse a run of other settings; what another algorithm is trained with does not matter.

    The reward scale is fitted when a run begins.
    """
    kept = RunFolder.open(folder).config()
    others = {section: getattr(config, section) for section in SECTIONS if section != config.section}
    kept_env = kept.env if config.env.reward_scale is not None else replace(kept.env, reward_scale=None)
    if replace(kept, env=kept_env, runs=config.runs, **others) != config:
        raise ConfigError(f"{folder} was made with other settings; remove it, or give another folder with --runs")


def _begun(cell: Cell, runs: Path) -> TrainingRun:
    """Return a cell's run: one that goes on, or a new one where none was saved."""
    folder = runs / cell.name
    if RunFolder(folder).resume_folder.exists():
        return resumed_run(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return new_run(cell_config(cell, runs), cell.row)


def score_checkpoint(cell: Cell, checkpoint: Checkpoint) -> CellScore:
    """Return what a checkpoint does on the solver's grid and in the environment, on bars that it was not trained on."""
    market = ROWS[cell.row]
    best = market.solve()
    share = optimum_share(checkpoint)
    series = known_market(cell.row, ROLLOUT_STRETCHES * market.stretch_bars, ROLLOUT_SEED)
    own, other = (
        roll_out(decide, market, series, checkpoint.scaling, num_bars=ROLLOUT_BARS, seed=ROLLOUT_SEED)
        for decide in (
            policy_decisions(checkpoint.policy),
            best_decisions(best, series, market.trading.max_exposure),
        )
    )
    shortfall, error = own.less(other)
    return CellScore(
        row=cell.row,
        algo=cell.algo,
        seed=cell.seed,
        steps=int(checkpoint.facts["timesteps"]),
        optimum=best.score,
        exact=None if share is None else share.score,
        rollout=own.score,
        rollout_error=own.error,
        shortfall=shortfall,
        shortfall_error=error,
    )


def cells_of(markets: list[str], algo: Algo, num_seeds: int, steps: int | None) -> list[Cell]:
    """Return the cells of markets and rows; where none is named, all that the algorithm can act in.

    Raises:
        ConfigError: If a market is unknown, or the algorithm cannot act in one that is named.
    """
    if num_seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, was {num_seeds}; give a whole number from 1")
    if steps is not None and steps < 1:
        raise ConfigError(f"--steps must be at least 1, was {steps}; give a whole number from 1")
    rows = find_rows(markets)
    if not markets and algo in DISCRETE:
        rows = [row for row in rows if ROWS[row].trading.levels]
    cells = [Cell(row=row, algo=algo, seed=seed, steps=steps) for row in rows for seed in range(num_seeds)]
    for cell in cells:
        cell_config(cell, Path())
    return cells


def play_cells(cells: list[Cell], runs: Path, workers: int) -> Iterator[CellScore]:
    """Return an iterator over the scores of cells in their order, as they are done.

    Args:
        cells: What is trained.
        runs: Folder of the runs.
        workers: Processes; 1 trains in this one.

    Raises:
        ConfigError: If there is no worker.
        RlTraderError: As ``play_cell``.
        TrainingInterruptedError: If Ctrl-C was pressed.
    """
    return _in_order(cells, run_tasks(partial(play_cell, runs=runs), cells, workers))


def _in_order(cells: list[Cell], played: Iterator[tuple[Cell, CellScore]]) -> Iterator[CellScore]:
    """Yield the scores of cells that are played in any order."""
    scores: dict[Cell, CellScore] = {}
    num_told = 0
    for cell, score in played:
        scores[cell] = score
        while num_told < len(cells) and cells[num_told] in scores:
            yield scores[cells[num_told]]
            num_told += 1
