"""Searches among configurations: sweeps over a grid, in processes or on Ray, and tuning with Optuna."""
