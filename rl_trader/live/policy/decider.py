"""From an observation to orders: the policy of the checkpoint, and the sizing of training.

A policy that fails in any way decides nothing: the position is held, and the reason is told. The caller counts such
decisions and stops after some in a row.

Prices in USDT per unit of the base asset, amounts in base asset and signed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader.contract_terms import ContractTerms
from rl_trader.decision import ACCOUNT_LIMIT, order_of
from rl_trader.errors import RlTraderError
from rl_trader.kernels import records
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy.observer import Observation
from rl_trader.policy import AnyPolicy
from rl_trader.remembering import advance, memory_size
from rl_trader.state import Order
from rl_trader.trading import kernel_settings, kernel_terms, order_lot

ZERO: Final = Decimal(0)
NOTHING: Final = b""  # is remembered


class Leg(NamedTuple):
    """One order of a decision; the reducing leg goes first."""

    amount: Decimal  # signed
    is_reducing: bool
    limit_price: Decimal | None  # post-only until the end of the bar; None is a market order


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a policy wants at a bar's close."""

    open_ms: int  # of the bar that was observed
    observation_sha: str
    target: float | None  # fraction of the largest exposure; None holds the position
    legs: tuple[Leg, ...]
    fault: str  # why there is no target; empty where there is one
    memory: bytes = b""  # what the policy remembers at the next bar; empty where it remembers nothing

    @property
    def action(self) -> str:
        """The target in a word, for records."""
        return "hold" if self.target is None else f"{self.target:+g}"

    @property
    def reduce_amount(self) -> Decimal:
        """Amount of the reducing leg; 0 is none."""
        return sum((leg.amount for leg in self.legs if leg.is_reducing), ZERO)

    @property
    def open_amount(self) -> Decimal:
        """Amount of the opening leg; 0 is none."""
        return sum((leg.amount for leg in self.legs if not leg.is_reducing), ZERO)

    @property
    def limit_price(self) -> Decimal | None:
        """Price of the legs; None where they are market orders, or there is none."""
        return self.legs[0].limit_price if self.legs else None


class _UnusableError(RlTraderError):
    """What a policy was given or gave back is no decision."""


class Decider:
    """Decides for one deployment.

    Args:
        deployment: What is deployed.
        terms: Of the symbol as they are today; None is as they were in training.
        policy: Decides; None is the deployment's own.
    """

    def __init__(
        self, deployment: Deployment, terms: ContractTerms | None = None, policy: AnyPolicy | None = None
    ) -> None:
        self._deployment = deployment
        chosen = terms or deployment.terms
        table, _ = kernel_terms([chosen], deployment.trading)
        self._terms = records(table)[0]
        self._settings = records(kernel_settings(deployment.trading))[0]
        self._steps = (chosen.tick_size, order_lot(chosen, deployment.trading).step_size)
        self._policy: AnyPolicy = policy or deployment.checkpoint.policy

    def decide(self, observation: Observation, memory: bytes = NOTHING) -> Decision:
        """Return what the policy wants; whatever goes wrong holds the position.

        Args:
            observation: At the bar's close.
            memory: What the decision on the bar before has left; empty where there was none.
        """
        try:
            self._check_observation(observation)
            target, remembered = self._target(observation, memory)
            legs = tuple(self._legs(self.order(observation, target)))
        except Exception as error:  # a policy may be anybody's code
            fault = str(error) if isinstance(error, _UnusableError) else f"{type(error).__name__}: {error}"
            return Decision(
                open_ms=observation.open_ms, observation_sha=observation.sha256, target=None, legs=(), fault=fault
            )
        return Decision(
            open_ms=observation.open_ms,
            observation_sha=observation.sha256,
            target=target,
            legs=legs,
            fault="",
            memory=remembered,
        )

    def order(self, observation: Observation, target: float) -> Order:
        """Return the order that moves the account to a target, as the replay sizes it."""
        return Order(
            *order_of(
                target,
                observation.account,
                observation.close,
                observation.mark_close,
                observation.taker_fee,
                self._settings,
                self._terms,
            )
        )

    def _check_observation(self, observation: Observation) -> None:
        """Refuse an observation that training cannot have made; of a NaN the best-valued action is the first one."""
        values, schema = observation.values, self._deployment.schema
        if values.shape != (schema.size,) or values.dtype != np.float32:
            raise _UnusableError(
                f"an observation must be {schema.size} numbers of float32, found {values.shape} of {values.dtype}"
            )
        limits = np.full(schema.size, ACCOUNT_LIMIT)
        limits[: schema.window * len(schema.features)] = self._deployment.checkpoint.scaling.clip
        is_possible = np.abs(values) <= limits  # no NaN is
        if not is_possible.all():
            entry = int(is_possible.argmin())
            raise _UnusableError(
                f"{schema.names()[entry]} of an observation must lie within {limits[entry]:g}, found {values[entry]}"
            )
        account = observation.account
        if not np.isfinite((*account, observation.taker_fee)).all() or not observation.close > 0.0:
            raise _UnusableError(f"account and prices must be finite numbers, found {account} at {observation.close}")

    def _target(self, observation: Observation, memory: bytes) -> tuple[float, bytes]:
        """Return the target, and what is remembered at the next bar."""
        before = memory_of(memory, memory_size(self._policy))
        wanted, after = advance(self._policy, observation.values[np.newaxis].copy(), before)
        answered = np.asarray(wanted, np.float64)
        if after.shape != before.shape or after.dtype != np.float32 or not np.isfinite(after).all():
            raise _UnusableError(f"a policy must remember {before.shape[1]} finite numbers of float32, found {after}")
        if answered.shape != (1,):
            raise _UnusableError(f"a policy must answer with one target, found {answered.shape}")
        target = float(answered[0])
        levels = self._deployment.trading.levels
        if not -1.0 <= target <= 1.0:
            raise _UnusableError(f"a target must lie in [-1, 1], found {target}")
        if levels and target not in levels:
            raise _UnusableError(f"a target must be one of {levels}, found {target}")
        return target, after.tobytes()

    def _legs(self, order: Order) -> Iterator[Leg]:
        tick_size, step_size = self._steps
        price = _on_grid(order.limit_price, tick_size) if order.limit_price else None
        for amount, is_reducing in ((order.reduce_amount, True), (order.open_amount, False)):
            if amount:
                yield Leg(_on_grid(amount, step_size), is_reducing, price)


def memory_of(content: bytes, size: int) -> NDArray[np.float32]:
    """Return the memory (1, size) of a policy that was kept as bytes; none kept is zeros, as where an episode begins.

    Raises:
        RlTraderError: If it is another policy's.
    """
    if not content:
        return np.zeros((1, size), np.float32)
    if len(content) != size * np.dtype(np.float32).itemsize:
        raise _UnusableError(f"a memory must be {size} numbers of float32, found {len(content)} bytes")
    return np.frombuffer(content, np.float32)[np.newaxis].copy()


def _on_grid(value: float, step: Decimal) -> Decimal:
    """Return the decimal number that a float stands for, which is a whole number of steps."""
    number = Decimal(repr(float(value)))
    if number % step != 0:
        raise _UnusableError(f"an amount must be whole steps of {step}, found {number}")
    return number
