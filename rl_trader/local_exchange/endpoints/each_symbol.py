"""Answers about one symbol, or about all of them in a list where none is named."""

from collections.abc import Callable, Mapping

from rl_trader.local_exchange.protocol.endpoint import Call


def of_each(call: Call, answer: Callable[[Call, str], dict[str, object]]) -> object:
    """Return the answer about the symbol that was sent, or the list of the answers about all."""
    symbol = call.maybe_text("symbol")
    if symbol is not None:
        return answer(call, symbol)
    return [answer(call, every) for every in call.venue.market.symbols]


def weight_of_each(one: int, every: int) -> Callable[[Mapping[str, object]], int]:
    """Return the weight of an endpoint that answers about one symbol or about all."""

    def weight(arguments: Mapping[str, object]) -> int:
        return every if arguments["symbol"] is None else one

    return weight
