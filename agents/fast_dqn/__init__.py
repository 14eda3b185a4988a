"""DQN as Stable-Baselines3 has it, with its replay buffer and the inside of its rollout and update written anew."""
