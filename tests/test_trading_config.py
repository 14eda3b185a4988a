"""What a trading configuration refuses: a number that is none, text, or what no account could trade with."""

import math
from typing import Any

import numpy as np
import pytest

from rl_trader.config import Assumptions, EpisodeConfig, Slippage, TradingConfig
from rl_trader.errors import ConfigError

NO_NUMBERS = (None, "0.1", math.nan, math.inf, -math.inf, True, 10**400, [0.1])
FRACTION_OR_NONE = tuple(value for value in NO_NUMBERS if value is not None)


@pytest.mark.parametrize("name", ["half_spread", "sqrt_impact", "linear_impact"])
@pytest.mark.parametrize("value", [*NO_NUMBERS, -0.001, 1.0, 7])
def test_slippage_that_is_no_fraction_is_refused_in_one_sentence(name: str, value: Any) -> None:
    given = {"half_spread": 0.0001, name: value}
    with pytest.raises(ConfigError) as refused:
        Slippage(**given)
    wanted = f"slippage {name} must be a fraction in [0, 1), was {value!r}; change trading.slippage.{name}"
    assert str(refused.value) == wanted


@pytest.mark.parametrize(
    ("name", "values", "wanted"),
    [
        ("initial_balance", (*NO_NUMBERS, 0.0, -5.0), "a positive amount of USDT"),
        ("margin_mode", (None, "", "Isolated", 1, math.nan), "isolated or cross"),
        ("leverage", (*NO_NUMBERS, 0, -3, 2.5, 0.5), "a whole number from 1"),
        ("max_exposure", (*NO_NUMBERS, 0.0, -1.0, 5.1), "above 0 and at most the leverage"),
        ("rebalance_band", (*NO_NUMBERS, -0.1, 1.0), "a fraction from 0 to below 1"),
        ("reserve", (*NO_NUMBERS, -0.1, 0.51), "a fraction from 0 to 0.5"),
        ("slippage", (None, 0.0001, "0.0001", {"half_spread": 0.0001}), "a Slippage"),
        ("stop_loss", (*FRACTION_OR_NONE, 0.0, -0.1, 1.0), "between 0 and 1, or none"),
        ("take_profit", (*FRACTION_OR_NONE, 0.0, -0.1, 1.0), "in (0, 1), or none"),
        ("stop_trigger", (None, "index", 0), "mark or last"),
        ("levels", (None, 1.0, "-1,1", ("1",), (0.0, math.nan), (-1.5, 1.0), (False, True)), "fractions from -1 to 1"),
        ("levels", ((0.5,), (0.5, 0.5), [1.0, 0.0, 1.0]), "two or more different numbers"),
    ],
)
def test_a_setting_that_no_account_could_trade_with_is_refused_in_one_sentence(
    name: str, values: tuple[Any, ...], wanted: str
) -> None:
    for value in values:
        given: dict[str, Any] = {name: value}
        with pytest.raises(ConfigError) as refused:
            TradingConfig(**given)
        assert str(refused.value) == f"{name} must be {wanted}, was {value!r}; change trading.{name}"


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        (("BTCUSDT=0",), "symbols with whole numbers from 1 to 999999999, as BTCUSDT=10"),
        (("BTCUSDT=1000000000",), "symbols with whole numbers from 1 to 999999999, as BTCUSDT=10"),
        (("BTCUSDT=\N{ARABIC-INDIC DIGIT FIVE}",), "symbols with whole numbers from 1 to 999999999, as BTCUSDT=10"),
        (("BTCUSDT=10", "ETHUSDT=5", "BTCUSDT=10"), "different symbols, each with one leverage"),
    ],
)
def test_leverages_of_symbols_that_contradict_each_other_or_are_none_are_refused(
    pairs: tuple[str, ...], wanted: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        TradingConfig(symbol_leverage=pairs)
    assert str(refused.value) == f"symbol_leverage must be {wanted}, was {pairs!r}; change trading.symbol_leverage"


def test_a_number_of_thousands_of_digits_is_refused_in_a_sentence_that_can_be_read() -> None:
    with pytest.raises(ConfigError, match=r"symbol_leverage must be .*, was \('BTCUSDT=9999+\.\.\.; change") as refused:
        TradingConfig(symbol_leverage=(f"BTCUSDT={'9' * 5_000}",))
    assert len(str(refused.value)) < 700
    with pytest.raises(ConfigError, match=r"leverage must be .*, was a whole number of thousands of digits; change"):
        TradingConfig(leverage=10**5_000)


def test_numbers_of_numpy_and_whole_floats_are_numbers() -> None:
    sizes: dict[str, Any] = {"initial_balance": np.float64(70.0), "leverage": np.int64(3), "max_exposure": 3}
    levels: dict[str, Any] = {"levels": (np.float32(-0.5), 0, 1)}
    trading = TradingConfig(**sizes, **levels)
    assert (trading.initial_balance, trading.leverage, trading.max_exposure) == (70.0, 3, 3)
    spread: dict[str, Any] = {"half_spread": np.float32(0.25), "linear_impact": 0}
    assert Slippage(**spread).half_spread == 0.25


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("episode_bars", value) for value in (-1, 0.5, math.nan, math.inf, "3", None)),
        *(("random_start", value) for value in ("x", None, 1)),
        *(("fee_scale", value) for value in ((1.0,), (2.0, 1.0), (-1.0, 1.0), (0.0, math.inf), ("a", "b"), None, 3.0)),
    ],
)
def test_an_episode_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must"):
        EpisodeConfig(**{name: value})


@pytest.mark.parametrize("name", ["missing_funding", "missing_mark", "holes"])
@pytest.mark.parametrize("word", ["Refuse", "", None, 1])
def test_an_assumption_that_is_none_is_refused(name: str, word: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be refuse or"):
        Assumptions(**{name: word})
