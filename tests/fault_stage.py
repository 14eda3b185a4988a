"""A whole local exchange in lock-step with a plan of faults, asked with real signatures, in memory or over loopback."""

import json
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

from rl_trader.local_exchange.assembly import ENDPOINTS, METHODS
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.faults.faults import Faults, machine_pause
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.request import Response
from rl_trader.local_exchange.protocol.signature import signature_of, sorted_text
from rl_trader.local_exchange.protocol.ws_api import WsApi
from rl_trader.local_exchange.shells.http import HttpServer
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.shells.memory_streams import MemoryClient, MemoryStreams
from rl_trader.local_exchange.shells.server_thread import ServerThread
from rl_trader.local_exchange.shells.websocket import StreamRoutes
from rl_trader.local_exchange.streams.hub import Hub
from rl_trader.local_exchange.venue import Venue
from tests.market_tables import MINUTE, recording
from tests.market_tables import START as START

BAR = 30 * MINUTE
# Purchases fill at 50 010 and sales at 49 990 where the price is 50 000.
CONDUCT = Conduct(
    half_spread=Decimal("0.0002"), sqrt_impact=Decimal(0), linear_impact=Decimal(0), slippage_scale=Decimal(1)
)
FLAT = "50000 50000 50000 50000 1000"
FALLING = (
    "50000 50000 48000 49000 1000"  # touches its low after a third of the bar, as every falling bar does after two
)
BARS = (FLAT,) * 8


class FaultStage:
    """An exchange at the open of its first bar, with two accounts of 10 000 USDT.

    Args:
        faults: Of the plan.
        bars: "open high low close volume" of BTCUSDT from START on.
        seed: Of the plan.
        pause: Of calls over a socket.
    """

    def __init__(
        self,
        *faults: dict[str, Any],
        bars: Sequence[str] = BARS,
        seed: int = 0,
        pause: Callable[[int], Awaitable[object]] = machine_pause,
    ) -> None:
        recordings = _recordings(tuple(bars))
        exchange = Exchange([each.contract for each in recordings], CONDUCT)
        market = Market(exchange, recordings, Replay(exchange, recordings))
        self.venue = Venue(exchange, market, Hub(exchange, market, "faults"))
        self.venue.to_next_open()
        self.keys = {name: self.venue.open_account(name, Decimal(10_000)) for name in ("main", "other")}
        self.faults = Faults(FaultPlan.of({"faults": list(faults), "seed": seed}), self.venue, pause)
        self._dispatcher, self._ws_api = Dispatcher(ENDPOINTS, self.venue), WsApi(METHODS, self.venue)
        self.transport = MemoryTransport(self._dispatcher, interceptor=self.faults)
        self.streams = MemoryStreams(self.venue.hub, self.venue.session_ms, interceptor=self.faults.pass_frame)
        self.faults.attach(self.streams)
        self.tick()

    # Time

    def next_open(self) -> None:
        """Let the next bar open."""
        self.venue.to_next_open()
        self.tick()

    def wait(self, duration_ms: int) -> None:
        """Let time pass."""
        self.venue.advance(self.venue.market_ms() + duration_ms)
        self.tick()

    def tick(self) -> None:
        """Let what is due happen."""
        self.faults.on_time(self.venue.market_ms())
        self.venue.deliver()
        self.streams.tick()

    # Requests

    def signed(self, account: str = "main", **params: object) -> tuple[str, dict[str, str]]:
        """Return the query and the headers of a signed request."""
        key = self.keys[account]
        text = urlencode({**_texts(params), "timestamp": self.venue.session_ms()})
        return f"{text}&signature={signature_of(key.secret, text.encode())}", {"X-MBX-APIKEY": key.key}

    def respond(self, method: str, path: str, account: str = "main", **params: object) -> Response:
        """Return the response to a signed request."""
        query, headers = self.signed(account, **params)
        return self.transport.request(method, f"http://x{path}?{query}", headers=headers)

    def ask(self, method: str, path: str, account: str = "main", **params: object) -> Any:
        """Return the data of an answer that is none of a refusal."""
        response = self.respond(method, path, account, **params)
        assert response.status == 200, response.body
        return json.loads(response.body)

    def refusal(self, method: str, path: str, account: str = "main", **params: object) -> tuple[int, int | None]:
        """Return status and code of a refusal."""
        response = self.respond(method, path, account, **params)
        assert response.status >= 400, response.body
        return response.status, json.loads(response.body).get("code")

    def frame(self, method: str, account: str = "main", **params: object) -> str:
        """Return a signed frame of the WebSocket API."""
        key = self.keys[account]
        sent = {**_texts(params), "apiKey": key.key, "timestamp": str(self.venue.session_ms())}
        sent["signature"] = signature_of(key.secret, sorted_text(sent))
        return json.dumps({"id": "7", "method": method, "params": sent})

    # Orders and positions

    def order(self, side: str = "BUY", quantity: str = "0.1", price: str | None = None, **more: object) -> Any:
        """Return the answer to an order, whatever it is."""
        return json.loads(self.respond("POST", "/fapi/v1/order", **(order(side, quantity, price) | more)).body)

    def held(self, account: str = "main") -> Decimal:
        """Return the amount of BTCUSDT that an account holds."""
        trader = self.venue.trader(account)
        return trader.position("BTCUSDT").amount if "BTCUSDT" in trader.books.positions else Decimal(0)

    # Streams

    def listen(self, account: str = "main") -> MemoryClient:
        """Return a connection that is told what happens to an account."""
        key = self.venue.hub.listen_keys.start(account, self.venue.session_ms())
        return self.streams.connect(f"ws://x/private/ws/{key}")

    def watch(self, *names: str) -> MemoryClient:
        """Return a connection with streams of market data."""
        return self.streams.connect(f"ws://x/market/ws/{'/'.join(names)}")

    # Over loopback

    def serving(self) -> ServerThread:
        """Return a server of the exchange; the market stands still meanwhile."""
        routes = StreamRoutes(
            self.venue.hub, self.venue.session_ms, interceptor=self.faults.pass_frame, handshakes=self.faults
        )
        self.faults.attach(routes)
        return ServerThread(
            HttpServer(
                self._dispatcher,
                ws_api=self._ws_api,
                add_routes=(routes.add_routes,),
                interceptor=self.faults,
                frame_interceptor=self.faults,
            )
        )


def order(side: str = "BUY", quantity: str = "0.1", price: str | None = None) -> dict[str, Any]:
    """Return the parameters of a market order, or of a limit order at a price."""
    wanted = {"symbol": "BTCUSDT", "side": side, "quantity": quantity}
    if price is None:
        return {**wanted, "type": "MARKET", "newOrderRespType": "RESULT"}
    return {**wanted, "type": "LIMIT", "price": price, "timeInForce": "GTC"}


def events(client: MemoryClient) -> list[Any]:
    """Return the frames that have come to a client."""
    return [json.loads(text) for text in client.inbox.texts]


def names(client: MemoryClient) -> list[str]:
    """Return what has come to a client, by name."""
    return [event["e"] for event in events(client)]


@cache
def _recordings(bars: tuple[str, ...]) -> tuple[Recording, ...]:
    return (recording(bars),)


def _texts(params: dict[str, object]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
