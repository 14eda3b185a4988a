"""How often funding is settled, which the exchange changes at times: noticed in what it announces, and then asked for.

The time from the newest settlement to the one that is announced as the next is the interval, unless the newest one is
not known yet; ``GET /fapi/v1/fundingInfo`` decides. It lists symbols with an interval or limits of their own; another
one is settled every eight hours (the API documentation of USD-M futures, "Get Funding Rate Info", read in autumn 2026).

Times in milliseconds since 1970 UTC.
"""

from dataclasses import replace
from typing import Final

from rl_trader.bars import MS_PER_HOUR
from rl_trader.contract_terms import ContractTerms

FUNDING_INFO: Final = "funding_info"  # name of the call, as in rl_trader.live.exchange.endpoints

_USUAL_HOURS: Final = 8
_LONGEST_HOURS: Final = 24


def is_settled_by(terms: ContractTerms, settled_ms: int, due_ms: int) -> bool:
    """Return whether two settlements that follow each other lie as far apart as terms say."""
    return due_ms - settled_ms == terms.funding_interval_hours * MS_PER_HOUR


def terms_between(terms: ContractTerms, settled_ms: int, due_ms: int) -> ContractTerms:
    """Return terms by which two settlements follow each other; where none can, the terms as they are."""
    hours, rest = divmod(due_ms - settled_ms, MS_PER_HOUR)
    return terms if rest or not 0 < hours <= _USUAL_HOURS else replace(terms, funding_interval_hours=hours)


def terms_told(terms: ContractTerms, data: object) -> ContractTerms | None:
    """Return terms with the interval that an answer of the exchange has; None if it has none that can be."""
    if not isinstance(data, list):
        return None
    rows = [row for row in data if isinstance(row, dict) and row.get("symbol") == terms.symbol]
    hours = rows[0].get("fundingIntervalHours") if rows else _USUAL_HOURS
    if not isinstance(hours, int) or isinstance(hours, bool) or not 0 < hours <= _LONGEST_HOURS:
        return None
    return replace(terms, funding_interval_hours=hours)
