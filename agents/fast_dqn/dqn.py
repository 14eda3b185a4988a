"""``FastDQN``: stable_baselines3.DQN with its interface, its logs and its files, and the same updates in less time."""

from typing import Any, Final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.fast_dqn.buffer import RingReplayBuffer
from agents.fast_dqn.networks import QNetworks
from rl_trader.errors import ConfigError

ROWS: Final = 4_096  # transitions that are drawn at a time, some megabytes with what the target network makes of them


class FastDQN(DQN):
    """DQN for an ``MlpPolicy`` on vectors of float32, with a replay buffer that keeps every observation once.

    All random numbers are drawn as SB3 draws them: a training of one seed is SB3's but for rounding, unless returns are
    cut.

    Args:
        args: As SB3's.
        cut_returns: Let a return of several bars end before a random action, so that its costs are not held against
            what was done before it (Watkins 1989, "Learning from Delayed Rewards").
        kwargs: As SB3's.

    Raises:
        ConfigError: If the policy is no plain multilayer perceptron, or a replay buffer of another kind is asked for.
    """

    def __init__(self, *args: Any, cut_returns: bool = False, **kwargs: Any) -> None:  # noqa: ANN401 - as in SB3
        self.cut_returns = cut_returns
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        self._check()
        if self.replay_buffer is None:
            self.replay_buffer = RingReplayBuffer(
                self.buffer_size,
                self.observation_space,
                self.action_space,
                self.device,
                self.n_envs,
                n_steps=self.n_steps,
                gamma=self.gamma,
            )
        super()._setup_model()
        self.replay_buffer_class = None  # SB3 has noted its own, which it would warn of in what was saved
        self._networks = QNetworks(self.policy)

    def _check(self) -> None:
        is_own = self.replay_buffer_class in (None, ReplayBuffer, NStepReplayBuffer)
        if not is_own or self.optimize_memory_usage or self._vec_normalize_env is not None:
            raise ConfigError(
                "replay_buffer_class and optimize_memory_usage must be left out, since the buffer keeps every"
                " observation once anyway, and VecNormalize too; use stable_baselines3.DQN with them"
            )

    @property
    def _ring(self) -> RingReplayBuffer:
        assert isinstance(self.replay_buffer, RingReplayBuffer)
        return self.replay_buffer

    # Files

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_networks"]

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Return the state of networks and optimiser, as in SB3."""
        self._networks.store_memory()
        return super().get_parameters()

    def set_parameters(
        self,
        load_path_or_dict: str | dict[str, Tensor],
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """Load the state of networks and optimiser, as in SB3."""
        super().set_parameters(load_path_or_dict, exact_match, device)
        self._networks.load_memory()

    # The rollout

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Play into the buffer until the next update is due; as in SB3.

        Returns:
            What was played, and whether the callback lets training go on.
        """
        assert env.num_envs == 1 or train_freq.unit == TrainFrequencyUnit.STEP, "episodes are counted for one account"
        num_steps = num_episodes = 0
        callback.on_rollout_start()
        while should_collect_more_steps(train_freq, num_steps, num_episodes):
            is_random = self._explores(learning_starts)
            actions = self._act(is_random, env.num_envs)
            answer: Any = env.step(actions)
            new_obs, rewards, dones, infos = answer
            self.num_timesteps += env.num_envs
            num_steps += 1
            callback.update_locals(locals())
            if not callback.on_step():
                return RolloutReturn(num_steps * env.num_envs, num_episodes, continue_training=False)
            have_ended = bool(dones.any())
            following = _with_the_last(new_obs, dones, infos) if have_ended else new_obs
            self._ring.add(self._last_obs, following, actions, rewards, dones, infos)  # type: ignore[arg-type]
            if is_random and self.cut_returns:
                self._ring.cut()
            self._last_obs = new_obs
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
            if have_ended:
                num_episodes += self._note_ends(dones, infos, log_interval)
        callback.on_rollout_end()
        return RolloutReturn(num_steps * env.num_envs, num_episodes, continue_training=True)

    def _explores(self, learning_starts: int) -> bool:
        return self.num_timesteps < learning_starts or bool(np.random.rand() < self.exploration_rate)  # noqa: NPY002

    def _act(self, is_random: bool, num_envs: int) -> NDArray[np.int64]:
        """Return an action for every account: of all at random, or of all the best; as in SB3."""
        if is_random:
            levels = self.action_space
            assert isinstance(levels, spaces.Discrete)
            return np.asarray(levels.start + levels.np_random.integers(levels.n, size=num_envs))
        return self._networks.best_actions(np.asarray(self._last_obs))

    def _on_step(self) -> None:
        """Move the target network if that is due, and note how much is explored; as in SB3."""
        self._n_calls += 1
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            self._networks.move_target(self.tau)
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def _note_ends(self, dones: NDArray[np.bool_], infos: list[dict[str, Any]], log_interval: int | None) -> int:
        """Count episodes that have ended, log now and then, and return their number."""
        self._update_info_buffer(infos, dones)
        num_ended = int(np.count_nonzero(dones))
        for _ in range(num_ended):
            self._episode_num += 1
            if log_interval is not None and self._episode_num % log_interval == 0:
                self.dump_logs()
        return num_ended

    # The update

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Take gradient steps on batches of the buffer; they are those that SB3 would draw."""
        self._update_learning_rate(self.policy.optimizer)
        at_a_time = max(ROWS // batch_size, 1)
        losses = []
        for begin in range(0, gradient_steps, at_a_time):
            seen = self._ring.draw(min(at_a_time, gradient_steps - begin), batch_size)
            losses.append(self._networks.learn(seen, batch_size, self.max_grad_norm))
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(torch.cat(losses).mean()))


def _with_the_last(
    observations: NDArray[np.float32], dones: NDArray[np.bool_], infos: list[dict[str, Any]]
) -> NDArray[np.float32]:
    """Return observations in which those of ended episodes are their last, not the first of the next."""
    following = np.array(observations)
    for i in np.flatnonzero(dones).tolist():
        if infos[i].get("terminal_observation") is not None:
            following[i] = infos[i]["terminal_observation"]
    return following
