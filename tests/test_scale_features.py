"""Features that an agent is shown as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from agents.known.cells import Cell, cell_config
from agents.training.run import new_run


def test_features_are_shown_as_they_are_and_so_they_are_deployed(tmp_path: Path) -> None:
    config = cell_config(Cell(row="K3-4", algo="ppo", seed=0), tmp_path)
    days = ("2020-01-01", "2020-05-01"), ("2020-05-01", "2020-06-01"), ("2020-06-01", "2020-07-01")
    market = replace(config.market, train=days[0], validation=days[1], test=days[2])
    small = replace(config.ppo, num_envs=64, n_steps=8, batch_size=512, total_timesteps=512, hold_probability=0.0)
    shown = {}
    for is_scaled in (True, False):
        own = replace(market, scale_features=is_scaled)
        run = new_run(replace(config, market=own, ppo=small, name=f"scaled-{is_scaled}"), "known")
        run.learn(lambda _done, _total: None)
        shown[is_scaled] = run.observed.rows
        scaling = run.folder.checkpoint("last").scaling
        assert (scaling.scale[0] == 1.0) is not is_scaled
        assert not scaling.mean.any()  # the bars have their mirror image beside them
    (signal,) = run.observed.market.signals.values()
    np.testing.assert_array_equal(shown[False][:, 0], signal.astype(np.float32))
    assert 0.9 < shown[True].std() < 1.1
    assert shown[False].std() < 0.1
