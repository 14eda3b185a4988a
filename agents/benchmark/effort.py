"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Size and length of the runs; the sizes that a line's name gives are fixed."""

    repeats: int = 5
    """Runs a figure."""
    seconds: float = 0.3
    """Length of a run that is limited by time."""
    num_bars: int = 100_000
    """Bars of the market that is stepped."""
    num_minutes: int = 5 * 365 * 24 * 60 + 24 * 60
    """Bars of the market whose memory is measured: five years."""
    num_rollouts: int = 2
    """Rollouts, each with its update, in a training run."""
    num_shared: int = 500_000
    """Bars of the market that several processes share."""
    num_back_tested: int = 1_000_000
    """Bars of a rule's back-test."""
    num_evaluated: int = 44_000
    """Bars of an evaluation."""
    device: str = "cpu"
    """Of the networks that are trained: cpu or cuda."""
    num_decisions: int = 100
    """Decisions of the live trader in a run."""
    num_days: int = 10
    """Days of 1-minute bars in the journal that the live trader starts with again."""
    num_moments: int = 12
    """Moments at which a stream is lost."""
    num_messages: int = 100_000
    """Messages of a burst."""

    @property
    def training_seconds(self) -> float:
        """Length of a run of trainings, of which one is over in a few tenths of a second."""
        return 3.0 * self.seconds
