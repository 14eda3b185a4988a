"""Filling the store: from Binance's public archive, and what is newer over REST."""

from rl_trader.download.job import Request, download

__all__ = ["Request", "download"]
