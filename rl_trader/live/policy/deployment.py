"""What is deployed: a checkpoint, one of its symbols, and which recorded series its observations were made of.

Everything is read from the manifest, so that a deployment takes no option that could contradict the run. A policy must
be shown what it was trained on: the mark price of the same candles, and no taker purchases where none were recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rl_trader.checkpoint import MANIFEST_FILE, SEAL, Checkpoint, load_checkpoint, read_manifest
from rl_trader.config import Assumptions, TradingConfig
from rl_trader.contract_terms import ContractTerms
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.features import SIGNAL_PREFIX
from rl_trader.klines import can_resample, interval_ms
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import schema_warmup
from rl_trader.plain_files import read_json
from rl_trader.trading import kernel_terms

SERIES: Final = "series"  # of the manifest's facts
CHECKPOINTS: Final = "checkpoints"  # of a run folder
INDEX_FILE: Final = "index.json"
MOST_INDEX_BYTES: Final = 2**20
MOST_BARS: Final = 50_000  # of one observation: more are not asked for at the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Which candles the observations of a symbol are made of, besides the klines."""

    mark_intervals: tuple[str, ...]  # of mark-price candles; none lets the last price stand for the mark price
    has_taker_buys: bool  # whether the klines have the volume that takers bought


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A checkpoint on one symbol."""

    name: str  # of the run
    checkpoint_sha256: str  # its identity: of the manifest, and with it of the weights
    checkpoint: Checkpoint
    terms: ContractTerms  # of training
    series: Series

    @property
    def symbol(self) -> str:
        """Which."""
        return self.terms.symbol

    @property
    def schema(self) -> ObservationSchema:
        """Layout of the observation."""
        return self.checkpoint.schema

    @property
    def interval(self) -> str:
        """Of the bars."""
        return self.checkpoint.interval

    @property
    def interval_ms(self) -> int:
        """Length of a bar in milliseconds."""
        return interval_ms(self.checkpoint.interval)

    @property
    def num_bars(self) -> int:
        """How many bars an observation is made of, its own included."""
        return schema_warmup(self.schema) + 1

    @property
    def trading(self) -> TradingConfig:
        """How the account trades; leverages of other symbols are left out."""
        trading = self.checkpoint.env.trading
        own = tuple(pair for pair in trading.symbol_leverage if pair.partition("=")[0] == self.symbol)
        return replace(trading, symbol_leverage=own)

    @property
    def assumptions(self) -> Assumptions:
        """What stands for a series that is missing: nothing, but the last price where the run had no mark price."""
        return Assumptions(missing_mark="refuse" if self.series.mark_intervals else "last", holes="split")


def load_deployment(path: Path, symbol: str | None = None, which: str = "best") -> Deployment:
    """Return what is deployed: hashes, shapes, the observation's meaning and the golden decisions are checked.

    Args:
        path: A run's folder, or one of its checkpoints.
        symbol: One of the run's; may be left out where it has one.
        which: The ``best`` or the ``last`` checkpoint of a run's folder.

    Raises:
        CheckpointError: If it is missing, damaged, or made by another version.
        ConfigError: If the symbol is none of the run's, or a feature needs what live trading does not have.
        ContractError: If the symbol does not allow the leverage.
    """
    folder = checkpoint_folder(path, which)
    checkpoint = load_checkpoint(folder)
    terms = _chosen(checkpoint, symbol)
    signals = [name for name in checkpoint.env.features if name.startswith(SIGNAL_PREFIX)]
    if signals:
        raise ConfigError(
            f"feature {signals[0]!r} of {path} is a column that was added to the recorded klines, which live trading"
            " does not have; train without it, or write it as a feature of your own"
        )
    deployment = Deployment(
        name=path.resolve().name,
        checkpoint_sha256=str(read_manifest(folder)[SEAL]),
        checkpoint=checkpoint,
        terms=terms,
        series=_series(checkpoint, terms.symbol, folder),
    )
    if deployment.num_bars > MOST_BARS:
        raise ConfigError(
            f"an observation of {path} is made of {deployment.num_bars} bars, and {MOST_BARS} are the most that a start"
            " asks for; train with a smaller window"
        )
    kernel_terms([terms], deployment.trading)
    return deployment


def checkpoint_folder(path: Path, which: str) -> Path:
    """Return the folder of a checkpoint: the given one, or one of a run's.

    Raises:
        CheckpointError: If it is neither, or its run does not name it.
    """
    if (path / MANIFEST_FILE).is_file():
        return path
    index = path / CHECKPOINTS / INDEX_FILE
    if not index.is_file():
        raise CheckpointError(f"{path} is neither a run's folder nor a checkpoint; name one that scripts.train made")
    try:
        names: Any = read_json(index, MOST_INDEX_BYTES)
        name = names[which]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{index} cannot be read: {error}; the run folder is damaged") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"run {path} has no {which} checkpoint; choose best or last, or train it") from error
    if not _is_beside(index, name):
        raise CheckpointError(f"{index} must name a folder beside it, found {name!r}; the run folder is damaged")
    return path / CHECKPOINTS / str(name)


def _is_beside(index: Path, name: object) -> bool:
    """Return whether a name is that of a folder which lies beside the index, and is no way out of there."""
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name or "\0" in name:
        return False
    beside = index.absolute().parent
    return beside.parent.resolve() / beside.name / name == (beside / name).resolve()


def _chosen(checkpoint: Checkpoint, symbol: str | None) -> ContractTerms:
    names = ", ".join(checkpoint.symbols)
    if symbol is None and len(checkpoint.terms) == 1:
        return checkpoint.terms[0]
    if symbol is None:
        raise ConfigError(f"the run has several symbols ({names}); choose one by --symbol")
    found = [terms for terms in checkpoint.terms if terms.symbol == symbol]
    if not found:
        raise ConfigError(f"the run has no symbol {symbol!r}; choose from {names}")
    return found[0]


def _series(checkpoint: Checkpoint, symbol: str, folder: Path) -> Series:
    try:
        recorded: Mapping[str, object] = checkpoint.facts[SERIES][symbol]
        intervals, has_taker_buys = recorded["mark_price"], recorded["taker_buy_volume"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"the manifest of {folder} does not say of which series {symbol} was observed ({error}); it was made by an"
            " older version: train again with this one"
        ) from error
    if not isinstance(intervals, list) or not isinstance(has_taker_buys, bool):
        raise CheckpointError(f"the manifest of {folder} has {dict(recorded)} as series of {symbol}; it is damaged")
    return Series(mark_intervals=_needed(intervals, checkpoint.interval), has_taker_buys=has_taker_buys)


def _needed(recorded: list[str], interval: str) -> tuple[str, ...]:
    """Return the candles that mark prices are made of: the bars' own, where finer ones make them, else all coarser."""
    if any(can_resample(name, interval) for name in recorded):
        return (interval,)
    return tuple(sorted((name for name in recorded if interval_ms(name) > interval_ms(interval)), key=interval_ms))
