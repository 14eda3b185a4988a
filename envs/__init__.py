"""Gymnasium environments of a futures account; importing this package registers ``rl_trader/TradingEnv-v0``."""

import gymnasium

ENV_ID = "rl_trader/TradingEnv-v0"

gymnasium.register(
    id=ENV_ID,
    entry_point="envs.trading_env:TradingEnv",
    vector_entry_point="envs.vector_env:TradingVectorEnv",
    nondeterministic=False,
)
