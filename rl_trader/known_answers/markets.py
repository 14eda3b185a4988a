"""The known-answer markets K0 to K7: how their bars are drawn, and the chain that their optimum is solved on.

The reward of the telegraph, funding and mean-reverting markets is the simple return by default, as the closed forms
have it; of the markets about risk, K4, K5 and K7, it is the log return. Both are solved for what the account really
does: an exposure drifts between orders, a fee leaves the position larger than the balance, and a flip is two orders.
With returns and costs a thousand times smaller all of that vanishes, and the textbook's value is left.

Sources: K1 and K2, closed forms; K3, Ritter 2017 and Martin and Schoeneborn 2011; K4, Garleanu and Pedersen 2013; K5,
Kelly 1956; K7, Martin and Schoeneborn 2011.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.chains import (
    SignalChain,
    autoregress,
    autoregressive_chain,
    belief_chain,
    coin_chain,
    funding_chain,
    log_price_return,
    telegraph_chain,
)
from rl_trader.config import EnvConfig, EpisodeConfig, Slippage, TradingConfig
from rl_trader.errors import ConfigError
from rl_trader.kernels import kernel
from rl_trader.known_answers.series import (
    FUNDING_BARS,
    LEVERAGE,
    SIGNAL_FEATURE,
    KnownSeries,
    Path,
    build_series,
    known_terms,
)
from rl_trader.optimum import DecisionProblem, Optimum, solve
from rl_trader.position_rules import PositionRules, Reward, position_rules

Floats = NDArray[np.float64]

BELIEF_FEATURES: Final = tuple(f"log_return_{2**k}" for k in range(7))
IMPACT: Final = 0.5  # fraction of the price that an order as large as the bar's volume pays, in K4
QUOTE_VOLUME: Final = 1e9  # USDT a bar, where nothing depends on it


def _trading(
    *, levels: tuple[float, ...] = (-1.0, 0.0, 1.0), band: float = 0.1, max_exposure: float = 1.0
) -> TradingConfig:
    return TradingConfig(
        margin_mode="cross",
        leverage=LEVERAGE,
        max_exposure=max_exposure,
        rebalance_band=band,
        slippage=Slippage(half_spread=0.0),
        stop_loss=None,
        levels=levels,
    )


@dataclass(frozen=True, kw_only=True)
class KnownMarket(ABC):
    """What the markets share."""

    taker_fee: float
    """Fraction of the notional."""
    reward: Reward = "simple_return"
    """What is paid and maximised."""

    features: ClassVar[tuple[str, ...]] = (SIGNAL_FEATURE,)
    stretch_bars: ClassVar[int] = 8_192
    episode_bars: ClassVar[int] = 512
    is_symmetric: ClassVar[bool] = True
    """Whether its mirror image is the same market."""
    is_visible: ClassVar[bool] = True
    """Whether the observation's one feature is the signal, so that a policy can be read on the solver's grid."""

    @property
    def trading(self) -> TradingConfig:
        """Return how the account trades."""
        return _trading()

    @property
    def impact(self) -> float:
        """Return the fraction of the price that an order of exposure 1 pays."""
        return 0.0

    @property
    def quote_volume(self) -> float:
        """Return what trades in a bar, USDT at its opening price."""
        return QUOTE_VOLUME

    @abstractmethod
    def chain(self) -> SignalChain:
        """Return the states of the signal and the outcomes of the coming bar."""

    @abstractmethod
    def draw(self, num_bars: int, rng: np.random.Generator) -> Path:
        """Return one stretch of bars."""

    def env_config(self) -> EnvConfig:
        """Return the environment: the signal and the exposure are observed."""
        return EnvConfig(
            features=self.features,
            account_features=("exposure",),
            reward=self.reward,
            trading=self.trading,
            episode=EpisodeConfig(episode_bars=self.episode_bars),
        )

    def rules(self) -> PositionRules:
        """Return what an account may hold and what changing it costs."""
        return position_rules(self.trading, self.taker_fee, self.reward, self.impact)

    def problem(self) -> DecisionProblem:
        """Return the market as a decision problem."""
        return DecisionProblem(self.chain(), self.rules())

    def solve(self) -> Optimum:
        """Return the best policy and what it earns."""
        return _solved(self)

    def series(self, num_bars: int, seed: int, symbol: str = "KNOWN") -> KnownSeries:
        """Return whole stretches of ``stretch_bars``; a longer market of one seed begins with a shorter one.

        Args:
            num_bars: At least, from 1 on.
            seed: From 0 on.
            symbol: Of the market.

        Raises:
            ConfigError: If fewer than one bar or a negative seed is asked for.
        """
        if num_bars < 1 or seed < 0:
            raise ConfigError(
                f"a known-answer market needs at least 1 bar and a seed from 0 on, found {num_bars} and {seed}; change"
                " them"
            )
        num_stretches = -(-num_bars // self.stretch_bars)
        streams = np.random.SeedSequence(seed).spawn(num_stretches)
        paths = [self.draw(self.stretch_bars, np.random.default_rng(stream)) for stream in streams]
        return build_series(known_terms(symbol, self.taker_fee), paths, self.quote_volume)


@lru_cache(maxsize=64)
def _solved(market: KnownMarket) -> Optimum:
    return solve(market.problem())


def _signs(num_bars: int, flip: float, rng: np.random.Generator) -> Floats:
    """Return the sign at the close before the first bar and at every bar's close, (num_bars + 1,)."""
    flips = rng.random(num_bars + 1) < np.concatenate([[0.5], np.full(num_bars, flip)])
    return np.where(np.cumsum(flips) % 2 == 0, 1.0, -1.0)


def _path(price_return: Floats, mean: Floats, state: Floats, signal: Floats | None = None) -> Path:
    shown = state if signal is None else signal
    return Path(price_return, mean, state, shown, np.zeros(price_return.size))


@dataclass(frozen=True, kw_only=True)
class Telegraph(KnownMarket):
    """K0 and K1: the price drifts with a visible sign that flips at times; without drift there is nothing to earn.

    With simple returns the optimum is ``max(mu - 2 * fee * flip, 0)``, but for the drift of a short.
    """

    mu: float
    """Mean return of a bar in the direction of the sign."""
    flip: float = 0.05
    """Probability of a flip, of a bar."""
    sigma: float = 0.005
    """Standard deviation of a bar's return."""

    def chain(self) -> SignalChain:
        """Return the sign."""
        return telegraph_chain(self.mu, self.flip, self.sigma)

    def draw(self, num_bars: int, rng: np.random.Generator) -> Path:
        """Return one stretch of bars."""
        sign = _signs(num_bars, self.flip, rng)
        mean = self.mu * sign[:-1]
        return _path(mean + self.sigma * rng.standard_normal(num_bars), mean, sign[1:])


@dataclass(frozen=True, kw_only=True)
class FundingTelegraph(KnownMarket):
    """K2: a driftless price, and funding of known sign every 8 bars; the sign of the coming settlement is shown.

    With simple returns the optimum is ``max(rate - 2 * fee * flip, 0) / 8`` a bar, but for the drift of a short. With
    log returns the variance that a position bears for 8 bars is more than a small rate pays.
    """

    rate: float
    """Size of the funding rate."""
    flip: float
    """Probability that the next settlement has the other sign."""
    sigma: float = 0.005
    """Standard deviation of a bar's return."""

    def chain(self) -> SignalChain:
        """Return the sign and the bars left to its settlement."""
        return funding_chain(self.rate, self.flip, self.sigma, FUNDING_BARS)

    def draw(self, num_bars: int, rng: np.random.Generator) -> Path:
        """Return one stretch of bars, of which the first opens with a settlement."""
        num_settlements = num_bars // FUNDING_BARS + 2
        sign = _signs(num_settlements, self.flip, rng)
        bar = np.arange(num_bars)
        coming = sign[(bar + FUNDING_BARS) // FUNDING_BARS]  # a settlement at the very close is still to come
        left = (-(bar + 1)) % FUNDING_BARS
        rates = np.where(bar % FUNDING_BARS == 0, self.rate * sign[bar // FUNDING_BARS], 0.0)
        state = np.where(coming > 0.0, FUNDING_BARS, 0) + left
        returns = self.sigma * rng.standard_normal(num_bars)
        return Path(returns, np.zeros(num_bars), state.astype(np.float64), coming, rates)


def _autoregression(num_bars: int, phi: float, sigma: float, rng: np.random.Generator) -> Floats:
    start = rng.normal(0.0, sigma / np.sqrt(1.0 - phi * phi))
    return autoregress(start, phi, rng.normal(0.0, sigma, num_bars))


@dataclass(frozen=True, kw_only=True)
class MeanReversion(KnownMarket):
    """K3: the log price is autoregressive and shown; its best policy trades beyond a band that the fee widens."""

    phi: float
    """Persistence of the log price, of a bar."""
    sigma: float
    """Standard deviation of a shock to it."""

    def chain(self) -> SignalChain:
        """Return the log price."""
        return autoregressive_chain(self.phi, self.sigma, log_price_return)

    def draw(self, num_bars: int, rng: np.random.Generator) -> Path:
        """Return one stretch of bars."""
        x = _autoregression(num_bars, self.phi, self.sigma, rng)
        mean = np.expm1((self.phi - 1.0) * x[:-1] + 0.5 * self.sigma**2)
        return _path(log_price_return(x[:-1], x[1:]), mean, x[1:])


@dataclass(frozen=True, kw_only=True)
class QuadraticRisk(KnownMarket):
    """K7: an autoregressive forecast of the return, a fee, and the risk that the log return has of itself.

    A return of mean ``unit * f`` and standard deviation ``scale`` makes the growth of exposure u nearly
    ``unit * (u * f - risk_aversion * u**2 / 2)``, with ``unit = scale**2 / risk_aversion``: the textbook's reward of a
    position u, times ``unit``. Its cost of trading is the fee over ``unit``.
    """

    taker_fee: float = 0.0
    reward: Reward = "log_return"
    phi: float = 0.9
    """Persistence of the forecast f, whose shocks have variance 1."""
    scale: float = 0.02
    """Standard deviation of a bar's return."""
    risk_aversion: float = 1.0
    """Of the textbook's reward."""
    max_exposure: float = 6.0
    """Notional over margin balance at action 1."""

    episode_bars: ClassVar[int] = 64

    @property
    def trading(self) -> TradingConfig:
        """Return how the account trades: any exposure, without a band."""
        return _trading(levels=(), band=0.0, max_exposure=self.max_exposure)

    @property
    def unit(self) -> float:
        """Return the growth that the textbook's reward of 1 is."""
        return self.scale**2 / self.risk_aversion

    def chain(self) -> SignalChain:
        """Return the forecast."""

        def mean(before: Floats, after: Floats) -> Floats:
            return np.broadcast_to(self.unit * before, after.shape)

        return autoregressive_chain(self.phi, 1.0, mean, noise=self.scale)

    def draw(self, num_bars: int, rng: np.random.Generator) -> Path:
        """Return one stretch of bars."""
        f = _autoregression(num_bars, self.phi, 1.0, rng)
        mean = self.unit * f[:-1]
        return _path(mean + self.scale * rng.standard_normal(num_bars), mean, f[1:])


@dataclass(frozen=True, kw_only=True)
class LinearImpact(QuadraticRisk):
    """K4: as K7, but trading costs ``unit / 2 * kappa`` times the square of the change, as slippage of linear impact.

    The slippage grows with the order's amount, so with the balance: the optimum is that of the initial balance, which
    short episodes stay close to. A flip is two orders and pays less than one of its whole size would.
    """

    scale: float = 0.01
    kappa: float = 5.0
    """Cost of trading in the textbook's reward."""

    @property
    def trading(self) -> TradingConfig:
        """Return how the account trades: any exposure, without a band, at a price that its orders move."""
        any_exposure = _trading(levels=(), band=0.0, max_exposure=self.max_exposure)
        return replace(any_exposure, slippage=Slippage(half_spread=0.0, linear_impact=IMPACT))

    @property
    def impact(self) -> float:
        """Return the fraction of the price that an order of exposure 1 pays."""
        return 0.5 * self.kappa * self.unit

    @property
    def quote_volume(self) -> float:
        """Return the volume at which an order of the initial balance pays this impact."""
        return IMPACT * self.trading.initial_balance / self.impact


KELLY_EXPOSURE: Final = 10.0  # twice the best of the first row, where the growth is below 0
KELLY_LEVELS: Final = tuple(round(0.1 * k, 1) for k in range(11))


@dataclass(frozen=True, kw_only=True)
class KellyCoin(KnownMarket):
    """K5: a bar returns plus or minus a size; the log wealth grows fastest at exposure ``(2 * up - 1) / size``."""

    taker_fee: float = 0.0
    reward: Reward = "log_return"
    up: float
    """Probability of a rise."""
    size: float
    """Of a bar's return."""

    is_symmetric: ClassVar[bool] = False
    stretch_bars: ClassVar[int] = 1_024
    episode_bars: ClassVar[int] = 256

    @property
    def trading(self) -> TradingConfig:
        """Return how the account trades: tenths of an exposure of 10, without a band."""
        return _trading(levels=KELLY_LEVELS, band=0.0, max_exposure=KELLY_EXPOSURE)

    def chain(self) -> SignalChain:
        """Return the one state that there is."""
        return coin_chain(self.up, self.size)

    def draw(self, num_bars: int, rng: np.random.Generator) -> Path:
        """Return one stretch of bars."""
        returns = np.where(rng.random(num_bars) < self.up, self.size, -self.size)
        mean = np.full(num_bars, (2.0 * self.up - 1.0) * self.size)
        return _path(returns, mean, np.zeros(num_bars))


@kernel
def _beliefs(returns: Floats, mu: float, flip: float, sigma: float) -> Floats:
    beliefs = np.empty(returns.size)
    belief = 0.5
    for t in range(returns.size):
        odds = np.exp(-2.0 * mu * returns[t] / (sigma * sigma))
        belief = flip + (1.0 - 2.0 * flip) * belief / (belief + (1.0 - belief) * odds)
        beliefs[t] = belief
    return beliefs


@dataclass(frozen=True, kw_only=True)
class HiddenTelegraph(KnownMarket):
    """K6: as K1, but the sign is hidden and only the returns tell of it; the best policy is that of a Bayes filter."""

    mu: float
    """Mean return of a bar in the direction of the hidden sign."""
    flip: float
    """Probability of a flip, of a bar."""
    sigma: float = 0.004
    """Standard deviation of a bar's return."""

    features: ClassVar[tuple[str, ...]] = BELIEF_FEATURES
    is_visible: ClassVar[bool] = False

    def chain(self) -> SignalChain:
        """Return the belief."""
        return belief_chain(self.mu, self.flip, self.sigma)

    def draw(self, num_bars: int, rng: np.random.Generator) -> Path:
        """Return one stretch of bars; the state is the belief of a filter that begins with it, not knowing."""
        sign = _signs(num_bars, self.flip, rng)
        mean = self.mu * sign[:-1]
        returns = mean + self.sigma * rng.standard_normal(num_bars)
        return _path(returns, mean, _beliefs(returns, self.mu, self.flip, self.sigma))
