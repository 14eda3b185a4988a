"""Whatever learns: configuration, presets, training, checkpoints and run folders."""
