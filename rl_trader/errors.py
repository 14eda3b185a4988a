"""Errors that a user can cause and mend.

Every message is one sentence that says what was wanted, what was found and what to do. Scripts print it and exit
with code 2. What only a bug can break is an ``assert``.
"""


class RlTraderError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(RlTraderError):
    """A setting, preset, field or period that cannot be used."""


class DataError(RlTraderError):
    """Market data that is missing, damaged or does not cover what was asked."""


class ContractError(RlTraderError):
    """Contract terms that are missing, contradictory or out of range."""


class CheckpointError(RlTraderError):
    """A run folder or checkpoint that is missing, damaged or made by another schema."""


class DownloadError(RlTraderError):
    """Market data or contract terms could not be fetched."""
