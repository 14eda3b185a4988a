"""gymnax' cart-pole, jitted whole with random actions drawn inside."""

import gymnax
import jax
from serve import Run, rate, serve

NUM_STEPS = 256


def vector_env(num_envs: int, seconds: float) -> Run:
    """Return steps of a scan over steps of mapped environments."""
    env, params = gymnax.make("CartPole-v1")
    keys = jax.random.split(jax.random.key(0), num_envs)
    _, first = jax.vmap(env.reset, in_axes=(0, None))(keys, params)

    def one(carry, _):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - traced
        state, key = carry
        key, draw, step = jax.random.split(key, 3)
        actions = jax.random.randint(draw, (num_envs,), 0, 2)
        obs, state, reward, *_ = jax.vmap(env.step, in_axes=(0, 0, 0, None))(
            jax.random.split(step, num_envs), state, actions, params
        )
        return (state, key), (obs.sum(), reward.sum())

    play = jax.jit(lambda state, key: jax.lax.scan(one, (state, key), None, NUM_STEPS))
    key = jax.random.key(1)
    return rate(lambda: jax.block_until_ready(play(first, key)), NUM_STEPS * num_envs, seconds)


serve({"vector_env": vector_env}, "gymnax", "jax")
