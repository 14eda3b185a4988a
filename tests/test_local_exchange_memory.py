"""The local exchange without sockets: the transport, its adapter, and an unmodified ccxt on it."""

import asyncio
import json
from typing import Any

import ccxt
import pytest
import requests

from rl_trader.local_exchange.protocol.request import Request
from rl_trader.local_exchange.shells.memory import MemoryAdapter, MemoryTransport
from tests.small_venue import KEY, NOW_MS, SECRET, SmallVenue, sign, strict_venue


def mounted(venue: SmallVenue) -> requests.Session:
    session = requests.Session()
    session.mount("https://fapi.binance.com", MemoryAdapter(MemoryTransport(venue.dispatcher())))
    return session


def trading(venue: SmallVenue, secret: str = SECRET) -> Any:
    """Return an unmodified ccxt exchange on the venue, whose clock is the market's."""
    exchange = ccxt.binanceusdm({"apiKey": KEY, "secret": secret, "enableRateLimit": False})
    exchange.session.mount("https://fapi.binance.com", MemoryAdapter(MemoryTransport(venue.dispatcher())))
    exchange.milliseconds = lambda: venue.now_ms  # the replay's time, so that the test needs no clock
    return exchange


# ---- The transport


def test_a_request_is_answered_without_a_socket() -> None:
    transport = MemoryTransport(SmallVenue().dispatcher())
    response = transport.send(Request("GET", "/fapi/v1/time"))
    assert (response.status, json.loads(response.body)) == (200, {"serverTime": NOW_MS})


def test_an_address_with_query_and_body_is_sent_as_it_is_written() -> None:
    transport = MemoryTransport(SmallVenue().dispatcher())
    query, body = "symbol=%42TCUSDT&side=BUY", f"type=MARKET&timestamp={NOW_MS}"
    response = transport.request(
        "POST",
        f"https://fapi.binance.com/fapi/v1/order?{query}",
        headers={"X-MBX-APIKEY": KEY},
        body=f"{body}&signature={sign(query + body)}",
    )
    assert response.status == 200, response.body
    assert json.loads(response.body)["arguments"]["symbol"] == "BTCUSDT"


def test_it_can_be_awaited() -> None:
    transport = MemoryTransport(SmallVenue().dispatcher())
    response = asyncio.run(transport.fetch("GET", "http://anywhere/fapi/v1/time"))
    assert json.loads(response.body) == {"serverTime": NOW_MS}


def test_an_endpoint_that_fails_is_500_here_too(caplog: pytest.LogCaptureFixture) -> None:
    response = MemoryTransport(SmallVenue().dispatcher()).send(Request("GET", "/fapi/v1/broken"))
    assert (response.status, json.loads(response.body)["code"]) == (500, -1000)
    assert "ZeroDivisionError" in caplog.text


def test_limits_are_those_of_the_transports_address() -> None:
    dispatcher = strict_venue(weight_per_minute=1).dispatcher()
    one, other = MemoryTransport(dispatcher, "10.0.0.1"), MemoryTransport(dispatcher, "10.0.0.2")
    statuses = [transport.request("GET", "/fapi/v1/ping").status for transport in (one, one, other)]
    assert statuses == [200, 429, 200]


# ---- The adapter


def test_requests_gets_what_a_socket_would_give() -> None:
    with mounted(SmallVenue()) as session:
        response = session.get("https://fapi.binance.com/fapi/v1/time", timeout=1)
        assert (response.status_code, response.reason, response.ok) == (200, "OK", True)
        assert response.json() == {"serverTime": NOW_MS}
        assert response.headers["x-mbx-used-weight-1m"] == "1"
        assert response.url == "https://fapi.binance.com/fapi/v1/time"
        unknown = session.get("https://fapi.binance.com/nowhere", timeout=1)
        assert unknown.reason == "Not Found"
        with pytest.raises(requests.HTTPError, match="404 Client Error: Not Found"):
            unknown.raise_for_status()


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_form_that_requests_encodes_is_understood(method: str) -> None:
    params = {"symbol": "币安人生USDT", "side": "BUY", "type": "LIMIT", "price": "0.10", "timestamp": str(NOW_MS)}
    prepared = requests.Request(method, "https://x", data=params).prepare()
    assert isinstance(prepared.body, str)
    with mounted(SmallVenue()) as session:
        response = session.request(
            method,
            "https://fapi.binance.com/fapi/v1/order",
            data=params | {"signature": sign(prepared.body)},
            headers={"X-MBX-APIKEY": KEY},
            timeout=1,
        )
    assert response.json()["arguments"]["symbol"] == "币安人生USDT"
    assert response.json()["arguments"]["price"] == "Decimal 0.10"


def test_a_stream_is_no_body() -> None:
    with mounted(SmallVenue()) as session, pytest.raises(TypeError, match="a body of text or bytes was wanted"):
        session.post("https://fapi.binance.com/fapi/v1/order", data=iter([b"symbol=BTCUSDT"]), timeout=1)


# ---- ccxt


def test_ccxt_asks_for_the_time() -> None:
    exchange = trading(SmallVenue())
    assert exchange.fetch_time() == NOW_MS
    assert exchange.fapiPublicGetPing() == {"account": None, "arguments": {}, "sent": []}


def test_ccxts_signature_is_accepted_in_query_and_in_body() -> None:
    exchange = trading(SmallVenue())
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.010", "price": "9000.5"}
    placed = exchange.fapiPrivatePostOrder(order | {"reduceOnly": "true"})
    assert placed["account"] == "main"
    assert placed["arguments"]["quantity"] == "Decimal 0.010"
    assert placed["arguments"]["reduceOnly"] is True
    assert {"recvWindow", "signature", "timestamp"} <= set(placed["sent"])
    assert exchange.fapiPrivateGetOrder({"symbol": "币安人生USDT"})["arguments"]["symbol"] == "币安人生USDT"
    assert exchange.fapiPrivatePutOrder(order)["account"] == "main"
    assert exchange.fapiPrivateDeleteOrder({"symbol": "BTCUSDT"})["account"] == "main"


def test_ccxts_batches_arrive_whole() -> None:
    exchange = trading(SmallVenue())
    orders = [{"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}] * 2
    sent = exchange.fapiPrivatePostBatchOrders({"symbol": "BTCUSDT", "batchOrders": orders})
    assert sent["arguments"]["batchOrders"] == orders
    cancelled = exchange.fapiPrivateDeleteBatchOrders({"symbol": "BTCUSDT", "orderidlist": ["12", "34"]})
    assert cancelled["arguments"]["orderIdList"] == [12, 34]


def test_ccxt_raises_its_own_errors() -> None:
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        trading(SmallVenue(), "wrong").fapiPrivateGetOrder({"symbol": "BTCUSDT"})
    exchange = trading(SmallVenue())
    with pytest.raises(ccxt.BadSymbol, match="-1121"):
        exchange.fapiPrivateGetOrder({"symbol": "NOPE"})
    with pytest.raises(ccxt.InsufficientFunds, match="-2019"):
        exchange.fetch2("refused", ["fapiPrivate"], "POST")
    with pytest.raises(ccxt.OperationFailed, match="-1000"):
        exchange.fetch2("broken", ["fapiPublic"], "GET")
    limited = trading(strict_venue(weight_per_minute=0))
    with pytest.raises(ccxt.DDoSProtection, match="-1003"):
        limited.fapiPublicGetPing()


def test_ccxt_with_a_clock_that_is_wrong_is_told_so() -> None:
    venue = SmallVenue()
    exchange = trading(venue)
    exchange.milliseconds = lambda: venue.now_ms - 20_000
    with pytest.raises(ccxt.InvalidNonce, match="recvWindow"):
        exchange.fapiPrivateGetOrder({"symbol": "BTCUSDT"})
    exchange.load_time_difference()
    assert exchange.fapiPrivateGetOrder({"symbol": "BTCUSDT"})["account"] == "main"
