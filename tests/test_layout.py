"""The repository: its layers and names, its presets, its pins."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import agents
import envs
import rl_trader
from agents.config import DQNConfig, PPOConfig, TrainConfig
from agents.markets import EMBEDDED_BARS, EMBEDDED_SEED, parse_period
from agents.presets import PRESETS
from envs.embedded import embedded_market_data
from rl_trader.config import EMBEDDED_ENV, Slippage
from rl_trader.embedded import STATE_FEATURE
from rl_trader.errors import ConfigError
from rl_trader.features import resolve_features
from rl_trader.kernels import WITHOUT_KERNELS
from rl_trader.klines import INTERVAL_MS
from rl_trader.serialise import from_json, to_json

REPO = Path(__file__).parents[1]
PACKAGES = ("rl_trader", "envs", "agents", "scripts")
MAX_LINES = 400


def test_the_three_packages_are_those_of_this_repository() -> None:
    for package in (rl_trader, envs, agents):
        found = Path(str(package.__file__)).parents[1]
        assert found == REPO, (
            f"{package.__name__} is imported from {found}: another installed package has the name; remove it, or run"
            " the tests in the repository's own virtual environment"
        )


def test_no_source_file_is_longer_than_400_lines() -> None:
    sources = [path for package in PACKAGES for path in (REPO / package).rglob("*.py")]
    assert len(sources) > 50
    lengths = {str(path.relative_to(REPO)): len(path.read_text().splitlines()) for path in sources}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_the_market_and_deployment_need_neither_torch_nor_gymnasium() -> None:
    modules = ", ".join(f"rl_trader.{path.stem}" for path in sorted((REPO / "rl_trader").glob("[a-z]*.py")))
    code = (
        f"import sys, {modules}\n"
        "print([name for name in ('torch', 'gymnasium', 'stable_baselines3', 'tensorboard') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    assert result.stdout == "[]\n", result.stderr


def test_the_embedded_environment_observes_the_embedded_markets_state() -> None:
    # rl_trader.config repeats the name, since it must not import what computes with it.
    assert EMBEDDED_ENV.features == (STATE_FEATURE,)


# ---- Presets


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_can_be_trained_with_either_algorithm(name: str) -> None:
    description, config = PRESETS[name]
    assert description.endswith(".")
    assert config.market.interval in INTERVAL_MS
    assert len(resolve_features(config.env.features)) == len(config.env.features)
    periods = [parse_period(getattr(config.market, part)) for part in ("train", "validation", "test")]
    times = [time for period in periods for time in (period.since, period.until)]
    assert times == sorted(time for time in times if time is not None)
    for algo, kind in (("ppo", PPOConfig), ("dqn", DQNConfig)):
        chosen = replace(config, algo=algo)  # type: ignore[arg-type]
        assert isinstance(chosen.learner, kind)


def test_the_demos_periods_lie_in_the_embedded_market() -> None:
    demo = PRESETS["demo"][1].market
    bars = embedded_market_data(EMBEDDED_BARS, EMBEDDED_SEED).bars["open_time"]
    assert parse_period(demo.train).since == bars[0]
    assert parse_period(demo.test).until == bars[-1] + INTERVAL_MS[demo.interval]


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_comes_back_from_json_as_it_was(name: str) -> None:
    config = PRESETS[name][1]
    assert from_json(TrainConfig, to_json(config), "config") == config
    odd = replace(
        config,
        name="x",
        data=Path("a/b"),
        env=replace(
            config.env,
            reward_scale=0.25,
            trading=replace(config.env.trading, levels=(), take_profit=0.5, slippage=Slippage(half_spread=0.125)),
        ),
    )
    assert from_json(TrainConfig, to_json(odd), "config") == odd


def test_every_field_says_what_it_is_since_help_shows_it() -> None:
    for kind in dataclasses_below(TrainConfig):
        source = Path(str(sys.modules[kind.__module__].__file__)).read_text()
        body = source.partition(f"class {kind.__name__}:")[2]
        for field in fields(kind):
            described = re.search(rf'^    {field.name}: .*(\n    [^"\n].*)*\n    """\S.*"""$', body, re.MULTILINE)
            assert described, f"{kind.__name__}.{field.name}"


def dataclasses_below(kind: Any) -> list[Any]:
    below = [type(getattr(PRESETS["demo"][1], field.name)) for field in fields(kind)] if kind is TrainConfig else []
    nested = [part for part in below if is_dataclass(part)]
    env = PRESETS["demo"][1].env
    return [kind, *nested, type(env.trading), type(env.episode), type(env.trading.slippage)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: {**data, "colour": 1}, "made by another version"),
        (lambda data: {**data, "seed": "0"}, "config.seed must be of type int"),
        (lambda data: {**data, "seed": True}, "config.seed must be of type int"),
        (lambda data: {**data, "market": {**data["market"], "symbols": "BTCUSDT"}}, "config.market.symbols must be"),
        (lambda data: {**data, "ppo": {**data["ppo"], "clip_range": None}}, "config.ppo.clip_range must be"),
        (
            lambda data: {**data, "algo": "sac"},
            "config.algo must be ppo or dqn or qrdqn or recurrent, was 'sac'; it is damaged",
        ),
        (
            lambda data: {**data, "algo": ["ppo"]},
            r"config.algo must be ppo or dqn or qrdqn or recurrent, was \['ppo'\]; it is damaged",
        ),
        (lambda data: {**data, "data": 7}, "config.data must be of type str, was 7; it is damaged"),
    ],
)
def test_json_that_is_no_configuration_is_refused(change: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        from_json(TrainConfig, change(to_json(PRESETS["demo"][1])), "config")


# ---- Pins


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (REPO / "constraints.txt").read_text().splitlines()
    rows = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(separator and version for _, separator, version in rows)
    assert len({plain(name) for name, _, _ in rows}) == len(rows)
    return {plain(name): version for name, _, version in rows}


def declared() -> list[Requirement]:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    texts = [*project["build-system"]["requires"], *project["project"]["dependencies"], *(t for e in extras for t in e)]
    return [Requirement(text) for text in texts]


def test_everything_that_an_installation_brings_is_pinned() -> None:
    # Walks from what pyproject.toml names through what those packages need here; `dev` is installed for the tests.
    pinned, waiting, seen = pins(), declared(), set()
    while waiting:
        requirement = waiting.pop()
        name = plain(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        assert name in pinned, f"{name} is not in constraints.txt"
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed, or what builds the wheel
        waiting += [Requirement(text) for text in needs]
    assert len(seen) > 60


def test_the_pins_allow_what_pyproject_asks_for() -> None:
    pinned = pins()
    for requirement in declared():
        assert requirement.specifier.contains(pinned[plain(requirement.name)]), requirement
    assert pinned["torch"] == "2.13.0"


def test_nothing_below_the_scripts_imports_them() -> None:
    for folder in ("rl_trader", "envs", "agents"):
        for path in (Path(__file__).parents[1] / folder).rglob("*.py"):
            assert not re.search(r"^\s*(from|import) scripts\b", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize(("page", "least"), [("exchange-model.md", 60), ("failures.md", 70), ("live.md", 8)])
def test_every_test_that_a_page_names_exists(page: str, least: int) -> None:
    text = (REPO / "docs" / page).read_text()
    defined = {
        name
        for path in (REPO / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > least
    assert named - defined == set()
    for path in re.findall(r"tests/test_\w+\.py", text):
        assert (REPO / path).exists(), path


def test_an_edit_of_what_holds_no_kernel_does_not_compile_the_kernels_anew() -> None:
    package = REPO / "rl_trader"
    decorated = re.compile(r"^@(kernel|inlined|parallel_kernel|closure_kernel)$", re.MULTILINE)
    without = re.compile(rf"rl_trader\.({'|'.join(WITHOUT_KERNELS)})\b")
    for path in package.rglob("*.py"):
        source = path.read_text()
        if path.relative_to(package).parts[0] in WITHOUT_KERNELS:
            assert decorated.search(source) is None, f"{path} has a kernel; take its folder from WITHOUT_KERNELS"
        elif decorated.search(source):
            assert without.search(source) is None, f"{path} has a kernel whose cache would not notice what it imports"
