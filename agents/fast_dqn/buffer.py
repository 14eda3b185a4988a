"""A replay buffer that keeps every observation once."""

from typing import Any, Final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from rl_trader.errors import ConfigError

NOWHERE: Final = -1


class RingReplayBuffer(ReplayBuffer):
    """Transitions, of which the next observation is the following row of a ring, or lies apart where an episode ended.

    Slots are counted as SB3 counts them, so that the same random numbers draw the same transitions. The ring has a row
    more than there are slots: slot ``s`` begins in row ``s`` in the first lap, and a row earlier in every later one.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        *,
        n_steps: int = 1,
        gamma: float = 0.99,
    ) -> None:
        """Make an empty buffer.

        Args:
            buffer_size: Transitions of all accounts together.
            observation_space: A box of one dimension, of float32.
            action_space: Discrete.
            device: Of the samples.
            n_envs: Accounts.
            n_steps: Bars of the return before the bootstrap; fewer where an episode or the buffer ends.
            gamma: Discount of a bar.

        Raises:
            ConfigError: If the observations are of another kind.
        """
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        if len(self.obs_shape) != 1 or observation_space.dtype != np.float32:
            raise ConfigError(
                f"observations must be vectors of float32, found {observation_space}; use stable_baselines3.DQN"
            )
        self.buffer_size = size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage, self.handle_timeout_termination = False, True  # SB3 asks
        self.n_steps = n_steps
        self._discounts = gamma ** np.arange(n_steps + 1, dtype=np.float32)
        self._ring = np.zeros((size + 1, n_envs, *self.obs_shape), np.float32)
        self._actions = np.zeros((size, n_envs), np.int64)
        self._rewards = np.zeros((size, n_envs), np.float32)
        self._ended = np.zeros((size, n_envs), np.bool_)
        self._terminated = np.zeros((size, n_envs), np.float32)  # ended, but not by a time limit
        self._is_cut = np.zeros(size, np.bool_)  # no return of a bar before goes on into it
        self._links = np.full((size, n_envs), NOWHERE, np.int32)  # rows of what lies apart
        self._apart = np.zeros((2 * n_envs, *self.obs_shape), np.float32)
        self._num_apart = self._num_laps = 0

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._links[:] = NOWHERE
        self._num_apart = self._num_laps = 0

    # Writing

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Add a transition of every account, as in SB3: ``next_obs`` has the last observations of ended episodes."""
        pos, row = self.pos, self._row_of_pos()
        if not np.array_equal(self._ring[row], obs):
            self._begin_anew(row, obs)
        self._links[pos] = NOWHERE
        self._ring[(row + 1) % len(self._ring)] = next_obs
        self._actions[pos] = action.reshape(self.n_envs)
        self._rewards[pos] = reward
        self._is_cut[pos] = False
        self._ended[pos] = self._terminated[pos] = done
        if done.any():
            cut_off = [info.get("TimeLimit.truncated", False) for info in infos]
            self._terminated[pos, np.flatnonzero(cut_off)] = 0.0
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0
            self._num_laps += 1

    def cut(self) -> None:
        """Let no return that begins before the newest transitions go on into them."""
        self._is_cut[self.pos - 1] = True

    def _row_of_pos(self) -> int:
        return int((self.pos - self._num_laps) % len(self._ring))

    def _begin_anew(self, row: int, obs: NDArray[np.float32]) -> None:
        """Write observations that do not follow from the newest transition, and put apart those that do."""
        changed = np.flatnonzero((self._ring[row] != obs).any(axis=1))
        if self.size():
            if self._num_apart + len(changed) > len(self._apart):
                self._tidy()
            places = self._num_apart + np.arange(len(changed))
            self._apart[places] = self._ring[row, changed]
            self._links[self.pos - 1, changed] = places
            self._num_apart += len(changed)
        self._ring[row] = obs

    def _tidy(self) -> None:
        """Drop what lies apart of transitions that are gone, and make room for as much again."""
        used = self._links >= 0
        kept = self._apart[self._links[used]]
        self._apart = np.zeros((2 * (len(kept) + self.n_envs), *self.obs_shape), np.float32)
        self._apart[: len(kept)] = kept
        self._links[used] = np.arange(len(kept))
        self._num_apart = len(kept)

    # Reading

    def draw(self, num_batches: int, batch_size: int) -> ReplayBufferSamples:
        """Return (num_batches * batch_size) transitions: those of as many calls of ``sample``."""
        highest = self.size()
        drawn = [
            (np.random.randint(0, highest, batch_size), np.random.randint(0, self.n_envs, batch_size))  # noqa: NPY002
            for _ in range(num_batches)
        ]  # SB3's generator, in SB3's order
        slots, accounts = zip(*drawn, strict=True)
        return self._transitions(np.concatenate(slots), np.concatenate(accounts))

    def _get_samples(self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None) -> ReplayBufferSamples:
        assert env is None  # what FastDQN refuses
        return self._transitions(batch_inds, np.random.randint(0, self.n_envs, len(batch_inds)))  # noqa: NPY002

    def _transitions(self, slots: NDArray[np.int64], accounts: NDArray[np.int64]) -> ReplayBufferSamples:
        """Return the transitions of some slots and accounts, ``n_steps`` long where they can be."""
        ring = self._ring.reshape(-1, *self.obs_shape)
        rows = slots - self._num_laps + (slots >= self.pos)
        last, returns, num_bars = self._follow(slots, accounts)
        next_observations = ring.take((rows + num_bars) % len(self._ring) * self.n_envs + accounts, axis=0)
        links = self._links.take(last)
        lie_apart = np.flatnonzero(links >= 0)
        next_observations[lie_apart] = self._apart[links[lie_apart]]
        return ReplayBufferSamples(
            observations=self._tensor(ring.take(rows % len(self._ring) * self.n_envs + accounts, axis=0)),
            actions=self._column(self._actions.take(slots * self.n_envs + accounts)),
            next_observations=self._tensor(next_observations),
            dones=self._column(self._terminated.take(last)),
            rewards=self._column(returns),
            discounts=self._column(self._discounts.take(num_bars)),
        )

    def _follow(
        self, slots: NDArray[np.int64], accounts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """Return where transitions of several bars end, as places of a slot and account, their returns and bars."""
        newest = (self.pos - 1) % self.buffer_size
        place = slots * self.n_envs + accounts
        returns = self._rewards.take(place)
        num_bars = np.ones(len(slots), np.int64)
        goes_on = np.ones(len(slots), np.bool_)
        for discount in self._discounts[1 : self.n_steps]:
            goes_on &= ~(self._ended.take(place) | (slots == newest))
            following = (slots + 1) % self.buffer_size
            goes_on &= ~self._is_cut.take(following)
            slots = np.where(goes_on, following, slots)
            place = slots * self.n_envs + accounts
            returns += goes_on * discount * self._rewards.take(place)
            num_bars += goes_on
        return place, returns, num_bars

    def _column(self, values: NDArray[Any]) -> Tensor:
        return self._tensor(values).unsqueeze(1)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    # Saving

    def state(self) -> dict[str, NDArray[Any]]:
        """Return views of all that was added, for ``set_state``."""
        size = self.size()
        return {
            "ring": self._ring[: size + 1],
            "apart": self._apart,
            "actions": self._actions[:size],
            "rewards": self._rewards[:size],
            "ended": self._ended[:size],
            "terminated": self._terminated[:size],
            "is_cut": self._is_cut[:size],
            "links": self._links[:size],
            "place": np.array([self.pos, self.full, self._num_laps, self._num_apart], np.int64),
        }

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Put back what ``state`` returned, of a buffer of the same size.

        Raises:
            KeyError, ValueError: If it is of another.
        """
        for name in ("ring", "actions", "rewards", "ended", "terminated", "links"):
            getattr(self, f"_{name}")[: len(state[name])] = state[name]
        cut = state.get("is_cut", np.zeros(0, np.bool_))  # older states have none, when none was cut
        self._is_cut[: len(cut)] = cut
        self._apart = np.array(state["apart"])
        pos, full, self._num_laps, self._num_apart = map(int, state["place"])
        self.pos, self.full = pos, bool(full)
