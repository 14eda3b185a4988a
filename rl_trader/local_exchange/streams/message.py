"""One event on its way to everybody who has subscribed to its stream, encoded once for all of them."""

from typing import NamedTuple, Protocol

from rl_trader.local_exchange.protocol.json_text import dump_json


class Message(NamedTuple):
    """An event as text.

    A message that is superseded says nothing that the next one of its stream does not say: of several that wait, the
    last one is enough.
    """

    stream: str  # its name, or the listen key
    event: str  # what ``e`` says
    text: str  # as on a connection of single streams
    combined: str  # as on a connection of combined streams
    is_superseded: bool
    is_of_account: bool


class Subscriber(Protocol):
    """Somebody who is told."""

    def receive(self, message: Message) -> None:
        """Take a message; called in the order of events, and must not raise."""
        ...


def market_message(stream: str, payload: object, *, is_superseded: bool) -> Message:
    """Return the message of a payload of market data, which is an object, or a list of objects of one kind."""
    first = payload[0] if isinstance(payload, list) else payload
    return _encoded(stream, first, payload, is_superseded=is_superseded, is_of_account=False)


def account_message(listen_key: str, payload: object) -> Message:
    """Return the message of what an account is told."""
    return _encoded(listen_key, payload, payload, is_superseded=False, is_of_account=True)


def _encoded(stream: str, named: object, payload: object, *, is_superseded: bool, is_of_account: bool) -> Message:
    assert isinstance(named, dict)
    text = dump_json(payload)
    combined = f'{{"stream":{dump_json(stream)},"data":{text}}}'
    return Message(stream, str(named["e"]), text, combined, is_superseded, is_of_account)
