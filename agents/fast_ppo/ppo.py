"""``FastPPO``: stable_baselines3.PPO with its interface, its logs and its files, and the same updates in less time."""

from typing import Any, Final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.fast_ppo.loss import Batch, Figures, LossGradient, Weighting
from agents.flat_nets.adam import FlatAdam
from agents.flat_nets.chain import flat_weights, put_back
from rl_trader.errors import ConfigError
from rl_trader.processors import own_processors

TINY: Final = 1e-8  # added to a standard deviation that may be 0, as in SB3
NORM_TINY: Final = 1e-6  # likewise to the gradient's norm, as in torch


class FastPPO(PPO):
    """PPO for an ``MlpPolicy``, with value clipping and state-dependent exploration left out.

    On the same rollout the weights after an update are those
    of SB3 but for rounding; actions are drawn otherwise, so that rollouts of one seed differ from SB3's.

    Raises:
        ConfigError: If the policy is no plain multilayer perceptron, or values are to be clipped.
    """

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        *,
        num_shares: int = 1,
        _init_setup_model: bool = True,
        **settings: Any,  # noqa: ANN401 - as in SB3
    ) -> None:
        """Make a model.

        Args:
            policy: "MlpPolicy".
            env: As in SB3.
            num_shares: Of a large minibatch, on which threads work side by side where there are processors for them;
                torch's own threads should be one then. The bits depend on it, and not on the threads.
            settings: Of :class:`stable_baselines3.PPO`; ``ent_coef`` may be a schedule too, as ``learning_rate``.
        """
        self.num_shares = num_shares
        super().__init__(policy, env, _init_setup_model=_init_setup_model, **settings)

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.clip_range_vf is not None:
            raise ConfigError("clip_range_vf must be none, since values are not clipped; use stable_baselines3.PPO")
        self._weights = flat_weights(self.policy)
        num_threads = min(self.num_shares, own_processors())
        self._loss = LossGradient(self.policy, self._weights, self.num_shares, num_threads)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_weights", "_loss"]

    # The rollout

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Play ``n_rollout_steps`` steps into the buffer; as in SB3, but without a copy in between.

        Returns:
            Whether the callback lets training go on.
        """
        assert self._last_obs is not None
        self.policy.set_training_mode(False)
        self._weights.copy_(flat_weights(self.policy))
        rollout_buffer.reset()
        callback.on_rollout_start()
        for step in range(n_rollout_steps):
            actions = self._act(rollout_buffer, step)
            answer: Any = env.step(self._in_range(actions))
            new_obs, rewards, dones, infos = answer
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            if dones.any():
                self._update_info_buffer(infos, dones)
                rewards = self._with_values_of_the_cut_off(rewards, dones, infos)
            rollout_buffer.rewards[step] = rewards
            self._last_obs, self._last_episode_starts = new_obs, dones
        rollout_buffer.pos, rollout_buffer.full = n_rollout_steps, True
        last_values = self._values(self._last_obs)
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _act(self, buffer: RolloutBuffer, step: int) -> NDArray[Any]:
        """Note what is observed and what is done, and return the actions."""
        buffer.observations[step] = self._last_obs
        buffer.episode_starts[step] = self._last_episode_starts
        with torch.inference_mode():
            observations = torch.from_numpy(buffer.observations[step]).to(self.device)
            nets = self._loss.nets
            actions, log_probs = nets.head.sample(nets.actor.forward(observations))
            values = nets.critic.forward(observations)
        chosen: NDArray[Any] = actions.cpu().numpy()
        buffer.actions[step] = chosen
        buffer.log_probs[step] = log_probs.cpu().numpy()
        buffer.values[step] = values.squeeze(1).cpu().numpy()
        return chosen

    def _in_range(self, actions: NDArray[Any]) -> NDArray[Any]:
        if isinstance(self.action_space, spaces.Box):
            return np.asarray(np.clip(actions, self.action_space.low, self.action_space.high))
        return np.asarray(actions[:, 0])

    def _values(self, observations: Any) -> Tensor:  # noqa: ANN401 - SB3's observations
        with torch.inference_mode():
            rows = torch.from_numpy(np.asarray(observations, np.float32)).to(self.device)
            return self._loss.nets.critic.forward(rows)

    def _with_values_of_the_cut_off(
        self, rewards: NDArray[Any], dones: NDArray[np.bool_], infos: list[dict[str, Any]]
    ) -> NDArray[Any]:
        """Add what would have come after episodes that a time limit ended."""
        cut_off = [i for i in np.flatnonzero(dones).tolist() if infos[i].get("TimeLimit.truncated", False)]
        if not cut_off:
            return rewards
        values = self._values(np.stack([infos[i]["terminal_observation"] for i in cut_off]))
        rewards = np.array(rewards, np.float32)
        rewards[cut_off] += self.gamma * values.squeeze(1).cpu().numpy()
        return rewards

    # The update

    def train(self) -> None:
        """Update the networks on the rollout; the minibatches are those that SB3 would draw."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        weighting = Weighting(
            clip_range=float(self.clip_range(self._current_progress_remaining)),  # type: ignore[operator]
            entropy=self._entropy_weight(),
            value=self.vf_coef,
        )
        figures: list[Figures] = []
        with torch.inference_mode():
            self._weights.copy_(flat_weights(self.policy))
            adam = FlatAdam(self.policy.optimizer, self._weights.numel())
            rollout = self._rollout()
            for _ in range(self.n_epochs):
                num_before = len(figures)
                goes_on = self._train_epoch(rollout, adam, weighting, figures)
                self._n_updates += 1
                if not goes_on:
                    break
        put_back(self._weights, self.policy)
        adam.store()
        self._log(figures, figures[num_before:], weighting)

    def _entropy_weight(self) -> float:
        left = self._current_progress_remaining
        return float(self.ent_coef(left) if callable(self.ent_coef) else self.ent_coef)

    def _rollout(self) -> Batch:
        """Return the rollout, a row an account and step."""
        buffer = self.rollout_buffer
        arrays = (buffer.observations, buffer.actions, buffer.log_probs, buffer.advantages, buffer.returns)
        rows = [torch.from_numpy(array.reshape(-1, *array.shape[2:])).to(self.device) for array in arrays]
        if isinstance(self.action_space, spaces.Discrete):
            rows[1] = rows[1].long()
        return Batch(*rows)

    def _train_epoch(self, rollout: Batch, adam: FlatAdam, weighting: Weighting, figures: list[Figures]) -> bool:
        """Go through the rollout once; return whether the policy is still near the one that has played."""
        num_steps, num_envs = self.rollout_buffer.rewards.shape
        drawn = np.random.permutation(num_steps * num_envs)  # noqa: NPY002 - SB3's order, which counts by accounts
        rows = torch.from_numpy(drawn % num_steps * num_envs + drawn // num_steps).to(self.device)
        shuffled = Batch(*(array.index_select(0, rows) for array in rollout))
        for begin in range(0, len(rows), self.batch_size):
            batch = shuffled.part(slice(begin, begin + self.batch_size))
            if self.normalize_advantage and len(batch.returns) > 1:
                batch = batch._replace(advantages=_normalised(batch.advantages))
            gradient, newest = self._loss.take(batch, weighting)
            figures.append(newest)
            if self.target_kl is not None and float(newest.kl) > 1.5 * self.target_kl:
                return False
            gradient.mul_((self.max_grad_norm / (gradient.norm() + NORM_TINY)).clamp(max=1.0))
            adam.step(self._weights, gradient)
        return True

    def _log(self, figures: list[Figures], of_last_epoch: list[Figures], weighting: Weighting) -> None:
        """Record what SB3 records, under the same names."""
        means = Figures(*torch.stack([torch.stack(each) for each in figures]).mean(0).tolist())
        newest = Figures(*torch.stack(figures[-1]).tolist())
        buffer = self.rollout_buffer
        logged = {
            "entropy_loss": means.entropy,
            "policy_gradient_loss": means.policy,
            "value_loss": means.value,
            "approx_kl": float(torch.stack([each.kl for each in of_last_epoch]).mean()),
            "clip_fraction": means.clipped,
            "loss": newest.policy + weighting.entropy * newest.entropy + weighting.value * newest.value,
            "explained_variance": explained_variance(buffer.values.ravel(), buffer.returns.ravel()),
            "clip_range": weighting.clip_range,
            "ent_coef": weighting.entropy,
        }
        for name, figure in logged.items():
            self.logger.record(f"train/{name}", figure)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", float(self.policy.log_std.detach().exp().mean()))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


def _normalised(advantages: Tensor) -> Tensor:
    return (advantages - advantages.mean()) / (advantages.std() + TINY)
