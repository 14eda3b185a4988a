"""Training runs: what is exact, what survives an interruption, a kill and a full disk, and what is left behind."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.known.optimum import optimum_share
from agents.run_folder import RunFolder
from agents.training.interruption import TrainingInterruptedError
from agents.training.resume import find_state
from agents.training.run import new_run, resumed_run
from rl_trader.checkpoint import Checkpoint
from rl_trader.config import EMBEDDED_ENV, EnvConfig, TradingConfig
from rl_trader.decision import ActionMap
from rl_trader.embedded import embedded_terms, solve_embedded
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.optimum import evaluate
from rl_trader.scaling import Scaling
from rl_trader.serialise import to_json
from tests.small_runs import TOTAL, manifest, small_config, train, training_state, weights

REPO = Path(__file__).parents[1]
Algo = Literal["ppo", "dqn", "recurrent"]
ALGOS: tuple[Algo, ...] = ("ppo", "dqn", "recurrent")

Scores = dict[int, float]  # log growth on the validation period, by the bars played before


class Whole:
    """A run that nothing disturbed."""

    def __init__(self, folder: RunFolder, scores: Scores) -> None:
        self.folder = folder
        self.scores = scores


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    """Return one undisturbed run of each algorithm, with the score of every evaluation."""
    return {algo: train_and_note(small_config(tmp_path_factory.mktemp("whole"), "whole", algo)) for algo in ALGOS}


def train_and_note(config: TrainConfig) -> Whole:
    run = new_run(config, "demo")
    scores: Scores = {}

    def note(_done: int, _total: int) -> None:
        if run.folder.index():
            facts = run.folder.checkpoint("last").facts
            scores[facts["timesteps"]] = facts["validation"]["log_growth"]

    run.learn(note)
    note(TOTAL, TOTAL)
    return Whole(run.folder, scores)


def press_ctrl_c_at(bars: int, times: int = 1) -> Callable[[int, int], None]:
    pressed: list[int] = []

    def report(done: int, _total: int) -> None:
        if done >= bars and not pressed:
            for _ in range(times):
                pressed.append(done)
                os.kill(os.getpid(), signal.SIGINT)

    return report


def assert_equal_runs(one: RunFolder, other: RunFolder) -> None:
    assert one.index() == other.index()
    for which in ("last", "best"):
        assert weights(one.checkpoint(which)) == weights(other.checkpoint(which))
        assert manifest(one, which) == manifest(other, which)
    arrays, state = training_state(one)
    other_arrays, other_state = training_state(other)
    assert list(arrays) == list(other_arrays)
    assert [name for name in arrays if arrays[name] != other_arrays[name]] == []
    assert state == other_state


@pytest.mark.parametrize("algo", ALGOS)
def test_a_run_that_was_interrupted_twice_equals_one_that_was_not(
    algo: Algo, whole_runs: dict[str, Whole], tmp_path: Path
) -> None:
    # Evaluations are due at 256, 512 and 768 bars: once before the first, once between two.
    run = new_run(small_config(tmp_path, "cut", algo), "demo")
    with pytest.raises(TrainingInterruptedError):
        run.learn(press_ctrl_c_at(180))
    assert 180 <= run.model.num_timesteps < 256
    assert run.folder.index() == {}
    again = resumed_run(tmp_path / "cut")
    assert again.model.num_timesteps == run.model.num_timesteps
    with pytest.raises(TrainingInterruptedError):
        again.learn(press_ctrl_c_at(400))
    assert 400 <= again.model.num_timesteps < 512
    resumed_run(tmp_path / "cut").learn(lambda _done, _total: None)
    assert_equal_runs(RunFolder.open(tmp_path / "cut"), whole_runs[algo].folder)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_windows_that_slide_change_no_bit_of_a_run_that_was_interrupted(algo: Algo, tmp_path: Path) -> None:
    def windowed(name: str) -> TrainConfig:
        config = small_config(tmp_path, name, algo)
        return replace(config, env=replace(config.env, features=("log_return_1", "hour_sin"), window=7))

    whole = train_and_note(windowed("whole"))
    run = new_run(windowed("cut"), "demo")
    with pytest.raises(TrainingInterruptedError):
        run.learn(press_ctrl_c_at(300))
    resumed_run(run.folder.path).learn(lambda _done, _total: None)
    assert_equal_runs(RunFolder.open(run.folder.path), whole.folder)


@pytest.mark.parametrize("algo", ALGOS)
def test_a_killed_run_goes_on_from_its_last_state_to_the_same_end(
    algo: Algo, whole_runs: dict[str, Whole], tmp_path: Path
) -> None:
    config = json.dumps(to_json(small_config(tmp_path, "killed", algo)))
    code = (
        "import json, os, signal, sys\n"
        "from agents.config import TrainConfig\nfrom agents.training.run import new_run\n"
        "from rl_trader.serialise import from_json\n"
        "config = from_json(TrainConfig, json.loads(sys.argv[1]), 'config')\n"
        "def report(done, total):\n    if done >= 600:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "new_run(config, 'demo').learn(report)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, config], cwd=REPO, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    folder = RunFolder.open(tmp_path / "killed")
    assert folder.checkpoint("last").facts["timesteps"] == 512
    run = resumed_run(folder.path)
    assert run.model.num_timesteps == 512
    run.learn(lambda _done, _total: None)
    assert_equal_runs(folder, whole_runs[algo].folder)


def test_a_small_network_trains_on_one_thread_also_after_numba_has_begun_its_own(tmp_path: Path) -> None:
    config = small_config(tmp_path, "run", "dqn")
    config = replace(config, env=replace(config.env, features=EnvConfig().features))  # which numba's threads compute
    code = (
        "import json, sys, numba, torch\n"
        "from agents.config import TrainConfig\nfrom agents.training.run import new_run\n"
        "from rl_trader.serialise import from_json\n"
        "torch.get_num_threads()\n"  # from here on torch asks OpenMP, as after any large product
        "run = new_run(from_json(TrainConfig, json.loads(sys.argv[1]), 'config'), 'demo')\n"
        "print(torch.get_num_threads(), numba.threading_layer())\n"
    )
    command = [sys.executable, "-c", code, json.dumps(to_json(config))]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "1"


def test_the_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    run = new_run(small_config(tmp_path, "hurry"), "demo")
    with pytest.raises(KeyboardInterrupt):
        run.learn(press_ctrl_c_at(300, times=2))
    assert signal.getsignal(signal.SIGINT) is before
    # What the evaluation at 256 bars saved is there.
    assert RunFolder.open(tmp_path / "hurry").checkpoint("last").facts["timesteps"] == 256
    assert resumed_run(tmp_path / "hurry").model.num_timesteps == 256


@pytest.mark.parametrize("algo", ALGOS)
def test_the_seed_decides_every_bit(algo: Algo, whole_runs: dict[str, Whole], tmp_path: Path) -> None:
    same = train(small_config(tmp_path, "same", algo))
    assert_equal_runs(same, whole_runs[algo].folder)
    other = train(small_config(tmp_path, "other", algo, seed=1))
    assert weights(other.checkpoint("last")) != weights(same.checkpoint("last"))


@pytest.mark.parametrize("algo", ALGOS)
def test_the_best_checkpoint_has_the_highest_growth_of_all_evaluations(
    algo: Algo, whole_runs: dict[str, Whole]
) -> None:
    whole = whole_runs[algo]
    assert len(whole.scores) == 3
    best = whole.folder.checkpoint("best").facts
    assert best["validation"]["log_growth"] == max(whole.scores.values())
    assert whole.scores[best["timesteps"]] == max(whole.scores.values())
    assert whole.folder.checkpoint("last").facts["timesteps"] == max(whole.scores) == TOTAL
    kept = {path.name for path in (whole.folder.path / "checkpoints").iterdir() if path.is_dir()}
    assert kept == set(whole.folder.index().values())


def test_a_run_folder_holds_what_the_other_commands_need(whole_runs: dict[str, Whole]) -> None:
    folder = RunFolder.open(whole_runs["dqn"].folder.path)
    config = folder.config()
    assert config.algo == "dqn"
    assert config.name == folder.name == "whole"
    assert config.env.reward_scale is not None  # fitted on the training period
    about = folder.about()
    assert set(about["versions"]) >= {"python", "torch", "stable-baselines3", "gymnasium", "numpy", "rl-trader"}
    assert about["data"] == {}
    assert about["assumptions"] == []
    checkpoint = folder.checkpoint("best")
    assert checkpoint.symbols == ("EMBEDDED",)
    assert checkpoint.env == config.env
    assert checkpoint.facts["algorithm"] == "dqn"
    assert checkpoint.facts["train"] == ["2020-01-01", "2020-02-01"]
    assert checkpoint.golden_observations.shape == (16, 2)
    assert {path.name for path in folder.resume_folder.iterdir()} == {"model.zip", "arrays.npz", "state.json"}
    assert list(folder.path.glob("events.out.tfevents.*"))
    baselines = {path.name for path in folder.path.glob("baseline_*")}
    assert {"baseline_flat", "baseline_buy_and_hold", "baseline_short_and_hold"} <= baselines
    leftovers = [path for path in folder.path.rglob("*") if path.suffix in (".part", ".old")]
    assert leftovers == []


def test_a_finished_run_can_be_resumed_and_stays_as_it_is(whole_runs: dict[str, Whole], tmp_path: Path) -> None:
    copy = shutil.copytree(whole_runs["ppo"].folder.path, tmp_path / "whole")
    resumed_run(copy).learn(lambda _done, _total: None)
    folder = RunFolder.open(copy)
    assert folder.index() == whole_runs["ppo"].folder.index()
    assert weights(folder.checkpoint("best")) == weights(whole_runs["ppo"].folder.checkpoint("best"))


def test_a_run_without_a_saved_state_says_so(tmp_path: Path) -> None:
    new_run(small_config(tmp_path, "begun"), "demo")
    with pytest.raises(CheckpointError, match="has no state to resume from"):
        resumed_run(tmp_path / "begun")


def test_a_folder_that_exists_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match="taken exists; give another --name"):
        new_run(small_config(tmp_path, "taken"), "demo")
    assert list((tmp_path / "taken").iterdir()) == []


@pytest.mark.parametrize("name", ["model.zip", "arrays.npz", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "removed"])
def test_a_damaged_state_is_one_sentence(name: str, damage: str, whole_runs: dict[str, Whole], tmp_path: Path) -> None:
    copy = shutil.copytree(whole_runs["dqn"].folder.path, tmp_path / "whole")
    path = copy / "resume" / name
    whole = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        middle = len(whole) // 2
        changed = whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 40]) + whole[middle + 40 :]
        path.write_bytes({"cut": whole[:middle], "changed": changed, "emptied": b""}[damage])
    with pytest.raises(CheckpointError) as caught:
        resumed_run(copy)
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)


def test_the_bits_of_a_resumed_run_do_not_depend_on_its_folder_having_been_moved(
    whole_runs: dict[str, Whole], tmp_path: Path
) -> None:
    run = new_run(small_config(tmp_path / "old", "run"), "demo")
    with pytest.raises(TrainingInterruptedError):
        run.learn(press_ctrl_c_at(320))
    moved = (tmp_path / "old" / "run").rename(tmp_path / "elsewhere")
    resumed_run(moved).learn(lambda _done, _total: None)
    assert_equal_runs(RunFolder.open(moved), whole_runs["ppo"].folder)


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let the system refuse to write more into a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [0, 50, 600, 2_000, 4_000, 8_000, 16_000])
def test_a_disk_that_is_full_leaves_the_checkpoint_and_the_state_before(
    num_bytes: int, whole_runs: dict[str, Whole], tmp_path: Path
) -> None:
    copy = shutil.copytree(whole_runs["dqn"].folder.path, tmp_path / "whole")
    run = resumed_run(copy)
    run.log.close()  # its thread writes too
    before = training_state(run.folder)
    bits, index = weights(run.folder.checkpoint("last")), run.folder.index()
    other = replace(run.folder.checkpoint("last"), facts={"timesteps": 9})
    smallest = min(path.stat().st_size for path in (copy / "checkpoints").rglob("*") if path.is_file())
    with largest_file(num_bytes):
        with pytest.raises(CheckpointError, match="cannot be written") as caught:
            run.save_state()
        if num_bytes < smallest:
            with pytest.raises(CheckpointError, match="cannot be written"):
                run.folder.save(other, 9, is_best=True)
        if num_bytes == 0:  # the checkpoint is there: only the index is written
            with pytest.raises(CheckpointError, match="cannot be written"):
                run.folder.save(other, TOTAL, is_best=True)
    assert "\n" not in str(caught.value)
    assert training_state(run.folder) == before
    assert run.folder.index() == index
    assert weights(run.folder.checkpoint("last")) == bits
    assert resumed_run(copy).model.num_timesteps == TOTAL
    # With room again, both are written.
    run.save_state()
    run.folder.save(other, 9, is_best=True)
    assert run.folder.checkpoint("best").facts == {"timesteps": 9}
    assert {path.name for path in copy.iterdir() if path.name.startswith("resume")} == {"resume"}


def test_a_disk_that_fills_up_in_training_ends_it_with_one_sentence_and_keeps_what_was_saved(tmp_path: Path) -> None:
    # After the first evaluation no file may grow much beyond the TensorBoard events that were written until then.
    config = json.dumps(to_json(small_config(tmp_path, "full", evaluations=6)))
    code = (
        "import json, resource, sys\n"
        "from agents.config import TrainConfig\nfrom agents.training.run import new_run\n"
        "from rl_trader.serialise import from_json\nfrom scripts._cli import run\n"
        "def main():\n"
        "    training = new_run(from_json(TrainConfig, json.loads(sys.argv[1]), 'config'), 'demo')\n"
        "    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "    def report(done, total):\n"
        "        if training.folder.index():\n"
        "            events = next(training.folder.path.glob('events*')).stat().st_size\n"
        "            resource.setrlimit(resource.RLIMIT_FSIZE, (events + 500, limit))\n"
        "    training.learn(report)\n"
        "run(main)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, config], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert process.returncode == 2, process.stderr
    # TensorBoard's thread prints a traceback of its own, whose lines may come between those of the command.
    assert len(re.findall(r"error: .* cannot be written", process.stderr)) == 1, process.stderr
    folder = RunFolder.open(tmp_path / "full")
    first = folder.checkpoint("last").facts["timesteps"]
    assert 128 <= first < TOTAL
    assert resumed_run(folder.path).model.num_timesteps == first


# The program forks a child for every file-system operation of a save and kills it there. It has its own process, since
# a fork keeps only one thread of a parent that may have many.
KILLED_SAVES = """
import os, shutil, signal, sys
from dataclasses import replace
from pathlib import Path
from agents.training.resume import save_state
from agents.run_folder import RunFolder
from agents.training.run import resumed_run

source, target = Path(sys.argv[1]), Path(sys.argv[2])
run = resumed_run(source)
progress = {"num_evaluations": 3, "best_score": 0.5}
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
number = 0
while True:
    copy = RunFolder.open(Path(shutil.copytree(source, target / str(number))))
    checkpoint = replace(copy.checkpoint("last"), facts={"timesteps": 900})
    child = os.fork()
    if child == 0:
        left = [number]
        def kill(event, arguments):
            if event in EVENTS and str(copy.path) in str(arguments[0]):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(kill)
        copy.save(checkpoint, 900, is_best=True)
        save_state(copy.resume_folder, run.model, run.env, progress)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    number += 1
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
print(number)
"""


def test_a_kill_at_any_moment_of_a_save_leaves_a_folder_that_opens_and_resumes(
    whole_runs: dict[str, Whole], tmp_path: Path
) -> None:
    source = whole_runs["ppo"].folder
    command = [sys.executable, "-c", KILLED_SAVES, str(source.path), str(tmp_path)]
    result = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    num_copies = int(result.stdout)
    assert num_copies > 12  # a folder, two files and an index; a folder, three files and two renames
    old = weights(source.checkpoint("last"))
    old_model = (source.resume_folder / "model.zip").stat().st_size
    steps = []
    for number in range(num_copies):
        folder = RunFolder.open(tmp_path / str(number))
        for which in ("last", "best"):
            checkpoint = folder.checkpoint(which)
            steps.append(checkpoint.facts["timesteps"])
        assert weights(folder.checkpoint("last")) == old
        state = find_state(folder.resume_folder)
        assert (state / "model.zip").stat().st_size == pytest.approx(old_model, rel=0.01)
        with np.load(state / "arrays.npz") as arrays:
            assert all(arrays[name].size for name in arrays.files)
    assert set(steps) >= {TOTAL, 900}  # the old one before its index is replaced, the new one after
    assert resumed_run(tmp_path / str(num_copies - 2)).model.num_timesteps == TOTAL


class Table(NetworkPolicy):
    """A policy that looks its decision up in a table of the solver's states and exposures."""

    def __init__(self, table: NDArray[np.float64]) -> None:
        layer = Layer(np.zeros((3, 2), np.float32), np.zeros(3, np.float32))
        super().__init__((layer,), "tanh", "argmax", ActionMap())
        self._looked_up = replace(solve_embedded(), targets=table)

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the table's target for every row."""
        return self._looked_up.target(observations[:, 0].astype(np.float64) * 0.5 + 0.25, observations[:, 1])


def checkpoint_of(policy: NetworkPolicy, trading: TradingConfig = EMBEDDED_ENV.trading) -> Checkpoint:
    # Scaled by an odd mean and deviation; a state of 301 over 10 deviations is far wider than float32 is coarse.
    observations = np.zeros((1, 2), np.float32)
    return Checkpoint(
        policy=policy,
        env=replace(EMBEDDED_ENV, trading=trading),
        scaling=Scaling(np.array([0.25], np.float32), np.array([0.5], np.float32), 10.0),
        interval="30m",
        terms=(embedded_terms(),),
        golden_observations=observations,
        golden_targets=policy.targets(observations),
        facts={},
    )


def test_the_optimal_policy_reaches_the_whole_optimum() -> None:
    share = optimum_share(checkpoint_of(Table(solve_embedded().targets)))
    assert share is not None
    assert share.percent == 100.0
    assert share.score == share.best
    assert share.best.turnover_per_bar > 0.0


def test_a_flat_policy_reaches_nothing_of_the_optimum() -> None:
    share = optimum_share(checkpoint_of(Table(np.zeros_like(solve_embedded().targets))))
    assert share is not None
    assert share.percent == 0.0
    assert share.score == (0.0, 0.0, 0.0)


def test_a_network_that_follows_the_sign_is_valued_exactly() -> None:
    # The scaled state s has the raw value 0.25 + 0.5 * s, so r = 0.5 + s has its sign. The outputs are r for short, 0
    # for flat and -r for long; at r = 0 all are equal and the first wins: short.
    layer = Layer(np.array([[1, 0], [0, 0], [-1, 0]], np.float32), np.array([0.5, 0, -0.5], np.float32))
    policy = NetworkPolicy((layer,), "tanh", "argmax", ActionMap())
    share = optimum_share(checkpoint_of(policy))
    assert share is not None
    # A high price falls: short from the anchor on, long below.
    problem = solve_embedded().problem
    table = np.where(problem.chain.grid < -1e-6, 1.0, -1.0)[:, None].repeat(problem.rules.exposures.size, axis=1)
    assert share.score == evaluate(problem, table)
    # In the market's arithmetic form the sign earns 80.4 %; log growth takes the variance of shorts off too.
    assert share.percent is not None
    assert 78.0 < share.percent < 80.4


def test_no_optimum_is_claimed_where_it_is_not_known() -> None:
    policy = Table(solve_embedded().targets)
    known = checkpoint_of(policy)
    assert optimum_share(replace(known, terms=(replace(embedded_terms(), symbol="BTCUSDT"),))) is None
    assert optimum_share(replace(known, env=replace(EMBEDDED_ENV, window=2))) is None
    for change in ({"max_exposure": 2.0}, {"rebalance_band": 0.0}, {"levels": (-1.0, 1.0)}):
        assert optimum_share(checkpoint_of(policy, replace(EMBEDDED_ENV.trading, **change))) is None
