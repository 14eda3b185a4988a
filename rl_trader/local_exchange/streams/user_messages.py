"""What an account is told, as the exchange writes it.

Source: the API documentation of USD-M futures, "User Data Streams", with the fields that were added until 2026-08-11
(read in autumn 2026). The time of an event (``E``) is that of what happened (``T``): nothing takes time here. Fields
that are documented as "ignore" are 0.

Assumption: ``ia`` of ALGO_UPDATE, which is named without a description, says whether a trailing stop is active.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.engine.events import (
    AccountUpdate,
    AlgoUpdate,
    LeverageUpdate,
    MarginCall,
    MultiAssetsUpdate,
    OrderUpdate,
    PositionState,
    UserEvent,
)
from rl_trader.local_exchange.engine.orders import Fill, Order
from rl_trader.local_exchange.engine.trader import BNB
from rl_trader.local_exchange.engine.words import Execution, UpdateReason
from rl_trader.local_exchange.wire import amount_text, mark_text, money_text, price_text

MARGIN_ASSET: Final = "USDT"
LISTEN_KEY_EXPIRED: Final = "listenKeyExpired"

Contracts = Mapping[str, ContractTerms]  # by symbol
Payload = dict[str, object]


def user_messages(event: UserEvent, contracts: Contracts) -> Iterator[Payload]:
    """Yield what an event is written as: one message, or two of a fill."""
    match event:
        case OrderUpdate():
            contract = contracts[event.order.symbol]
            if event.execution is Execution.TRADE and event.fill is not None:
                yield _trade_lite(event.order, event.fill, contract)
            yield _order_update(event, contract)
        case AccountUpdate():
            yield _account_update(event, contracts)
        case AlgoUpdate():
            yield _algo_update(event, contracts)
        case LeverageUpdate():
            yield _config_update(event.time_ms, "ac", {"s": event.symbol, "l": event.leverage})
        case MultiAssetsUpdate():
            yield _config_update(event.time_ms, "ai", {"j": event.is_multi_assets})
        case MarginCall():
            yield _margin_call(event, contracts)


def listen_key_expired(listen_key: str, time_ms: int) -> Payload:
    """Return the last message of a listen key."""
    return {"e": LISTEN_KEY_EXPIRED, "E": time_ms, "listenKey": listen_key}


def _header(name: str, time_ms: int) -> Payload:
    return {"e": name, "T": time_ms, "E": time_ms}


def _trade_lite(order: Order, fill: Fill, contract: ContractTerms) -> Payload:
    return {
        "e": "TRADE_LITE",
        "E": fill.time_ms,
        "T": fill.time_ms,
        "s": order.symbol,
        "q": amount_text(order.quantity, contract),
        "p": _text(price_text, order.price, contract),
        "m": fill.is_maker,
        "c": order.client_order_id,
        "S": order.side.value,
        "L": price_text(fill.price, contract),
        "l": amount_text(fill.amount, contract),
        "t": fill.trade_id,
        "i": order.order_id,
    }


def _order_update(event: OrderUpdate, contract: ContractTerms) -> Payload:
    order = event.order
    fields: Payload = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": order.side.value,
        "o": order.type.value,
        "f": order.time_in_force.value,
        "q": amount_text(order.quantity, contract),
        "p": _text(price_text, order.price, contract),
        "ap": _text(price_text, order.average_price, contract),
        "sp": _text(price_text, order.stop_price, contract),
        "x": event.execution.value,
        "X": order.status.value,
        "i": order.order_id,
        "M": str(order.modify_id),
        "z": _text(amount_text, order.executed, contract),
        "b": _money(event.bids_notional),
        "a": _money(event.asks_notional),
        "R": order.reduce_only,
        "wt": order.working_type.value,
        "ot": order.orig_type.value,
        "ps": order.position_side.value,
        "cp": order.close_position,
        "AP": "0",
        "cr": "0",
        "pP": order.price_protect,
        "si": 0,
        "ss": 0,
        "V": order.prevention.value,
        "pm": order.price_match.value,
        "gtd": order.good_till_ms,
        "er": str(int(order.expiry_reason)),
    }
    return {**_header("ORDER_TRADE_UPDATE", event.time_ms), "o": fields | _fill_fields(event, contract)}


def _fill_fields(event: OrderUpdate, contract: ContractTerms) -> Payload:
    """Return what an update says of its fill; without one there is no commission."""
    fill = event.fill
    if fill is None:
        return {"l": "0", "L": "0", "T": event.time_ms, "t": 0, "m": False, "rp": "0"}
    return {
        "l": amount_text(fill.amount, contract),
        "L": price_text(fill.price, contract),
        "N": fill.commission_asset,
        "n": _money(fill.commission),
        "T": fill.time_ms,
        "t": fill.trade_id,
        "m": fill.is_maker,
        "rp": _money(fill.realized),
    }


def _account_update(event: AccountUpdate, contracts: Contracts) -> Payload:
    balances: list[Payload] = []
    if event.wallet is not None:
        wallet, cross, change = event.wallet
        balances.append({"a": MARGIN_ASSET, "wb": money_text(wallet), "cw": money_text(cross), "bc": _money(change)})
    if event.bnb is not None:  # its only change is the commission, which "bc" leaves out
        amount = money_text(event.bnb)
        balances.append({"a": BNB, "wb": amount, "cw": amount, "bc": _money(ZERO)})
    positions = [_position(position, contracts) for position in event.positions]
    fields: Payload = {"m": event.reason.value, "B": balances, "P": positions}
    if event.reason is UpdateReason.FUNDING_FEE and event.symbol is not None:
        fields["S"] = event.symbol
    return {**_header("ACCOUNT_UPDATE", event.time_ms), "a": fields}


def _position(position: PositionState, contracts: Contracts) -> Payload:
    contract = contracts[position.symbol]
    return {
        "s": position.symbol,
        "pa": _text(amount_text, position.amount, contract),
        "ep": _text(price_text, position.entry_price, contract),
        "bep": _text(price_text, position.break_even_price, contract),
        "cr": _money(position.accumulated_realized),
        "up": _money(position.unrealized_pnl),
        "mt": "isolated" if position.is_isolated else "cross",
        "iw": _money(position.isolated_wallet),
        "ps": position.side.value,
    }


def _algo_update(event: AlgoUpdate, contracts: Contracts) -> Payload:
    order, request = event.order, event.order.request
    contract = contracts[request.symbol]
    has_order = order.actual_order_id is not None
    actual_type = ("MARKET" if request.type.is_market else "LIMIT") if has_order else "0"
    fields: Payload = {
        "caid": order.client_algo_id,
        "aid": order.algo_id,
        "at": "CONDITIONAL",
        "o": request.type.value,
        "s": request.symbol,
        "S": request.side.value,
        "ps": request.position_side.value,
        "f": request.time_in_force.value,
        "q": _text(amount_text, request.quantity, contract),
        "X": order.status.value,
        "ai": str(order.actual_order_id) if has_order else "",
        "ap": price_text(order.actual_price, contract),
        "aq": amount_text(order.actual_quantity, contract),
        "act": actual_type,
        "tp": _text(price_text, request.trigger_price, contract),
        "p": _text(price_text, request.price, contract),
        "V": request.prevention.value,
        "wt": request.working_type.value,
        "pm": request.price_match.value,
        "cp": request.close_position,
        "pP": request.price_protect,
        "R": request.reduce_only,
        "tt": order.trigger_ms,
        "gtd": request.good_till_ms,
        "rm": order.reject_reason,
        "ia": order.is_active,
    }
    return {**_header("ALGO_UPDATE", event.time_ms), "o": fields}


def _config_update(time_ms: int, subject: str, fields: Payload) -> Payload:
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": time_ms, "T": time_ms, subject: fields}


def _margin_call(event: MarginCall, contracts: Contracts) -> Payload:
    """Return a margin call; the cross wallet is named where a cross position is called."""
    message: Payload = {"e": "MARGIN_CALL", "E": event.time_ms}
    if not all(position.is_isolated for position in event.positions):
        message["cw"] = money_text(event.cross_wallet)
    message["p"] = [
        {
            "s": position.symbol,
            "ps": position.side.value,
            "pa": amount_text(position.amount, contracts[position.symbol]),
            "mt": "ISOLATED" if position.is_isolated else "CROSSED",
            "iw": _money(position.isolated_wallet),
            "mp": mark_text(position.mark_price),
            "up": _money(position.unrealized_pnl),
            "mm": money_text(position.maintenance_margin),
        }
        for position in event.positions
    ]
    return message


def _text(written: Callable[[Decimal, ContractTerms], str], value: Decimal | None, contract: ContractTerms) -> str:
    """Return a number as the user data stream writes it, where nothing is 0 without places."""
    return written(value, contract) if value else "0"


def _money(value: Decimal) -> str:
    return money_text(value) if value else "0"
