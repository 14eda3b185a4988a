"""Kills of the live trader's real process at every named point, with the exchange alive beside it."""
