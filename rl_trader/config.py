"""What is chosen: how an account trades, how episodes run, what is observed, and what is assumed where data lack.

Plain dataclasses without a heavy import, so that command lines can show them at once. A run folder holds them as JSON.
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Literal

from rl_trader.errors import ConfigError
from rl_trader.numeric import is_number, is_whole, shown
from rl_trader.observation import ACCOUNT_FEATURES, DEFAULT_FEATURES, ObservationSchema

MAX_RESERVE: Final = 0.5
MAX_DISTANCE: Final = 0.5
CAPS: Final = ("max_order_notional", "max_position_notional", "max_leverage")  # that the account trains under


def _is_fraction_or_none(value: object) -> bool:
    return value is None or (is_number(value) and 0.0 < value < 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slippage:
    """Slippage of a market order, as a fraction of its price."""

    half_spread: float
    """Fraction of the price that every market order pays (0.0001 is one basis point)."""
    sqrt_impact: float = 0.0
    """Fraction of the price at an order as large as the bar's volume, growing with the square root of its share."""
    linear_impact: float = 0.0
    """Fraction of the price at an order as large as the bar's volume, growing with its share."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (is_number(value) and 0.0 <= value < 1.0):
                raise ConfigError(
                    f"slippage {name} must be a fraction in [0, 1), was {value!r}; change trading.slippage.{name}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingConfig:
    """How an account trades."""

    initial_balance: float = 10_000.0
    """Wallet balance at the start, USDT."""
    margin_mode: Literal["isolated", "cross"] = "isolated"
    """What backs a position: its own margin, or the whole wallet."""
    leverage: int = 5
    """Initial leverage set on the symbol: the initial margin is the notional over it."""
    symbol_leverage: tuple[str, ...] = ()
    """Leverage of single symbols where it differs, as BTCUSDT=10."""
    max_exposure: float = 1.0
    """Notional over margin balance at action 1 or -1."""
    rebalance_band: float = 0.1
    """Fraction of max_exposure; a target that differs less from the exposure sends no order."""
    reserve: float = 0.02
    """Fraction of the available balance, and of the bracket's limit, that order sizes leave free."""
    slippage: Slippage = field(default_factory=lambda: Slippage(half_spread=0.0001))
    """What a market order pays beyond the price."""
    limit_distance: float | None = None
    """Distance of a decision's post-only limit order from the close, as a fraction of it; none sends market orders."""
    fees_in_bnb: bool = False
    """Pay fees in BNB, which the exchange rewards with a discount; booked in USDT at the same value."""
    stop_loss: float | None = 0.1
    """Distance of the protective stop from the entry price, as a fraction of it; none for no stop."""
    take_profit: float | None = None
    """Distance of the take-profit from the entry price, as a fraction of it; none for no take-profit."""
    stop_trigger: Literal["mark", "last"] = "mark"
    """Price that triggers stop and take-profit."""
    levels: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """Target positions of the discrete actions, fractions of max_exposure; empty for a continuous action."""
    max_order_notional: float | None = None
    """Operator's cap on an order that opens, USDT; an opening order above it is not sent. None for no cap."""
    max_position_notional: float | None = None
    """Operator's cap on the position that an opening order leads to, USDT. None for no cap."""
    max_leverage: float | None = None
    """Operator's cap on that position over the margin balance; leverage is what is set on the symbol. None for none."""

    def __post_init__(self) -> None:
        balance, leverage, exposure = self.initial_balance, self.leverage, self.max_exposure
        band, reserve = self.rebalance_band, self.reserve
        levels = self.levels if isinstance(self.levels, tuple | list) else (None,)
        self._require(is_number(balance) and balance > 0.0, "initial_balance", "a positive amount of USDT")
        self._require(self.margin_mode in ("isolated", "cross"), "margin_mode", "isolated or cross")
        self._require(is_whole(leverage) and leverage >= 1, "leverage", "a whole number from 1")
        pairs = self.symbol_leverage if isinstance(self.symbol_leverage, tuple | list) else (None,)
        are_pairs = all(isinstance(pair, str) and re.fullmatch(r"[^=]+=[1-9][0-9]{0,8}", pair) for pair in pairs)
        self._require(are_pairs, "symbol_leverage", "symbols with whole numbers from 1 to 999999999, as BTCUSDT=10")
        are_different = len(self._symbol_leverages()) == len(pairs)
        self._require(are_different, "symbol_leverage", "different symbols, each with one leverage")
        least = min([leverage, *self._symbol_leverages().values()])
        is_exposure = is_number(exposure) and 0.0 < exposure <= least
        self._require(is_exposure, "max_exposure", "above 0 and at most the leverage")
        self._require(is_number(band) and 0.0 <= band < 1.0, "rebalance_band", "a fraction from 0 to below 1")
        is_reserve = is_number(reserve) and 0.0 <= reserve <= MAX_RESERVE
        self._require(is_reserve, "reserve", f"a fraction from 0 to {MAX_RESERVE}")
        self._require(isinstance(self.slippage, Slippage), "slippage", "a Slippage")
        distance = self.limit_distance
        is_distance = distance is None or (is_number(distance) and 0.0 < distance <= MAX_DISTANCE)
        self._require(is_distance, "limit_distance", f"above 0 and at most {MAX_DISTANCE}, or none for market orders")
        self._require(isinstance(self.fees_in_bnb, bool), "fees_in_bnb", "true or false")
        self._require(_is_fraction_or_none(self.stop_loss), "stop_loss", "between 0 and 1, or none")
        self._require(_is_fraction_or_none(self.take_profit), "take_profit", "in (0, 1), or none")
        self._require(self.stop_trigger in ("mark", "last"), "stop_trigger", "mark or last")
        for name in CAPS:
            cap = getattr(self, name)
            self._require(cap is None or (is_number(cap) and cap > 0.0), name, "a positive number, or none for no cap")
        are_fractions = all(is_number(level) and -1.0 <= level <= 1.0 for level in levels)
        self._require(are_fractions, "levels", "fractions from -1 to 1")
        self._require(len(set(levels)) == len(levels) != 1, "levels", "two or more different numbers")

    def leverage_of(self, symbol: str) -> int:
        """Return the leverage that is set on a symbol."""
        return self._symbol_leverages().get(symbol, self.leverage)

    def check_symbols(self, symbols: Collection[str]) -> None:
        """Refuse a leverage of a symbol that is not traded.

        Raises:
            ConfigError: If ``symbol_leverage`` names another symbol.
        """
        strange = [symbol for symbol in self._symbol_leverages() if symbol not in symbols]
        if strange:
            raise ConfigError(
                f"symbol_leverage must name symbols that are traded ({', '.join(symbols)}), was {strange[0]}; "
                "change trading.symbol_leverage"
            )

    def _symbol_leverages(self) -> dict[str, int]:
        pairs = (pair.split("=") for pair in self.symbol_leverage)
        return {symbol: int(leverage) for symbol, leverage in pairs}

    def _require(self, is_met: bool, name: str, wanted: str) -> None:
        if not is_met:
            raise ConfigError(f"{name} must be {wanted}, was {shown(getattr(self, name))}; change trading.{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeConfig:
    """How episodes begin and end, and which costs vary between them."""

    episode_bars: int = 512
    """Bars after which an episode is truncated; 0 is the end of the recording."""
    random_start: bool = True
    """Begin at a random bar of the period, else at its first."""
    random_position: bool = True
    """Begin short, flat or long at random, else flat."""
    fee_scale: tuple[float, float] = (1.0, 1.0)
    """Range of the factor on the taker fee, drawn anew for every episode."""
    slippage_scale: tuple[float, float] = (1.0, 1.0)
    """Range of the factor on the slippage, drawn anew for every episode."""

    def __post_init__(self) -> None:
        bars = self.episode_bars
        if not (is_whole(bars) and bars >= 0):
            raise ConfigError(f"episode_bars must be a whole number from 0, was {bars!r}; 0 is the whole recording")
        for name in ("random_start", "random_position"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, was {getattr(self, name)!r}; change episode.{name}")
        for name in ("fee_scale", "slippage_scale"):
            factors = getattr(self, name)
            are_two = isinstance(factors, tuple | list) and len(factors) == 2 and all(map(is_number, factors))  # noqa: PLR2004
            if not (are_two and 0.0 <= factors[0] <= factors[1]):
                raise ConfigError(
                    f"{name} must be two rising factors from 0 on, was {factors!r}; change episode.{name}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What to do where a series is not recorded."""

    missing_funding: Literal["refuse", "zero", "base"] = "refuse"
    """Settlements that are not recorded: refuse the data, or assume rate 0, or the base rate of 0.01 % per 8 hours."""
    missing_mark: Literal["refuse", "last"] = "refuse"
    """Bars without a mark price: refuse the data, or assume that the mark price is the last price."""
    holes: Literal["refuse", "split"] = "refuse"
    """Missing bars: refuse the data, or split the recording there, so that no episode crosses the hole."""

    def __post_init__(self) -> None:
        for name, words in (
            ("missing_funding", ("refuse", "zero", "base")),
            ("missing_mark", ("refuse", "last")),
            ("holes", ("refuse", "split")),
        ):
            if getattr(self, name) not in words:
                found = getattr(self, name)
                raise ConfigError(
                    f"{name} must be {' or '.join(words)}, was {found!r}; change market.assumptions.{name}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvConfig:
    """What an environment shows, how it pays and how the account trades."""

    features: tuple[str, ...] = DEFAULT_FEATURES
    """Market features, by name, `signal:<column>` or import path `package.module:feature`."""
    account_features: tuple[str, ...] = tuple(ACCOUNT_FEATURES)[:-1]
    """Account part of the observation; add fee_level where fees are randomised."""
    window: int = 1
    """Bars whose market features are observed."""
    reward: str = "log_return"
    """log_return, simple_return, differential_sharpe, drawdown_penalised, or an import path."""
    reward_scale: float | None = None
    """Rewards are divided by it; none is the standard deviation of the bars' log returns on the training period."""
    trading: TradingConfig = field(default_factory=TradingConfig)
    """How the account trades."""
    episode: EpisodeConfig = field(default_factory=EpisodeConfig)
    """How episodes begin and end, and which costs vary between them."""

    def __post_init__(self) -> None:
        if self.reward_scale is not None and not 0.0 < self.reward_scale < math.inf:
            raise ConfigError(f"reward_scale must be positive, was {self.reward_scale}; leave it out to fit it")
        if not self.features and not self.account_features:
            raise ConfigError("an observation needs at least one feature; name one in features or account_features")

    @property
    def schema(self) -> ObservationSchema:
        """Return the layout of the observation."""
        return ObservationSchema(features=self.features, account_features=self.account_features, window=self.window)


EMBEDDED_ENV: Final = EnvConfig(
    features=("log_close_over_1000",),
    account_features=("exposure",),
    trading=TradingConfig(leverage=2, stop_loss=0.4, slippage=Slippage(half_spread=0.0)),
    episode=EpisodeConfig(episode_bars=256),
)
"""Of the embedded market (``rl_trader.embedded``): its state is one feature, and its optimum needs no other."""
