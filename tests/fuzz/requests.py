"""Requests that nobody should send, and some that are right but for one thing.

Everything follows from a seed.
"""

import hashlib
import hmac
import json
from random import Random
from typing import Final
from urllib.parse import quote_plus

from rl_trader.local_exchange.assembly import ENDPOINTS
from rl_trader.local_exchange.protocol.endpoint import Endpoint, Kind, Parameter
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.request import Request

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "")
HUGE: Final = "9" * 400
BIG_BODY: Final = b"a=" + b"x" * 2**20
VALUES: Final = (
    "",
    " ",
    "0",
    "-0",
    "-1",
    "1",
    "0.001",
    "0.0000000001",
    "1e400",
    "-1e-400",
    "NaN",
    "Infinity",
    "-inf",
    "0x10",
    "1_000",
    "1,5",
    "true",
    "TRUE",
    "null",
    "None",
    "[]",
    "{}",
    "[[[[",
    '{"a":' * 50,
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    HUGE,
    "💥",
    "币安人生USDT",
    "\uff22\uff34\uff23USDT",  # full-width letters
    "\x00",
    "\r\n",
    "%00",
    "../../etc/passwd",
    "'; DROP TABLE orders; --",
    "٣",
    "²",
    "BTCUSDT",
    "EMBEDDED",
    "embedded",
    "1m",
    "1M",
    "LIMIT",
    "MARKET",
    "STOP_MARKET",
    "BUY",
    "SELL",
    "BOTH",
    "LONG",
    "GTC",
    "GTX",
    "CROSSED",
    "ISOLATED",
    "1577836800000",
)
GOOD: Final[dict[str, tuple[str, ...]]] = {  # by name; values that an endpoint may well take
    "symbol": ("EMBEDDED",),
    "pair": ("EMBEDDED",),
    "contractType": ("PERPETUAL",),
    "interval": ("1m", "30m", "1d", "1w", "1M"),
    "side": ("BUY", "SELL"),
    "type": ("LIMIT", "MARKET", "STOP_MARKET", "TAKE_PROFIT", "TRAILING_STOP_MARKET", "1", "2"),
    "algoType": ("CONDITIONAL",),
    "positionSide": ("BOTH", "LONG", "SHORT"),
    "timeInForce": ("GTC", "IOC", "FOK", "GTX", "GTD"),
    "quantity": ("0.01", "1", "5"),
    "price": ("900", "990", "1000", "1010", "1100"),
    "triggerPrice": ("900", "1100"),
    "callbackRate": ("1", "0.1"),
    "workingType": ("MARK_PRICE", "CONTRACT_PRICE"),
    "reduceOnly": ("true", "false"),
    "closePosition": ("true", "false"),
    "dualSidePosition": ("true", "false"),
    "multiAssetsMargin": ("true", "false"),
    "feeBurn": ("true", "false"),
    "marginType": ("ISOLATED", "CROSSED"),
    "leverage": ("1", "5", "20"),
    "amount": ("1", "10"),
    "orderId": ("8000000001", "8000000002"),
    "algoId": ("3000000001",),
    "limit": ("5", "10", "100", "500"),
    "countdownTime": ("0", "1000"),
    "newOrderRespType": ("ACK", "RESULT"),
}
BATCHES: Final = (
    '[{"symbol":"EMBEDDED","side":"BUY","type":"MARKET","quantity":"1"}]',
    '[{"symbol":"EMBEDDED","side":"BUY","type":"LIMIT","timeInForce":"GTC","quantity":"1","price":"900"},{}]',
    '[{"symbol":1,"side":[],"type":{},"quantity":null}]',
    "[1,2,3]",
    '["a"]',
    '{"symbol":"EMBEDDED"}',
    "[" * 100,
    "[" + "{}," * 30 + "{}]",
)


class RequestMaker:
    """Makes requests.

    Args:
        seed: Of everything.
        key: A real one.
    """

    def __init__(self, seed: int, key: ApiKey) -> None:
        self._random = Random(seed)
        self._key = key
        self._sent: list[Request] = []

    def make(self, now_ms: int) -> Request:
        """Return the next request at a time of the exchange."""
        random = self._random
        if self._sent and random.random() < 0.03:
            return random.choice(self._sent)  # the same once more, with its old timestamp
        if random.random() < 0.05:
            return self._nonsense()
        endpoint = random.choice(ENDPOINTS)
        request = self._signed(endpoint, self._parameters(endpoint), now_ms)
        if random.random() < 0.05:
            self._sent = [*self._sent[-50:], request]
        return request

    def _nonsense(self) -> Request:
        random = self._random
        path = random.choice(("/", "", "/fapi/v1/order/", "/fapi/v9/ping", "/fapi/v1/" + HUGE, "/💥", "//", "/fapi"))
        body = random.choice((b"", BIG_BODY, random.randbytes(50), b"\xff\xfe=1", b"a=1&a=2&&&=&="))
        query = random.choice(("", "&&&", "=", "symbol", "a" * 5000, "%zz=%", "symbol=%ff%fe", "\udcff=1"))
        return Request(random.choice(METHODS), path, query, body, self._headers())

    def _parameters(self, endpoint: Endpoint) -> dict[str, str]:
        random = self._random
        sent = {}
        for parameter in endpoint.parameters:
            if random.random() < (0.95 if parameter.is_required else 0.4):
                sent[parameter.name] = self._value(parameter)
        if random.random() < 0.05:
            sent[random.choice(VALUES)] = random.choice(VALUES)
        return sent

    def _value(self, parameter: Parameter) -> str:
        random = self._random
        if random.random() < 0.15:
            return random.choice(VALUES)
        if parameter.kind is Kind.JSON:
            return random.choice(BATCHES)
        good = GOOD.get(parameter.name) or parameter.choices or ("1", "100")
        return random.choice(good)

    def _signed(self, endpoint: Endpoint, sent: dict[str, str], now_ms: int) -> Request:
        """Return a request, signed as it should be or nearly so."""
        random = self._random
        if random.random() < 0.95:
            sent["timestamp"] = str(now_ms + random.choice((0, 0, 0, 0, 0, 0, 0, -4_000, 900, 5_000, -70_000)))
        if random.random() < 0.1:
            sent["recvWindow"] = random.choice(("5000", "60000", "60001", "-1", "x"))
        text = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in sent.items())
        signature = hmac.new(self._key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        if random.random() < 0.03:
            signature = random.choice(("", "0", signature[:-1], signature.upper(), "é"))
        text += f"&signature={quote_plus(signature)}"
        if endpoint.method == "GET" or random.random() < 0.5:
            return Request(endpoint.method, endpoint.path, text, b"", self._headers())
        return Request(endpoint.method, endpoint.path, "", text.encode(), self._headers())

    def _headers(self) -> dict[str, str]:
        chance = self._random.random()
        if chance < 0.95:
            return {"x-mbx-apikey": self._key.key}
        return {} if chance < 0.97 else {"x-mbx-apikey": self._random.choice(("x", "é" * 64, "", HUGE))}


def has_api_shape(body: bytes) -> bool:
    """Return whether an error's body is one of the exchange's."""
    try:
        data = json.loads(body)
    except ValueError:
        return False
    if not isinstance(data, dict) or set(data) != {"code", "msg"}:
        return False
    return isinstance(data["code"], int) and data["code"] < 0 and isinstance(data["msg"], str) and bool(data["msg"])
