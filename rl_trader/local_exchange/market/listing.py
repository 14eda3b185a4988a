"""The exchange's own answers about a symbol, where they are at hand: in the data folder, or shipped for BTCUSDT."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rl_trader import contract
from rl_trader.json_fields import read_json_object
from rl_trader.store import DataStore

_SHIPPED: Final = Path(contract.__file__).parent / "contracts"
MODEL_SYMBOL: Final = "BTCUSDT"  # whose answers are shipped


@dataclass(frozen=True, slots=True)
class Listing:
    """What the exchange answered about a symbol; None where that is not at hand."""

    info: Mapping[str, object] | None = None  # its entry of exchangeInfo
    funding: Mapping[str, object] | None = None  # its entry of fundingInfo


def find_listing(symbol: str, store: DataStore | None = None) -> Listing:
    """Return what the exchange answered about a symbol, from the data folder or else from this package.

    Raises:
        ContractError: If a file is no JSON object.
    """
    recorded = store.contract_terms_path(symbol) if store else None
    if recorded is not None and recorded.exists():
        return _listing(symbol, read_json_object(recorded))
    return shipped_listing() if symbol == MODEL_SYMBOL else Listing()


def shipped_listing() -> Listing:
    """Return the shipped answers, which are BTCUSDT's."""
    return _listing(MODEL_SYMBOL, read_json_object(_SHIPPED / f"{MODEL_SYMBOL}.json"))


def _listing(symbol: str, answers: Mapping[str, object]) -> Listing:
    return Listing(_own_entry(symbol, answers.get("exchangeInfo")), _own_entry(symbol, answers.get("fundingInfo")))


def _own_entry(symbol: str, answer: object) -> Mapping[str, object] | None:
    """Return a symbol's entry of an answer, which is the entry, a list of entries, or has one as ``symbols``."""
    if isinstance(answer, Mapping) and "symbols" not in answer:
        return answer
    entries = answer["symbols"] if isinstance(answer, Mapping) else answer
    if not isinstance(entries, list):
        return None
    return next((entry for entry in entries if isinstance(entry, Mapping) and entry.get("symbol") == symbol), None)
