"""A training leaves events from which TensorBoard shows everything, also after an interruption."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from agents.config import DQNConfig, PPOConfig, TrainConfig
from agents.presets import BTCUSDT_30M, DEMO
from agents.training.account_means import BIN_WIDTH, NUM_BINS, AccountMeans
from agents.training.figures import sampled_exposures
from agents.training.interruption import TrainingInterruptedError
from agents.training.log_contents import configuration_text, hyperparameters
from agents.training.run import Report, TrainingRun, new_run, resumed_run
from rl_trader.baselines import BASELINES
from rl_trader.errors import ConfigError
from rl_trader.state import LIQUIDATED, OUTCOME_DTYPE, REFUSED_MARGIN, STOPPED
from tests.hand_made_results import BAR_MS, hand_made_result

TOTAL = 4_096
HALF_HOUR_MS = 1_800_000

EVAL_TAGS = {
    f"eval/{name}"
    for name in (
        "sharpe",
        "max_drawdown",
        "turnover",
        "fees_share",
        "funding_share",
        "liquidations",
        "exposure",
        "total_return",
        "log_growth",
        "margin_balance",
    )
}
ACCOUNT_TAGS = {f"account/{name}" for name in ("margin_balance", "exposure", "fees_share", "funding_share", "turnover")}
SB3_TAGS = {"train/loss", "train/value_loss", "train/approx_kl", "time/fps"}


def tiny_config(runs: Path, name: str) -> TrainConfig:
    """Return four updates of 1,024 bars."""
    sizes = PPOConfig(total_timesteps=TOTAL, num_envs=16, n_steps=64, batch_size=256, n_epochs=1, net_arch=(8,))
    # So short a training would still hold, and never trade.
    ppo = replace(sizes, activation="tanh", hold_probability=0.0)
    return replace(DEMO, ppo=ppo, runs=runs, name=name, evaluations=2, device="cpu")


def ignore_progress(_done: int, _total: int) -> None:
    """Take part in nothing."""


def events_of(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "images": 0, "histograms": 0})
    events.Reload()
    return events


def steps_of(folder: Path, tag: str) -> list[int]:
    return [event.step for event in events_of(folder).Scalars(tag)]


def text_of(folder: Path, tag: str) -> list[str]:
    tensors = events_of(folder).Tensors(f"{tag}/text_summary")
    return [event.tensor_proto.string_val[0].decode() for event in tensors]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    run = new_run(tiny_config(tmp_path_factory.mktemp("runs"), "tiny"), "demo")
    run.learn(ignore_progress)
    return run


def test_a_run_has_the_scalars_of_learning_accounts_and_evaluations(trained: TrainingRun) -> None:
    assert set(events_of(trained.folder.path).Tags()["scalars"]) >= EVAL_TAGS | ACCOUNT_TAGS | SB3_TAGS
    # Two evaluations of 4,096 bars: at half of them and at the end.
    assert steps_of(trained.folder.path, "eval/total_return") == [2_048, 4_096]
    # After every update of 16 accounts * 64 bars.
    assert steps_of(trained.folder.path, "account/margin_balance") == [1_024, 2_048, 3_072, 4_096]


def test_the_logged_evaluation_is_the_last_policys(trained: TrainingRun) -> None:
    last = events_of(trained.folder.path).Scalars("eval/margin_balance")[-1].value
    validation = trained.folder.checkpoint("last").facts["validation"]
    assert last == np.float32(validation["final_balance"])


def test_every_baseline_is_a_sub_run_whose_figures_are_horizontal_lines(trained: TrainingRun) -> None:
    for name in BASELINES:
        folder = trained.folder.path / f"baseline_{name}"
        events = events_of(folder)
        # An account that never moves has no Sharpe ratio.
        assert set(events.Tags()["scalars"]) >= EVAL_TAGS - ({"eval/sharpe"} if name == "flat" else set())
        for tag in events.Tags()["scalars"]:
            points = events.Scalars(tag)
            assert [point.step for point in points] == [0, TOTAL]
            assert points[0].value == points[1].value


def test_random_agents_trade_as_much_as_the_last_policy(trained: TrainingRun) -> None:
    events = events_of(trained.folder.path / "baseline_random")
    assert [point.step for point in events.Scalars("eval/total_return")] == [0, TOTAL]
    turnover = trained.folder.checkpoint("last").facts["validation"]["turnover"]
    # 64 agents move at random; their mean turnover is sought to a few per cent.
    assert events.Scalars("eval/turnover")[-1].value == pytest.approx(turnover, rel=0.1)
    (beaten,) = events_of(trained.folder.path).Scalars("eval/share_of_random_agents_beaten")
    assert 0.0 <= beaten.value <= 1.0


def test_baselines_differ_and_the_flat_one_keeps_its_balance(trained: TrainingRun) -> None:
    balances = {
        name: events_of(trained.folder.path / f"baseline_{name}").Scalars("eval/margin_balance")[0].value
        for name in BASELINES
    }
    assert balances["flat"] == trained.config.env.trading.initial_balance
    assert len(set(balances.values())) == len(BASELINES)


def test_every_evaluation_has_a_picture_of_the_balance(trained: TrainingRun, tmp_path: Path) -> None:
    images = events_of(trained.folder.path).Images("eval/equity")
    assert [image.step for image in images] == [2_048, 4_096]
    path = tmp_path / "equity.png"
    path.write_bytes(images[-1].encoded_image_string)
    pixels = np.asarray(Image.open(path))
    assert pixels.shape == (800, 1_000, 4)
    assert (pixels == (0x0B, 0x5F, 0xFF, 0xFF)).all(axis=2).sum() > 1_000  # the agent's line in its blue
    assert pyplot.get_fignums() == []


def test_histograms_count_every_decision_and_every_exposure(trained: TrainingRun) -> None:
    events = events_of(trained.folder.path)
    decisions = events.Histograms("eval/target_position")
    validation = trained.folder.checkpoint("last").facts["validation"]
    assert decisions[-1].histogram_value.num == validation["num_bars"]
    exposures = events.Histograms("account/exposure_over_max_exposure")
    assert sum(event.histogram_value.num for event in exposures) == TOTAL


def test_configuration_and_assumptions_are_texts(trained: TrainingRun) -> None:
    (text,) = text_of(trained.folder.path, "run/configuration")
    assert "| learning_rate | 0.001 |" in text
    assert "### env.trading.slippage" in text
    assert "dqn" not in text
    assert len(text_of(trained.folder.path, "run/assumptions")) == 1
    assert len(text_of(trained.folder.path, "run/alarms")) == 2


def test_the_custom_page_and_the_table_of_hyperparameters_are_there(trained: TrainingRun) -> None:
    events = events_of(trained.folder.path)
    assert b"eval/total_return" in events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"learning_rate" in content
    experiment = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    assert all(tag in experiment for tag in (b"eval/sharpe", b"eval/log_growth", b"eval/max_drawdown"))


def test_ppo_and_dqn_have_the_same_columns_in_the_table_of_hyperparameters() -> None:
    assert hyperparameters(BTCUSDT_30M).keys() == hyperparameters(replace(BTCUSDT_30M, algo="dqn")).keys()
    assert "### dqn" in configuration_text(replace(BTCUSDT_30M, algo="dqn"))


def stop_after(num_bars: int) -> Report:
    def report(done: int, _total: int) -> None:
        if done >= num_bars:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def test_a_resumed_run_continues_its_curves_and_writes_its_baselines_no_third_time(tmp_path: Path) -> None:
    run = new_run(tiny_config(tmp_path, "interrupted"), "demo")
    with pytest.raises(TrainingInterruptedError):
        run.learn(stop_after(1_024))
    folder = run.folder.path
    shutil.copytree(folder / "resume", tmp_path / "state")
    resumed_run(folder).learn(ignore_progress)
    check_events_are_whole(folder)
    # As after a crash: events go to the end, but the newest state is of the first update.
    shutil.rmtree(folder / "resume")
    shutil.copytree(tmp_path / "state", folder / "resume")
    resumed_run(folder).learn(ignore_progress)
    check_events_are_whole(folder)


def test_a_resumed_run_names_its_events_after_those_of_the_second_before_whatever_the_rest_of_the_name(
    tmp_path: Path,
) -> None:
    config = tiny_config(tmp_path, "short")
    run = new_run(config, "demo")
    with pytest.raises(TrainingInterruptedError):
        run.learn(stop_after(1_024))
    (first,) = run.folder.path.glob("events.out.tfevents.*")
    # The largest of its second that there can be.
    last_name = first.with_name(f"events.out.tfevents.{int(time.time())}.zzz.9.9")
    first.rename(last_name)
    resumed_run(run.folder.path).learn(ignore_progress)
    names = sorted(run.folder.path.glob("events.out.tfevents.*"))
    assert names[0] == last_name
    assert steps_of(run.folder.path, "account/margin_balance") == [1_024, 2_048, 3_072, 4_096]


def check_events_are_whole(folder: Path) -> None:
    assert steps_of(folder, "account/margin_balance") == [1_024, 2_048, 3_072, 4_096]
    assert steps_of(folder, "eval/total_return") == [2_048, 4_096]
    assert len(text_of(folder, "run/configuration")) == 1
    assert set(steps_of(folder / "baseline_buy_and_hold", "eval/total_return")) == {0, TOTAL}
    assert steps_of(folder / "baseline_buy_and_hold", "eval/total_return")[:2] == [0, TOTAL]


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_diverging_training_ends_with_a_sentence_an_alarm_and_no_useless_checkpoint(
    algo: str, tmp_path: Path
) -> None:
    tiny = tiny_config(tmp_path, algo)
    dqn = DQNConfig(
        total_timesteps=TOTAL, learning_rate=1e30, learning_starts=64, batch_size=32, buffer_size=1_000, net_arch=(8,)
    )
    config = replace(tiny, algo=algo, ppo=replace(tiny.ppo, learning_rate=1e30), dqn=dqn)  # type: ignore[arg-type]
    run = new_run(config, "demo")
    with pytest.raises(ConfigError, match=rf"training has diverged: .* after [\d,]+ bars; lower {algo}.learning_rate"):
        run.learn(ignore_progress)
    assert run.folder.index() == {}
    assert "not finite" in text_of(run.folder.path, "run/alarms")[-1]


def test_an_alarm_is_shown_in_the_console_and_as_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = new_run(tiny_config(tmp_path, "short"), "demo")
    with torch.no_grad():
        run.model.policy.get_parameter("action_net.bias")[0] = 1e3  # the action of target -1 is always the likeliest
    run.evaluate()
    assert caplog.messages == [
        "alarm after 0 bars: always short: the policy is always short in 100.0% of the bars of the validation period;"
        " it never closes or turns"
    ]
    assert "<strong>" not in text_of(run.folder.path, "run/alarms")[-1]
    assert text_of(run.folder.path, "run/alarms")[-1].startswith("- **always short**: ")
    run.log.close()


def test_account_means_are_those_of_all_accounts_and_steps() -> None:
    outcomes = np.zeros(2, OUTCOME_DTYPE)
    outcomes["margin_balance_before"] = [1_000.0, 2_000.0]
    outcomes["margin_balance"] = [1_010.0, 1_970.0]
    outcomes["traded_notional"] = [500.0, 0.0]
    outcomes["exposure"] = [1.5, -0.5]
    outcomes["price_pnl"] = [14.0, -30.0]
    outcomes["fees"] = [-3.0, 0.0]
    outcomes["funding"] = [-1.0, 0.0]
    outcomes["events"] = [STOPPED | REFUSED_MARGIN, LIQUIDATED]
    means = AccountMeans(HALF_HOUR_MS, max_exposure=2.0)
    means.add(outcomes)
    means.add(outcomes)
    scalars = means.take_scalars()
    assert scalars["margin_balance"] == 1_490.0
    assert scalars["exposure"] == 1.0
    assert scalars["net_exposure"] == 0.5
    assert scalars["turnover"] == 12.0  # 500 / 1000 in one of two, in each of 48 bars a day
    # Of both steps: price -32, fees -6, funding -2; absolute 40.
    assert scalars["fees_share"] == 0.15
    assert scalars["funding_share"] == -0.05
    assert scalars["slippage_share"] == 0.0
    assert scalars["liquidations_per_year"] == scalars["stops_per_year"] == 0.5 * 48 * 365
    assert scalars["refused_share"] == 0.5
    assert means.take_scalars() == {}


def test_exposures_are_counted_in_bins_around_short_flat_and_long() -> None:
    outcomes = np.zeros(5, OUTCOME_DTYPE)
    outcomes["exposure"] = [0.0, 2.0, -2.0, 99.0, -99.0]
    means = AccountMeans(HALF_HOUR_MS, max_exposure=2.0)
    means.add(outcomes)
    counts = means.take_exposures()
    centre, size = NUM_BINS // 2, round(1.0 / BIN_WIDTH)
    assert np.flatnonzero(counts).tolist() == [0, centre - size, centre, centre + size, NUM_BINS - 1]
    assert means.take_exposures().sum() == 0


def test_the_picture_shows_each_symbol_flat_where_it_has_no_bars() -> None:
    early = hand_made_result([1_000.0, 1_000.0], [1.0, -0.5], first_open=0)
    late = hand_made_result([1_000.0, 1_000.0], [0.0, 2.0], first_open=BAR_MS)
    edges, bands = sampled_exposures([early, late])
    assert edges.tolist() == [0, BAR_MS, 2 * BAR_MS, 3 * BAR_MS]
    assert bands.tolist() == [[1.0, -0.5, 0.0], [0.0, 0.0, 2.0]]
