"""The mirror image of a market: what an account earns in it is what the opposite account earns in the market."""

from dataclasses import replace

import numpy as np
import pytest

from envs.embedded import embedded_market_data
from envs.vector_env import TradingVectorEnv
from rl_trader.bars import OHLC
from rl_trader.config import EpisodeConfig
from rl_trader.errors import DataError
from rl_trader.known_answers.rows import ROWS
from rl_trader.mirror_image import with_mirror_image

FROM_THE_BEGIN = EpisodeConfig(episode_bars=300, random_start=False, random_position=False)


def test_an_account_earns_in_the_image_what_the_opposite_one_earns_in_the_market() -> None:
    # Without a fee or a band, so that every bar begins with a whole exposure; funding of 1e-3 every 8 bars. The second
    # episode of an account plays the second segment, which is the image.
    known = replace(ROWS["K2-1"], taker_fee=0.0)
    market = known.series(8_192, 1).market
    config = known.env_config()
    config = replace(
        config, reward_scale=1.0, episode=FROM_THE_BEGIN, trading=replace(config.trading, rebalance_band=0.0)
    )
    env = TradingVectorEnv(1, with_mirror_image(market), config)
    rewards, signals = np.zeros((2, 300)), np.zeros((2, 300))
    actions = np.random.default_rng(2).integers(0, 3, 300)
    observation, _ = env.reset(seed=0)
    for episode, chosen in enumerate((actions, 2 - actions)):
        for t, action in enumerate(chosen):
            signals[episode, t] = observation[0, 0]
            observation, reward, _, _, _ = env.step(np.array([action]))
            rewards[episode, t] = reward[0]
    np.testing.assert_allclose(signals[1], -signals[0], rtol=1e-6)
    is_settled = np.arange(300) % 8 == 7  # the first decision is that of bar 0
    np.testing.assert_allclose(rewards[1][~is_settled], rewards[0][~is_settled], atol=1e-6)
    # A settlement meets the exposure that the bar before has moved: a long's by nothing, a short's by 2 * return.
    assert np.abs(rewards[0][is_settled]).mean() > 1e-3
    np.testing.assert_allclose(rewards[1][is_settled], rewards[0][is_settled], atol=1e-3 * 2 * 0.02)


def test_the_image_of_the_image_is_the_market() -> None:
    market = embedded_market_data(2_000, 4)
    both = with_mirror_image(market)
    assert [(part.start, part.stop) for part in both.segments] == [(0, 2_000), (2_000, 4_000)]
    assert both.bars[:2_000].tobytes() == market.bars.tobytes()
    image = both.bars[2_000:].copy()
    returned = with_mirror_image(
        replace(
            market,
            bars=_numbered_from_zero(image, len(market.fundings)),
            fundings=both.fundings[len(market.fundings) :],
        )
    )
    for column in (*OHLC, "mark_open", "mark_close"):
        np.testing.assert_allclose(returned.bars[2_000:][column], market.bars[column], rtol=2e-3)
        again, before = (np.diff(np.log(table[column])) for table in (returned.bars[2_000:], market.bars))
        np.testing.assert_allclose(again, before, atol=5e-5)
    np.testing.assert_allclose(
        returned.fundings["funding_rate"][len(market.fundings) :], market.fundings["funding_rate"]
    )
    assert (image["high"] >= np.maximum(image["open"], image["close"])).all()
    assert (image["low"] <= np.minimum(image["open"], image["close"])).all()
    assert (np.abs(image["open"] * 100 - np.rint(image["open"] * 100)) < 1e-6).all()


def _numbered_from_zero(bars: np.ndarray, num_settled: int) -> np.ndarray:
    bars["num_settled"] -= num_settled
    bars["segment"] = 0
    return bars


def test_a_price_that_doubles_has_no_image() -> None:
    market = embedded_market_data(100, 4)
    bars = market.bars.copy()
    bars["high"][50] = 2.5 * bars["open"][50]
    with pytest.raises(DataError, match="less than double within a bar, found EMBEDDED"):
        with_mirror_image(replace(market, bars=bars))
