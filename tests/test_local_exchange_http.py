"""The local exchange's HTTP server: REST, the WebSocket API, faults, and its thread, over real sockets."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import requests
from aiohttp import web

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.protocol.dispatch import LARGEST_BODY
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.shells import http
from rl_trader.local_exchange.shells.http import HttpServer
from rl_trader.local_exchange.shells.interception import Cut, Dropped, Interceptor
from rl_trader.local_exchange.shells.server_thread import ServerThread
from tests.small_venue import KEY, NOW_MS, SmallVenue, sign, strict_venue


def serving(venue: SmallVenue, interceptor: Interceptor | None = None) -> ServerThread:
    return ServerThread(HttpServer(venue.dispatcher(), ws_api=venue.ws_api(), interceptor=interceptor))


def raw(server: ServerThread, data: bytes) -> bytes:
    """Return all that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=10) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


# ---- REST


def test_an_answer_arrives_with_status_headers_and_body() -> None:
    with serving(SmallVenue()) as server:
        response = requests.get(f"{server.url}/fapi/v1/time", timeout=10)
        assert (response.status_code, response.json()) == (200, {"serverTime": NOW_MS})
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["x-mbx-used-weight-1m"] == "1"
        refused = requests.get(f"{server.url}/fapi/v1/klines?symbol=X&interval=1m", timeout=10)
        assert (refused.status_code, refused.json()["code"]) == (400, -1121)
        assert requests.get(f"{server.url}/elsewhere", timeout=10).status_code == 404


@pytest.mark.parametrize("in_body", [False, True])
def test_a_signed_order_is_taken_from_query_or_body(in_body: bool) -> None:
    params = {
        "symbol": "币安人生USDT",
        "side": "BUY",
        "type": "MARKET",
        "newClientOrderId": "a:b/c d",
        "timestamp": NOW_MS,
    }
    text = urlencode(params)
    text += f"&signature={sign(text)}"
    with serving(SmallVenue()) as server:
        url = f"{server.url}/fapi/v1/order"
        headers = {"X-MBX-APIKEY": KEY}
        if in_body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            response = requests.post(url, data=text, headers=headers, timeout=10)
        else:
            response = requests.post(f"{url}?{text}", headers=headers, timeout=10)
    assert response.status_code == 200, response.text
    assert response.json()["arguments"]["symbol"] == "币安人生USDT"
    assert response.json()["arguments"]["newClientOrderId"] == "a:b/c d"


def test_the_query_reaches_the_signature_as_it_was_sent() -> None:
    # Lower-case escapes, an escaped letter and a bare colon: a server that normalises addresses would sign other text.
    text = f"symbol=%42TCUSDT&newClientOrderId=a%3a:b%2f&timestamp={NOW_MS}"
    head = f"GET /fapi/v1/order?{text}&signature={sign(text)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"X-MBX-APIKEY: {KEY}\r\n\r\n"
    with serving(SmallVenue()) as server:
        answer = raw(server, head.encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"symbol":"BTCUSDT"' in answer


@pytest.mark.parametrize(
    ("head", "body", "status", "code"),
    [
        (b"GET /fapi/v1/depth?symbol=%ff", b"", 400, -1100),
        (b"GET /fapi/%ff%00/..", b"", 404, -5000),
        (b"PATCH /fapi/v1/ping", b"", 405, -5000),
        (b"POST /fapi/v1/order", b"\xff\xff\xff", 400, -1100),  # the body is read before the key is looked at
    ],
)
def test_malformed_requests_are_answered_in_the_exchanges_form(
    head: bytes, body: bytes, status: int, code: int
) -> None:
    more = f"HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving(SmallVenue()) as server:
        answer = raw(server, head + b" " + more + body)
    assert answer.split(b" ")[1] == str(status).encode()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == code


@pytest.mark.parametrize(
    "text", [b"nonsense", b"BREW / HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET / HTTP/1.1\r\nbad header"]
)
def test_what_is_no_http_is_400_and_the_server_goes_on(text: bytes) -> None:
    with serving(SmallVenue()) as server:
        assert raw(server, text + b"\r\n\r\n").startswith(b"HTTP/1.0 400 ")
        assert requests.get(f"{server.url}/fapi/v1/ping", timeout=10).status_code == 200


def test_a_body_above_a_mebibyte_is_413_and_the_server_goes_on() -> None:
    with serving(SmallVenue()) as server:
        response = requests.post(f"{server.url}/fapi/v1/order", data=b"1" * (LARGEST_BODY + 1), timeout=10)
        assert (response.status_code, response.json()["code"]) == (413, -1101)
        assert requests.get(f"{server.url}/fapi/v1/ping", timeout=10).status_code == 200


def test_a_body_that_is_not_encoded_as_it_says_is_refused() -> None:
    with serving(SmallVenue()) as server:
        response = requests.post(
            f"{server.url}/fapi/v1/order", data=b"no gzip", headers={"Content-Encoding": "gzip"}, timeout=10
        )
        assert (response.status_code, response.json()["code"]) == (400, -1100)


def test_an_endpoint_that_fails_is_500_and_its_traceback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with serving(SmallVenue()) as server, caplog.at_level(logging.ERROR):
        response = requests.get(f"{server.url}/fapi/v1/broken", timeout=10)
    assert (response.status_code, response.json()["code"]) == (500, -1000)
    assert "ZeroDivisionError" in caplog.text
    assert "GET /fapi/v1/broken failed" in caplog.text


def test_requests_that_share_a_connection_are_answered_in_their_order() -> None:
    paths = ["/fapi/v1/ping", "/fapi/v1/time", "/nowhere"] * 30
    requests_text = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths)
    last = "GET /fapi/v1/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with serving(SmallVenue()) as server:
        answers = raw(server, (requests_text + last).encode())
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answers)
    assert statuses == [b"200", b"200", b"404"] * 30 + [b"200"]


# ---- Where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "::1", "192.168.0.1", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ConfigError, match=r"listens on 127\.0\.0\.1 only"):
        HttpServer(SmallVenue().dispatcher(), host=host)


def test_the_port_is_free_again_after_it() -> None:
    with serving(SmallVenue()) as server:
        port = server.server.port
        assert port > 0
    with ServerThread(HttpServer(SmallVenue().dispatcher(), port=port)) as again:
        assert requests.get(f"http://127.0.0.1:{port}/fapi/v1/ping", timeout=10).status_code == 200
        assert again.url == f"http://127.0.0.1:{port}"


def test_a_port_that_is_taken_is_an_error_of_the_caller() -> None:
    with serving(SmallVenue()) as server:
        other = ServerThread(HttpServer(SmallVenue().dispatcher(), port=server.server.port))
        with pytest.raises(OSError, match="in use"):
            other.__enter__()


def test_calls_run_in_the_servers_thread() -> None:
    venue = SmallVenue()
    with serving(venue) as server:

        def advance() -> int:
            venue.now_ms += 1_000
            return venue.now_ms

        assert server.call(advance) == NOW_MS + 1_000
        assert requests.get(f"{server.url}/fapi/v1/time", timeout=10).json() == {"serverTime": NOW_MS + 1_000}
        with pytest.raises(ZeroDivisionError):
            server.call(lambda: 1 // 0)


# ---- Routes of others


def test_others_may_add_routes() -> None:
    async def stream(request: web.Request) -> web.WebSocketResponse:
        feed = web.WebSocketResponse()
        await feed.prepare(request)
        await feed.send_str(request.match_info["stream"])
        await feed.close()
        return feed

    def add(app: web.Application) -> None:
        app.router.add_get("/market/ws/{stream}", stream)

    async def run() -> str:
        server = HttpServer(SmallVenue().dispatcher(), add_routes=(add,))
        async with server, aiohttp.ClientSession() as session:
            async with session.get(f"{server.url}/fapi/v1/ping") as response:
                assert response.status == 200
            async with session.get(f"{server.url}/ws-fapi/v1") as response:
                assert response.status == 404  # no WebSocket API was given
            async with session.ws_connect(f"{server.ws_url}/market/ws/btcusdt@kline_1m") as feed:
                return await feed.receive_str()

    assert asyncio.run(run()) == "btcusdt@kline_1m"


# ---- WebSocket API


def with_connection(
    venue: SmallVenue, use: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]], query: str = ""
) -> Any:
    async def run() -> Any:
        server = HttpServer(venue.dispatcher(), ws_api=venue.ws_api())
        async with (
            server,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.ws_url}/ws-fapi/v1{query}") as connection,
        ):
            return await use(connection)

    return asyncio.run(run())


def test_frames_are_answered_in_their_order() -> None:
    async def use(connection: aiohttp.ClientWebSocketResponse) -> list[Any]:
        for k in range(20):
            await connection.send_json({"id": k, "method": "ticker.price", "params": {"symbol": "BTCUSDT"}})
        await connection.send_bytes(b'{"id":20,"method":"ticker.price"}')
        await connection.send_str("nonsense")
        return [await connection.receive_json() for _ in range(22)]

    answers = with_connection(SmallVenue(), use)
    assert [answer["id"] for answer in answers] == [*range(21), None]
    assert [answer["status"] for answer in answers] == [200] * 21 + [400]
    assert answers[0]["rateLimits"][0]["count"] == 6  # the handshake's 5 and 1


def test_a_connection_may_do_without_rate_limits() -> None:
    async def use(connection: aiohttp.ClientWebSocketResponse) -> Any:
        await connection.send_json({"id": 1, "method": "session.status"})
        return await connection.receive_json()

    answer = with_connection(SmallVenue(), use, "?returnRateLimits=false")
    assert "rateLimits" not in answer
    assert answer["result"]["returnRateLimits"] is False


def test_a_method_that_fails_is_answered_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    async def use(connection: aiohttp.ClientWebSocketResponse) -> Any:
        await connection.send_json({"id": "x", "method": "broken"})
        return await connection.receive_json()

    answer = with_connection(SmallVenue(), use)
    assert (answer["id"], answer["status"], answer["error"]["code"]) == ("x", 500, -1000)
    assert "ZeroDivisionError" in caplog.text


def test_a_handshake_above_the_limit_is_429() -> None:
    with serving(strict_venue(weight_per_minute=4)) as server:
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        response = requests.get(f"{server.url}/ws-fapi/v1", headers=headers, timeout=10)
    assert (response.status_code, response.json()["code"]) == (429, -1003)
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_a_plain_request_to_the_websocket_api_finds_nothing() -> None:
    with serving(SmallVenue()) as server:
        assert requests.get(f"{server.url}/ws-fapi/v1", timeout=10).status_code == 404


def test_a_connection_is_closed_at_the_end_of_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIFETIME_S", 0.0)

    async def use(connection: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
        return await connection.receive()

    assert with_connection(SmallVenue(), use).type is aiohttp.WSMsgType.CLOSE


def test_open_connections_are_told_when_the_server_stops() -> None:
    async def run() -> aiohttp.WSMessage:
        venue = SmallVenue()
        async with aiohttp.ClientSession() as session:
            async with HttpServer(venue.dispatcher(), ws_api=venue.ws_api()) as server:
                connection = await session.ws_connect(f"{server.ws_url}/ws-fapi/v1")
                waiting = asyncio.create_task(connection.receive())
                await asyncio.sleep(0)
            return await waiting

    message = asyncio.run(run())
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert message.data == aiohttp.WSCloseCode.GOING_AWAY


# ---- Faults


class Plan:
    """Does what it is told with each request in turn."""

    def __init__(self, *faults: str) -> None:
        self.faults = list(faults)
        self.proceeded = 0

    async def intercept(self, request: Request, proceed: Callable[[Request], Response]) -> Response | Dropped | Cut:
        """Return the outcome of the next fault."""
        fault = self.faults.pop(0)
        if fault == "lose the request":
            return Dropped()
        self.proceeded += 1
        response = proceed(request)
        if fault == "lose the answer":
            return Dropped()
        if fault.startswith("cut"):
            return Cut(response, int(fault.removeprefix("cut ")))
        return response


@pytest.mark.parametrize(("fault", "proceeded"), [("lose the request", 0), ("lose the answer", 1)])
def test_a_dropped_request_is_a_closed_connection(fault: str, proceeded: int) -> None:
    plan = Plan(fault, "none")
    with serving(SmallVenue(), plan) as server:
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{server.url}/fapi/v1/ping", timeout=10)
        assert plan.proceeded == proceeded
        assert requests.get(f"{server.url}/fapi/v1/ping", timeout=10).status_code == 200


@pytest.mark.parametrize("at_byte", [0, 1, 12])
def test_an_answer_is_cut_where_the_plan_says(at_byte: int) -> None:
    body = b'{"serverTime":1591702613943}'
    with serving(SmallVenue(), Plan(f"cut {at_byte}", "none")) as server:
        answer = raw(server, b"GET /fapi/v1/time HTTP/1.1\r\nHost: x\r\n\r\n")
        assert requests.get(f"{server.url}/fapi/v1/time", timeout=10).content == body
    head, separator, found = answer.partition(b"\r\n\r\n")
    assert separator
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert found == body[:at_byte]


def test_a_client_notices_an_answer_that_is_cut() -> None:
    broken = pytest.raises(requests.exceptions.ChunkedEncodingError, match="5 bytes read, 23 more expected")
    with serving(SmallVenue(), Plan("cut 5")) as server, broken:
        requests.get(f"{server.url}/fapi/v1/time", timeout=10)


def test_an_interceptor_may_change_request_and_response() -> None:
    class Change:
        async def intercept(self, request: Request, proceed: Callable[[Request], Response]) -> Response:
            await asyncio.sleep(0)
            response = proceed(Request("GET", "/fapi/v1/time", address=request.address))
            return Response(503, {"X-Plan": "7"}, response.body)

    with serving(SmallVenue(), Change()) as server:
        response = requests.get(f"{server.url}/fapi/v1/ping", timeout=10)
    assert (response.status_code, response.headers["X-Plan"]) == (503, "7")
    assert response.json() == {"serverTime": NOW_MS}
