"""How an account trades: leverage, margin types, isolated margin, position mode, fees.

Sources: the API documentation of USD-M futures, "Change Initial Leverage", "Change Margin Type", "Modify Isolated
Position Margin", "Change Position Mode", "Change Multi-Assets Mode", "Toggle BNB Burn", "Symbol Configuration",
"Notional and Leverage Brackets", "User Commission Rate" (read in autumn 2026). No orders are hidden from the book here
(RPI), so that their fee is the maker's.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.positions import MarginMode
from rl_trader.local_exchange.endpoints.order_answers import Answer, plain_text
from rl_trader.local_exchange.endpoints.order_parameters import ANY_SYMBOL, POSITION_SIDE, SYMBOL
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.settings import (
    move_margin,
    set_leverage,
    set_margin_mode,
    set_multi_assets,
    set_position_mode,
)
from rl_trader.local_exchange.engine.words import PositionSide
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter, Security
from rl_trader.local_exchange.refusal_texts import refused

SUCCESS: Final[Answer] = {"code": 200, "msg": "success"}
MARGIN_TYPES: Final = {"ISOLATED": MarginMode.ISOLATED, "CROSSED": MarginMode.CROSS}

_ADD, _REDUCE = 1, 2
_STANDARD_BRACKETS: Final = 1.0  # the account's own multiple of the brackets' notionals


def change_leverage(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/leverage``."""
    symbol, leverage = call.text("symbol"), call.whole("leverage")
    set_leverage(call.venue.exchange.state, call.trader, symbol, leverage)
    most = call.venue.exchange.quotes[symbol].terms.max_notional(leverage)
    return {"leverage": leverage, "maxNotionalValue": plain_text(most), "symbol": symbol}


def change_margin_type(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/marginType``."""
    set_margin_mode(call.venue.exchange.state, call.trader, call.text("symbol"), MARGIN_TYPES[call.text("marginType")])
    return dict(SUCCESS)


def change_margin(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/positionMargin``.

    Raises:
        RefusedError: -4055 where the amount is not positive, and what the engine refuses.
    """
    amount, kind = call.decimal("amount"), call.whole("type")
    if amount <= 0:
        raise refused(-4055)
    side = PositionSide(call.text("positionSide"))
    signed = amount if kind == _ADD else -amount
    move_margin(call.venue.exchange.state, call.trader, call.text("symbol"), side, signed)
    return {"amount": _number(amount), "code": 200, "msg": "Successfully modify position margin.", "type": kind}


def position_mode(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/positionSide/dual``."""
    return {"dualSidePosition": call.trader.is_hedged}


def change_position_mode(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/positionSide/dual``."""
    set_position_mode(call.trader, is_hedged=call.truth("dualSidePosition"))
    return dict(SUCCESS)


def multi_assets(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/multiAssetsMargin``."""
    return {"multiAssetsMargin": call.trader.is_multi_assets}


def change_multi_assets(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/multiAssetsMargin``."""
    set_multi_assets(call.venue.exchange.state, call.trader, is_multi_assets=call.truth("multiAssetsMargin"))
    return dict(SUCCESS)


def fee_burn(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/feeBurn``."""
    return {"feeBurn": call.trader.burns_bnb}


def change_fee_burn(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/feeBurn``; an account without BNB of its own is charged its value in USDT."""
    call.trader.burns_bnb = call.truth("feeBurn")
    return dict(SUCCESS)


def symbol_configs(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/symbolConfig``: a list, also of the one symbol that was sent."""
    return [_symbol_config(call, quotes) for quotes in _wanted(call)]


def _symbol_config(call: Call, quotes: Quotes) -> Answer:
    call.trader.know(quotes)
    setting = call.trader.setting(quotes.symbol)
    return {
        "symbol": quotes.symbol,
        "marginType": "ISOLATED" if setting.is_isolated else "CROSSED",
        "isAutoAddMargin": False,
        "leverage": setting.leverage,
        "maxNotionalValue": plain_text(quotes.terms.max_notional(setting.leverage)),
    }


def leverage_brackets(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/leverageBracket``: a list, also of the one symbol that was sent."""
    return [
        {
            "symbol": quotes.symbol,
            "notionalCoef": _STANDARD_BRACKETS,
            "brackets": [
                {
                    "bracket": number,
                    "initialLeverage": bracket.initial_leverage,
                    "notionalCap": _number(bracket.cap),
                    "notionalFloor": _number(bracket.floor),
                    "maintMarginRatio": _number(bracket.rate),
                    "cum": _number(bracket.amount),
                }
                for number, bracket in enumerate(quotes.terms.brackets, start=1)
            ],
        }
        for quotes in _wanted(call)
    ]


def commission_rate(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/commissionRate``; the discount for BNB is not in it."""
    terms = call.venue.exchange.quotes[call.text("symbol")].terms
    return {
        "symbol": terms.symbol,
        "makerCommissionRate": plain_text(terms.maker_fee),
        "takerCommissionRate": plain_text(terms.taker_fee),
        "rpiCommissionRate": plain_text(terms.maker_fee),
    }


def _wanted(call: Call) -> list[Quotes]:
    """Return the symbol that was sent, or all."""
    symbol = call.maybe_text("symbol")
    return [quotes for quotes in call.venue.exchange.quotes.values() if symbol in (None, quotes.symbol)]


def _number(value: Decimal) -> int | float:
    """Return a decimal as a number of JSON."""
    return int(value) if value == value.to_integral_value() else float(value)


def _post(name: str, answer: Callable[[Call], object], *parameters: Parameter) -> Endpoint:
    return Endpoint(
        method="POST", path=f"/fapi/v1/{name}", answer=answer, security=Security.TRADE, parameters=parameters
    )


def _get(name: str, answer: Callable[[Call], object], weight: int, *parameters: Parameter) -> Endpoint:
    return Endpoint(
        method="GET",
        path=f"/fapi/v1/{name}",
        answer=answer,
        security=Security.USER_DATA,
        weight=weight,
        parameters=parameters,
    )


def _truth(name: str) -> Parameter:
    return Parameter(name, Kind.TRUTH, is_required=True)


SETTING_ENDPOINTS: Final = (
    _post("leverage", change_leverage, SYMBOL, Parameter("leverage", Kind.WHOLE, is_required=True)),
    _post(
        "marginType", change_margin_type, SYMBOL, Parameter("marginType", is_required=True, choices=tuple(MARGIN_TYPES))
    ),
    _post(
        "positionMargin",
        change_margin,
        SYMBOL,
        POSITION_SIDE,
        Parameter("amount", Kind.DECIMAL, is_required=True),
        Parameter("type", Kind.WHOLE, is_required=True, least=_ADD, most=_REDUCE),
    ),
    _post("positionSide/dual", change_position_mode, _truth("dualSidePosition")),
    _get("positionSide/dual", position_mode, 30),
    _post("multiAssetsMargin", change_multi_assets, _truth("multiAssetsMargin")),
    _get("multiAssetsMargin", multi_assets, 30),
    _post("feeBurn", change_fee_burn, _truth("feeBurn")),
    _get("feeBurn", fee_burn, 30),
    _get("symbolConfig", symbol_configs, 5, ANY_SYMBOL),
    _get("leverageBracket", leverage_brackets, 1, ANY_SYMBOL),
    _get("commissionRate", commission_rate, 20, SYMBOL),
)
