"""A venue with two symbols and prices moved by hand, asked with real signatures, for tests of the private endpoints."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.endpoints.private import PRIVATE_ENDPOINTS, PRIVATE_METHODS
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.limits import UNLIMITED, Limits, LimitTerms
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.protocol.signature import signature_of, sorted_text
from rl_trader.local_exchange.protocol.ws_api import WsApi
from rl_trader.local_exchange.streams.hub import Hub
from rl_trader.local_exchange.streams.message import Message
from rl_trader.local_exchange.venue import Venue
from tests.market_tables import START, recording

SYMBOLS = ("BTCUSDT", "ETHUSDT")  # both with BTCUSDT's terms
PRICES = {"BTCUSDT": "50000", "ETHUSDT": "2000"}
DAY = 86_400_000
# A market order buys BTCUSDT at 50 010 and sells it at 49 990.
CONDUCT = Conduct(
    half_spread=Decimal("0.0002"), sqrt_impact=Decimal(0), linear_impact=Decimal(0), slippage_scale=Decimal(1)
)


class AccountStage:
    """A venue at the open of a bar, at 50 000 and 2 000 USDT.

    Args:
        wallet: USDT of each account.
        accounts: Their names.
        limits: Of requests; none by default.
        insurance_fund: USDT; None never ends.
        priced: Symbols that have a price.
    """

    def __init__(
        self,
        wallet: str = "10000",
        accounts: Iterable[str] = ("main",),
        limits: LimitTerms = UNLIMITED,
        insurance_fund: Decimal | None = None,
        priced: Iterable[str] = SYMBOLS,
    ) -> None:
        recordings = _recordings()
        self.exchange = Exchange([each.contract for each in recordings], CONDUCT, insurance_fund)
        self.replay = Replay(self.exchange, recordings)
        market = Market(self.exchange, recordings, self.replay)
        self.venue = Venue(self.exchange, market, Hub(self.exchange, market, "stage"), limits=Limits(limits))
        self._dispatcher = Dispatcher(PRIVATE_ENDPOINTS, self.venue)
        self._ws_api = WsApi(PRIVATE_METHODS, self.venue)
        self.now_ms = START
        for symbol in priced:
            self.open_bar(symbol, PRICES[symbol])
        self._keys = {name: self.venue.open_account(name, Decimal(wallet)) for name in accounts}
        self._account = next(iter(self._keys))
        self.messages: list[Message] = []  # that the accounts were told
        listen_keys = [self.venue.hub.listen_keys.start(name, START) for name in self._keys]
        self.venue.hub.subscribe(listen_keys, self.messages.append)

    # The market

    def open_bar(self, symbol: str, last: str, mark: str | None = None, volume: str = "1000") -> None:
        """Let a bar begin, a second later."""
        self._pass(1_000)
        prices = {"last": Decimal(last), "mark": Decimal(mark or last)}
        self.exchange.open_bar(symbol, **prices, volume=Decimal(volume), now_ms=self.now_ms)

    def move(self, last: str, mark: str | None = None, symbol: str = "BTCUSDT") -> None:
        """Let prices go to a point in a second."""
        self._pass(1_000)
        self.exchange.move(symbol, last=Decimal(last), mark=Decimal(mark or last), now_ms=self.now_ms)

    def settle(self, rate: str, mark: str, symbol: str = "BTCUSDT") -> None:
        """Settle funding, a second later."""
        self._pass(1_000)
        self.exchange.settle_funding(symbol, rate=Decimal(rate), mark=Decimal(mark), time_ms=self.now_ms)

    def wait(self, duration_ms: int) -> None:
        """Let time pass, and prices stand."""
        for symbol, quotes in self.exchange.quotes.items():
            self._pass(duration_ms if symbol == SYMBOLS[0] else 0)
            self.exchange.move(symbol, last=quotes.last, mark=quotes.mark, now_ms=self.now_ms)

    def _pass(self, duration_ms: int) -> None:
        self.now_ms += duration_ms
        self.replay.now_ms = self.now_ms

    # Requests

    def use(self, account: str) -> None:
        """Ask with the key of another account from now on."""
        self._account = account

    @property
    def trader(self) -> Trader:
        """The account whose key is used."""
        return self.venue.trader(self._account)

    def respond(self, method: str, path: str, **params: object) -> Response:
        """Return the response to a signed request; lists and truth values are written as JSON."""
        key = self._keys[self._account]
        text = urlencode({**_texts(params), "timestamp": self.now_ms})
        signed = f"{text}&signature={signature_of(key.secret, text.encode())}"
        query, body = (signed, b"") if method == "GET" else ("", signed.encode())
        return self._dispatcher.handle(Request(method, path, query, body, {"x-mbx-apikey": key.key}))

    def ask(self, method: str, path: str, **params: object) -> Any:
        """Return the data of an answer that is none of a refusal."""
        response = self.respond(method, path, **params)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def get(self, name: str, **params: object) -> Any:
        """Return what ``GET /fapi/v1/…`` answers."""
        return self.ask("GET", f"/fapi/v1/{name}", **params)

    def post(self, name: str, **params: object) -> Any:
        """Return what ``POST /fapi/v1/…`` answers."""
        return self.ask("POST", f"/fapi/v1/{name}", **params)

    def code(self, method: str, name: str, **params: object) -> int:
        """Return the code of a refusal."""
        path = name if name.startswith("/") else f"/fapi/v1/{name}"
        response = self.respond(method, path, **params)
        data = json.loads(response.body)
        assert response.status == 400, data
        assert set(data) == {"code", "msg"}
        return int(data["code"])

    def call(self, method: str, **params: object) -> Any:
        """Return the frame that the WebSocket API answers with."""
        key = self._keys[self._account]
        sent = {**_texts(params), "apiKey": key.key, "timestamp": str(self.now_ms)}
        sent["signature"] = signature_of(key.secret, sorted_text(sent))
        frame = json.dumps({"id": 7, "method": method, "params": sent})
        return json.loads(self._ws_api.handle(frame, self._ws_api.connect("127.0.0.1")))

    # Orders

    def order(self, side: str, quantity: str, price: str | None = None, **params: object) -> Any:
        """Place a market order, or a limit order at a price, of BTCUSDT; return the final answer."""
        wanted: dict[str, object] = {"symbol": "BTCUSDT", "newOrderRespType": "RESULT", "side": side}
        wanted |= {"quantity": quantity, "type": "MARKET"}
        if price is not None:
            wanted |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
        return self.post("order", **(wanted | params))


@cache
def _recordings() -> tuple[Recording, ...]:
    return tuple(
        recording([f"{price} {price} {price} {price} 1000"], symbol=symbol) for symbol, price in PRICES.items()
    )


def _texts(params: Mapping[str, object]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
