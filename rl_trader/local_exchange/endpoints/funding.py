"""Mark price and funding: ``premiumIndex``, ``fundingRate``, ``fundingInfo``.

Sources: the API documentation of USD-M futures, "Mark Price", "Get Funding Rate History" and "Get Funding Rate Info"
(read in autumn 2026), and answers of September 2026: ``fundingRate`` ascends and has 100 rows unless more are asked
for. The exchange lists in ``fundingInfo`` the symbols that it adjusted; here it lists all.

Neither the index price nor the running estimate of the next rate is recorded: the mark price stands for the index and
for the estimated settlement price, the last settled rate for the estimate.
"""

from decimal import Decimal
from operator import itemgetter
from typing import Final

from rl_trader.local_exchange.endpoints.each_symbol import of_each, weight_of_each
from rl_trader.local_exchange.market.history import Window
from rl_trader.local_exchange.market.recording import decimal
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter
from rl_trader.local_exchange.protocol.limits import FUNDING_BUDGET
from rl_trader.local_exchange.wire import mark_text, rate_text
from rl_trader.market import BASE_FUNDING_RATE

_INTEREST_RATE: Final = rate_text(Decimal(repr(BASE_FUNDING_RATE)))
_MOST: Final = 1000  # rows
_DEFAULT: Final = 100


def premium_index(call: Call) -> object:
    """Answer ``GET /fapi/v1/premiumIndex``."""
    return of_each(call, premium_index_of)


def premium_index_of(call: Call, symbol: str) -> dict[str, object]:
    """Return mark price and funding of a symbol."""
    quotes = call.venue.market.quotes(symbol)
    return {
        "symbol": symbol,
        "markPrice": mark_text(quotes.mark),
        "indexPrice": mark_text(quotes.index),
        "estimatedSettlePrice": mark_text(quotes.index),
        "lastFundingRate": rate_text(quotes.funding_rate),
        "interestRate": _INTEREST_RATE,
        "nextFundingTime": quotes.next_funding_ms,
        "time": call.venue.market_ms(),
    }


def funding_rates(call: Call) -> list[dict[str, object]]:
    """Answer ``GET /fapi/v1/fundingRate``: settled funding in ascending order."""
    market, wanted = call.venue.market, call.maybe_text("symbol")
    window = Window(call.whole("limit"), call.maybe_whole("startTime"), call.maybe_whole("endTime"))
    rows: list[tuple[int, dict[str, object]]] = [
        (
            settlement.time_ms,
            {
                "symbol": symbol,
                "fundingTime": settlement.time_ms,
                "fundingRate": rate_text(settlement.rate),
                "markPrice": mark_text(settlement.mark_price),
                "rateType": "Regular",
            },
        )
        for symbol in ((wanted,) if wanted else market.symbols)
        for settlement in market.fundings(symbol, window)
    ]
    rows.sort(key=itemgetter(0))
    kept = rows[: window.limit] if window.since_ms is not None else rows[-window.limit :]
    return [row for _, row in kept]


def funding_info(call: Call) -> list[dict[str, object]]:
    """Answer ``GET /fapi/v1/fundingInfo``."""
    return [_funding_terms(call, symbol) for symbol in call.venue.market.symbols]


def _funding_terms(call: Call, symbol: str) -> dict[str, object]:
    contract = call.venue.market.quotes(symbol).contract
    terms: dict[str, object] = {
        "symbol": symbol,
        "adjustedFundingRateCap": rate_text(decimal(contract.funding_cap)),
        "adjustedFundingRateFloor": rate_text(decimal(contract.funding_floor)),
        "fundingIntervalHours": contract.funding_interval_hours,
        "disclaimer": False,
        "updateTime": None,
    }
    return terms | dict(call.venue.market.recordings[symbol].listing.funding or {})


_SYMBOL: Final = Parameter("symbol", Kind.SYMBOL)

FUNDING_ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/fapi/v1/premiumIndex",
        answer=premium_index,
        weight=weight_of_each(1, 10),
        parameters=(_SYMBOL,),
    ),
    Endpoint(
        method="GET",
        path="/fapi/v1/fundingRate",
        answer=funding_rates,
        weight=0,
        budget=FUNDING_BUDGET,
        parameters=(
            _SYMBOL,
            Parameter("startTime", Kind.WHOLE),
            Parameter("endTime", Kind.WHOLE),
            Parameter("limit", Kind.WHOLE, default=_DEFAULT, least=1, most=_MOST),
        ),
    ),
    Endpoint(method="GET", path="/fapi/v1/fundingInfo", answer=funding_info, weight=0, budget=FUNDING_BUDGET),
)
