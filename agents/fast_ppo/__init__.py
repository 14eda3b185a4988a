"""PPO as Stable-Baselines3 has it, with the inside of its rollout and of its update written out by hand."""
