"""What the known answers are scored at with one setting changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from agents.config import PPOConfig
from agents.known.ablation import ABLATION, ablation_cells, ablation_table
from agents.known.cells import Cell, CellScore, cell_config
from agents.known.variants import CHOSEN, SAYS, VARIANTS
from agents.run_folder import RunFolder
from rl_trader.errors import ConfigError
from rl_trader.optimum import Score
from scripts import ablation
from tests.called_scripts import script_caller


def score_of(cell: Cell, share: float, exposure: float = 1.0) -> CellScore:
    """Return the score of a policy that earns a share of the optimum."""
    best = Score(growth_per_bar=1e-4 * (cell.row != "K0-1"), turnover_per_bar=0.1, mean_exposure=1.0)
    own = best._replace(growth_per_bar=share * best.growth_per_bar, mean_exposure=exposure)
    return CellScore(
        row=cell.row,
        algo=cell.algo,
        seed=cell.seed,
        steps=1,
        optimum=best,
        exact=own,
        rollout=own,
        rollout_error=0.0,
        shortfall=0.0,
        shortfall_error=0.0,
    )


def test_every_variant_changes_what_it_says_and_is_said_in_words() -> None:
    assert list(SAYS) == list(VARIANTS)
    chosen = cell_config(Cell(row="K1-2", algo="ppo", seed=0), Path())
    made = {name: VARIANTS[name](chosen) for name in VARIANTS}
    assert made[CHOSEN] == chosen
    assert len({repr(config) for config in made.values()}) == len(VARIANTS)
    assert made["untaught"].ppo.hold_probability == 0.0
    assert not made["flat-start"].env.episode.random_position
    assert not made["no-mirror"].market.mirror
    few, preset = made["few-accounts"].ppo, made["preset"].ppo
    assert few == replace(chosen.ppo, num_envs=chosen.ppo.num_envs // 8)
    assert few.num_envs * few.n_steps == few.batch_size
    assert preset == replace(PPOConfig(), total_timesteps=preset.total_timesteps, net_arch=preset.net_arch)
    assert not made["preset"].market.denoise_rewards


def test_the_cells_of_the_chosen_settings_are_those_of_the_known_answers() -> None:
    cells = ablation_cells([], [], 2, None)
    assert len(cells) == len(VARIANTS) * 4 * 2
    assert cells[0] == Cell(row="K0-1", algo="ppo", seed=0)
    assert cells[0].name == "K0-1-ppo-0"
    assert cells[-1].name == "K3-4-ppo-1-preset"


def test_the_table_has_mean_and_worst_seed_and_exposure_where_nothing_is_to_be_had() -> None:
    cells = ablation_cells([CHOSEN, "tanh"], ["K0-1", "K1-2"], 2, None)
    shares = [0, 0, 1.0, 0.9, 0, 0, 0.5, -0.5]
    exposures = [0.0, 0.01, 1.0, 1.0, 1.0, 0.7, 1.0, 1.0]
    scores = [score_of(*each) for each in zip(cells, shares, exposures, strict=True)]
    assert ablation_table(cells, scores).splitlines() == [
        "| changed | K0-1 | K1-2 |",
        "|---|--:|--:|",
        "| as chosen | exposure 0.010 | 95.0 / 90.0 % |",
        "| networks of tanh, not ReLU | exposure 1.000 | 0.0 / -50.0 % |",
    ]


@pytest.mark.parametrize(
    ("variants", "rows", "seeds", "sentence"),
    [
        (["relu"], [], 1, "unknown variant 'relu'; choose from chosen, untaught"),
        ([], ["K9"], 1, "unknown market 'K9'"),
        ([], [], 0, "--seeds must be at least 1, was 0"),
    ],
)
def test_what_cannot_be_taken_away_is_refused(variants: list[str], rows: list[str], seeds: int, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ablation_cells(variants, rows, seeds, None)


def test_the_command_trains_the_variant_and_writes_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{ABLATION.begin}\nold\n{ABLATION.end}\nafter\n")
    call = script_caller(monkeypatch, capsys, tmp_path)
    words = ("--variants", "tanh", "--markets", "K1-1", "--seeds", "1", "--steps", "1000", "--page", page)
    answer = call(ablation, *words)
    assert answer.code == 0, answer.err
    config = RunFolder.open(tmp_path / "runs" / "known_answers" / "K1-1-ppo-0-tanh").config()
    wanted = cell_config(Cell(row="K1-1", algo="ppo", seed=0, steps=1_000, variant="tanh"), config.runs)
    assert replace(config, env=wanted.env) == wanted
    assert config.ppo.activation == "tanh"
    assert "| networks of tanh, not ReLU | " in page.read_text()
    assert "old" not in page.read_text()
