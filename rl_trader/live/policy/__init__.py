"""The policy of a checkpoint: what it is shown and what it wants."""
