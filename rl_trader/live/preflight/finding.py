"""What a check before the first order has found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rl_trader.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found."""

    level: Literal["ok", "note", "refuse"]
    text: str  # one sentence

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


def require_none_refused(findings: Sequence[Finding]) -> None:
    """Refuse to go on where a finding stands against it.

    Raises:
        ConfigError: Says what stands against it.
    """
    against = [finding.text for finding in findings if finding.level == "refuse"]
    if against:
        raise ConfigError("; ".join(against))
