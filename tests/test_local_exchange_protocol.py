"""The local exchange's protocol: signatures, keys, times, parameters, limits, dispatch and the WebSocket API."""

import json
import math
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.protocol.dispatch import LARGEST_BODY, Dispatcher
from rl_trader.local_exchange.protocol.endpoint import Kind, Parameter
from rl_trader.local_exchange.protocol.json_text import JsonError, as_texts, dump_json, load_json
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.limits import UNLIMITED, Counter, Limits, LimitTerms
from rl_trader.local_exchange.protocol.parameters import INTERVALS, read_arguments
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.protocol.signature import is_signed, signature_of, signed_text, sorted_text
from rl_trader.local_exchange.protocol.ws_api import WsApi
from tests.small_venue import ENDPOINTS, KEY, METHODS, NOW_MS, SECRET, SmallVenue, endpoint, sign, strict_venue

Params = dict[str, Any]
ORDER: Params = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.5"}


def ask(venue: SmallVenue, method: str, path: str, query: str = "", body: bytes = b"", **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return venue.dispatcher().handle(Request(method, path, query, body, names))


def ask_signed(venue: SmallVenue, method: str, path: str, params: Params, timestamp: int | None = None) -> Response:
    text = urlencode(params | {"timestamp": venue.now_ms if timestamp is None else timestamp})
    return ask(venue, method, path, f"{text}&signature={sign(text)}", x_mbx_apikey=KEY)


def data(response: Response) -> Any:
    return json.loads(response.body)


def code(response: Response) -> int:
    """Return the code of an error in the exchange's form."""
    body = data(response)
    assert set(body) == {"code", "msg"}
    return int(body["code"])


# ---- Signatures (the documentation's examples, recomputed)

WHOLE = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
)
WHOLE_SIGNATURE = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
QUERY = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
BODY = "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943"
JOINED_SIGNATURE = "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"


def test_the_documented_signatures_come_out() -> None:
    assert signature_of(SECRET, WHOLE.encode()) == WHOLE_SIGNATURE
    assert signature_of(SECRET, signed_text(QUERY, BODY.encode())) == JOINED_SIGNATURE


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"{WHOLE}&signature={WHOLE_SIGNATURE}", ""),
        ("", f"{WHOLE}&signature={WHOLE_SIGNATURE}"),
        (f"signature={WHOLE_SIGNATURE}&{WHOLE}", ""),
        (WHOLE.replace("&price", f"&signature={WHOLE_SIGNATURE}&price"), ""),
        (QUERY, f"{BODY}&signature={JOINED_SIGNATURE}"),
        (f"{QUERY}&signature={JOINED_SIGNATURE}", BODY),
        (f"{QUERY}&signature={JOINED_SIGNATURE.upper()}", BODY),
    ],
)
def test_a_signed_order_is_taken_wherever_its_parts_stand(query: str, body: str) -> None:
    response = ask(SmallVenue(), "POST", "/fapi/v1/order", query, body.encode(), x_mbx_apikey=KEY)
    assert response.status == 200, response.body
    assert data(response)["account"] == "main"
    assert data(response)["arguments"]["price"] == "Decimal 9000"


def test_query_and_body_are_joined_without_an_ampersand() -> None:
    wrong = sign(f"{QUERY}&{BODY}")
    response = ask(
        SmallVenue(), "POST", "/fapi/v1/order", f"{QUERY}&signature={wrong}", BODY.encode(), x_mbx_apikey=KEY
    )
    assert (response.status, code(response)) == (400, -1022)


@given(st.text(), st.text())
def test_no_other_signature_is_accepted(text: str, signature: str) -> None:
    signed = text.encode("utf-8", "replace")
    assert is_signed(SECRET, signed, signature) == (signature.lower() == signature_of(SECRET, signed))


def test_the_websocket_api_signs_sorted_parameters_with_the_key_and_without_the_signature() -> None:
    texts = {"symbol": "BTCUSDT", "signature": "x", "apiKey": "k", "timestamp": "1", "price": "9.50"}
    assert sorted_text(texts) == b"apiKey=k&price=9.50&symbol=BTCUSDT&timestamp=1"


# ---- Keys and times


def test_a_keyed_call_without_a_key_or_with_one_that_cannot_be_is_refused_with_2014() -> None:
    for headers in ({}, {"x-mbx-apikey": ""}, {"x-mbx-apikey": "no key!"}, {"x-mbx-apikey": "k" * 129}):
        request = Request("GET", "/fapi/v1/historicalTrades", "symbol=BTCUSDT", headers=headers)
        response = SmallVenue().dispatcher().handle(request)
        assert (response.status, code(response)) == (401, -2014)
        assert data(response)["msg"] == "API-key format invalid."  # recorded


def test_a_key_that_nobody_has_is_refused_with_2015_and_the_callers_address() -> None:
    response = ask(SmallVenue(), "GET", "/fapi/v1/historicalTrades", "symbol=BTCUSDT", x_mbx_apikey="x" * 64)
    assert (response.status, code(response)) == (401, -2015)
    assert data(response)["msg"].endswith("request ip: 127.0.0.1")


def test_market_data_and_user_streams_need_a_key_and_no_signature() -> None:
    venue = SmallVenue()
    trades = ask(venue, "GET", "/fapi/v1/historicalTrades", "symbol=BTCUSDT", x_mbx_apikey=KEY)
    assert data(trades)["account"] == "main"
    assert data(ask(venue, "POST", "/fapi/v1/listenKey", x_mbx_apikey=KEY))["account"] == "main"


def test_a_public_call_ignores_the_key() -> None:
    assert data(ask(SmallVenue(), "GET", "/fapi/v1/ping", x_mbx_apikey="no key!"))["account"] is None


@pytest.mark.parametrize("missing", ["timestamp", "signature"])
def test_a_signed_call_needs_both_a_timestamp_and_a_signature(missing: str) -> None:
    text = "&".join(part for part in ("symbol=BTCUSDT", f"timestamp={NOW_MS}") if not part.startswith(missing))
    query = text if missing == "signature" else f"{text}&signature={sign(text)}"
    response = ask(SmallVenue(), "GET", "/fapi/v1/order", query, x_mbx_apikey=KEY)
    assert (response.status, code(response)) == (400, -1102)
    assert f"'{missing}'" in data(response)["msg"]


def test_a_wrong_signature_is_refused_and_does_not_cost_an_order() -> None:
    venue = SmallVenue()
    query = f"{urlencode(ORDER)}&timestamp={NOW_MS}&signature={'0' * 64}"
    assert code(ask(venue, "POST", "/fapi/v1/order", query, x_mbx_apikey=KEY)) == -1022
    assert venue.limits.order_counts("main", NOW_MS) == (0, 0)


def test_a_secret_is_not_shown_when_a_key_is_printed() -> None:
    assert SECRET not in repr(ApiKey(KEY, SECRET, "main"))


@pytest.mark.parametrize(
    ("timestamp", "window", "text"),
    [
        (NOW_MS + 999, None, None),  # timestamp < now + 1000
        (NOW_MS + 1000, None, "Timestamp for this request was 1000ms ahead of the server's time."),
        (NOW_MS - 5000, None, None),  # now - timestamp <= 5000
        (NOW_MS - 5001, None, "Timestamp for this request is outside of the recvWindow."),
        (NOW_MS - 60_000, 60_000, None),
        (NOW_MS - 10, 9, "Timestamp for this request is outside of the recvWindow."),
        (NOW_MS + 10**9, 60_000, "Timestamp for this request was 1000ms ahead of the server's time."),
    ],
)
def test_a_timestamp_is_taken_within_the_window(timestamp: int, window: int | None, text: str | None) -> None:
    params = {"symbol": "BTCUSDT"} | ({} if window is None else {"recvWindow": window})
    response = ask_signed(SmallVenue(), "GET", "/fapi/v1/order", params, timestamp)
    if text is None:
        assert response.status == 200
    else:
        assert (response.status, code(response), data(response)["msg"]) == (400, -1021, text)


@pytest.mark.parametrize("window", [-1, 60_001])
def test_a_window_above_a_minute_is_refused(window: int) -> None:
    response = ask_signed(SmallVenue(), "GET", "/fapi/v1/order", {"symbol": "BTCUSDT", "recvWindow": window})
    assert code(response) == -1130


def test_a_timestamp_may_be_of_the_markets_clock_or_of_the_machines() -> None:
    venue = SmallVenue(now_ms=NOW_MS, session_now_ms=NOW_MS + 10**11)  # a replay, three years later
    for timestamp in (NOW_MS, NOW_MS + 10**11):
        assert ask_signed(venue, "GET", "/fapi/v1/order", {"symbol": "BTCUSDT"}, timestamp).status == 200
    # Between the two it is stale: 1e10 ms after the market's time, which is nearer than the machine's.
    stale = ask_signed(venue, "GET", "/fapi/v1/order", {"symbol": "BTCUSDT"}, NOW_MS + 10**10)
    assert "ahead" in data(stale)["msg"]
    late = ask_signed(venue, "GET", "/fapi/v1/order", {"symbol": "BTCUSDT"}, NOW_MS + 9 * 10**10)
    assert "recvWindow" in data(late)["msg"]


# ---- Parameters


def read(parameter: Parameter, text: str | None) -> object:
    sent = {} if text is None else {parameter.name: text}
    return read_arguments((parameter,), sent, ("BTCUSDT",))[parameter.name]


def refusal(parameter: Parameter, text: str | None) -> int:
    with pytest.raises(RefusedError) as caught:
        read(parameter, text)
    return caught.value.code


def test_what_is_missing_is_refused_by_name_unless_it_may_be() -> None:
    assert refusal(Parameter("symbol", Kind.SYMBOL, is_required=True), None) == -1102
    assert read(Parameter("limit", Kind.WHOLE, default=500), None) == 500
    assert read(Parameter("price", Kind.DECIMAL), None) is None


@pytest.mark.parametrize("kind", Kind)
def test_what_is_sent_empty_is_refused_whatever_it_is(kind: Kind) -> None:
    assert refusal(Parameter("x", kind), "") == -1105


@pytest.mark.parametrize(
    ("text", "value"), [("1", "1"), ("0.010", "0.010"), ("-5", "-5"), (".5", "0.5"), ("5.", "5"), ("1e-05", "0.00001")]
)
def test_decimals_keep_every_digit(text: str, value: str) -> None:
    read_value = read(Parameter("quantity", Kind.DECIMAL), text)
    assert format(read_value, "f") == value


NO_NUMBERS = ("NaN", "nan", "sNaN", "Infinity", "-inf", "1_000", " 1", "1 ", "1\n", "0x10", "1,5", "--1", "+1", "1.2.3")


@pytest.mark.parametrize("text", [*NO_NUMBERS, "1e", "e5", ".", "\uff11", "币", "1e14", "1e999", "1e1000", "9" * 101])
def test_what_is_no_decimal_below_1e14_is_malformed(text: str) -> None:
    assert refusal(Parameter("quantity", Kind.DECIMAL), text) == -1102


def test_a_decimal_with_more_decimals_than_anything_has_is_too_precise() -> None:
    assert str(read(Parameter("price", Kind.DECIMAL), "0." + "0" * 29 + "1")) == "1E-30"
    assert refusal(Parameter("price", Kind.DECIMAL), "1e-31") == -1111


@pytest.mark.parametrize("text", ["0", "-0", "0e999", "0e-999", "0.000"])
def test_zero_is_zero_however_it_is_written(text: str) -> None:
    assert str(read(Parameter("price", Kind.DECIMAL), text)) == "0"


@pytest.mark.parametrize(
    "text", ["1.0", "1e3", "0x1", "1_0", "", " 1", "+1", str(2**63), str(-(2**63) - 1), "9" * 5000, "²"]
)
def test_what_is_no_whole_number_of_64_bits_is_malformed(text: str) -> None:
    assert refusal(Parameter("limit", Kind.WHOLE), text) == (-1102 if text else -1105)


def test_whole_numbers_of_64_bits_are_taken_to_their_ends() -> None:
    for value in (2**63 - 1, -(2**63), 0, -1):
        assert read(Parameter("orderId", Kind.WHOLE), str(value)) == value


def test_a_whole_number_out_of_range_is_refused_with_1130() -> None:
    limit = Parameter("limit", Kind.WHOLE, least=1, most=1500)
    assert [read(limit, "1"), read(limit, "1500")] == [1, 1500]
    assert [refusal(limit, "0"), refusal(limit, "1501")] == [-1130, -1130]


def test_truths_are_read_in_any_case_and_nothing_else_is_one() -> None:
    truth = Parameter("reduceOnly", Kind.TRUTH)
    assert [read(truth, text) for text in ("true", "TRUE", "True", "false", "False")] == [True] * 3 + [False] * 2
    assert [refusal(truth, text) for text in ("1", "yes", "tru\u0435")] == [-1130] * 3  # the last e is Cyrillic
    assert refusal(replace(truth, choice_code=-4062), "1") == -4062


def test_choices_are_exact_and_are_refused_with_their_own_code() -> None:
    side = Parameter("side", choices=("BUY", "SELL"), choice_code=-1117)
    assert read(side, "BUY") == "BUY"
    assert [refusal(side, text) for text in ("buy", "HOLD")] == [-1117, -1117]
    assert refusal(Parameter("positionSide", choices=("BOTH",)), "UP") == -1130


def test_symbols_and_intervals_have_to_exist() -> None:
    assert [refusal(Parameter("s", Kind.SYMBOL), text) for text in ("btcusdt", "NOTAREALSYM")] == [-1121] * 2
    assert [refusal(Parameter("i", Kind.INTERVAL), text) for text in ("1s", "1H", "60")] == [-1120] * 3
    assert {read(Parameter("i", Kind.INTERVAL), text) for text in INTERVALS} == INTERVALS
    assert len(INTERVALS) == 15


def test_json_keeps_decimals_as_they_were_written() -> None:
    orders = read(Parameter("batchOrders", Kind.JSON), '[{"quantity":0.10,"price":"5","orderId":7,"reduceOnly":true}]')
    assert orders == [{"quantity": "0.10", "price": "5", "orderId": 7, "reduceOnly": True}]
    assert isinstance(orders, list)
    assert as_texts(orders[0]) == {"quantity": "0.10", "price": "5", "orderId": "7", "reduceOnly": "true"}


@pytest.mark.parametrize(
    "text",
    ["1", '"x"', "null", "[1", "{'a':1}", "[NaN]", "[Infinity]", "[" * 100_000, "[" + "9" * 5000 + "]", '["\\ud800"]'],
)
def test_json_that_is_no_list_or_object_is_malformed(text: str) -> None:
    assert refusal(Parameter("batchOrders", Kind.JSON), text) == -1102


def test_json_that_nobody_can_mean_says_what_it_was() -> None:
    with pytest.raises(JsonError, match=r"JSON was wanted, found '\{nonsense'"):
        load_json("{nonsense")


def test_json_is_written_compactly_and_in_utf_8() -> None:
    assert dump_json({"a": [1, True, None], "b": "币"}) == '{"a":[1,true,null],"b":"币"}'
    assert dump_json("half \ud800 pair") == '"half ? pair"'
    with pytest.raises(ValueError, match="Out of range"):
        dump_json(math.nan)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_parameters_are_taken_from_query_and_body_and_the_query_wins(method: str) -> None:
    query, body = "symbol=BTCUSDT&side=BUY", f"symbol=ETHUSDT&type=LIMIT&side=SELL&timestamp={NOW_MS}"
    signed = f"{body}&signature={sign(query + body)}"
    response = ask(SmallVenue(), method, "/fapi/v1/order", query, signed.encode(), x_mbx_apikey=KEY)
    assert data(response)["arguments"]["symbol"] == "BTCUSDT"
    assert data(response)["sent"] == ["side", "signature", "symbol", "timestamp", "type"]


def test_a_get_takes_nothing_from_its_body() -> None:
    assert code(ask(SmallVenue(), "GET", "/fapi/v1/klines", "interval=1m", b"symbol=BTCUSDT")) == -1102


def test_unknown_parameters_are_ignored_but_named() -> None:
    response = ask(SmallVenue(), "GET", "/fapi/v1/ping", "unknown=1&symbol=NOTAREALSYM")
    assert data(response) == {"account": None, "arguments": {}, "sent": ["symbol", "unknown"]}


def test_names_are_exact() -> None:
    assert code(ask(SmallVenue(), "GET", "/fapi/v1/klines", "Symbol=BTCUSDT&interval=1m")) == -1102


def test_ccxts_lower_case_list_of_orders_is_understood() -> None:
    response = ask_signed(SmallVenue(), "DELETE", "/fapi/v1/batchOrders", {"symbol": "BTCUSDT", "orderidlist": "[1,2]"})
    assert data(response)["arguments"]["orderIdList"] == [1, 2]


def test_percent_encoded_symbols_are_decoded_after_the_signature_is_checked() -> None:
    response = ask_signed(SmallVenue(), "GET", "/fapi/v1/order", {"symbol": "币安人生USDT"})
    assert data(response)["arguments"]["symbol"] == "币安人生USDT"
    assert "币安人生".encode() in response.body


def test_a_name_that_is_sent_twice_is_refused() -> None:
    assert code(ask(SmallVenue(), "GET", "/fapi/v1/depth", "symbol=BTCUSDT&symbol=ETHUSDT")) == -1101


def test_text_that_is_no_utf_8_is_refused() -> None:
    venue = SmallVenue()
    for query in ("symbol=%ff", "symbol=\udcff", "symbol=\ud800"):
        assert code(ask(venue, "GET", "/fapi/v1/depth", query)) == -1100
    for body in (b"symbol=\xff", b"symbol=%ff"):
        assert code(ask(venue, "POST", "/fapi/v1/order", "", body, x_mbx_apikey=KEY)) == -1100


def test_hundreds_of_parameters_are_refused() -> None:
    query = "&".join(f"p{k}=1" for k in range(201))
    assert code(ask(SmallVenue(), "GET", "/fapi/v1/ping", query)) == -1101


# ---- Recorded answers


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=1s&limit=1", '{"code":-1120,"msg":"Invalid interval."}'),
        (
            "/fapi/v1/klines",
            "symbol=BTCUSDT&interval=1m&limit=2000",
            '{"code":-1130,"msg":"Data sent for parameter \'limit\' is not valid."}',
        ),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=3", '{"code":-4021,"msg":"3 is not valid depth limit"}'),
        (
            "/fapi/v1/depth",
            "symbol=BTCUSDT&limit=1500",
            '{"code":-1130,"msg":"Data sent for parameter \'limit\' is not valid."}',
        ),
        ("/fapi/v1/depth", "symbol=NOTAREALSYM", '{"code":-1121,"msg":"Invalid symbol."}'),
    ],
)
def test_errors_read_as_the_exchange_was_recorded_to_write_them(path: str, query: str, body: str) -> None:
    response = ask(SmallVenue(), "GET", path, query)
    assert (response.status, response.body.decode()) == (400, body)


# ---- Dispatch


def test_an_unknown_path_is_404_and_a_wrong_method_405() -> None:
    unknown = ask(SmallVenue(), "GET", "/fapi/v1/account")
    assert unknown.status == 404
    assert data(unknown) == {"code": -5000, "msg": "Path /fapi/v1/account, Method GET is invalid"}  # recorded
    wrong = ask(SmallVenue(), "POST", "/fapi/v1/ping")
    assert (wrong.status, code(wrong)) == (405, -5000)


def test_a_body_above_a_mebibyte_is_too_large() -> None:
    venue = SmallVenue()
    padding = b"x=" + b"1" * (LARGEST_BODY - 2)
    assert code(ask(venue, "POST", "/fapi/v1/order", "", padding, x_mbx_apikey=KEY)) == -1102  # read, lacks a timestamp
    response = ask(venue, "POST", "/fapi/v1/order", "", padding + b"1", x_mbx_apikey=KEY)
    assert (response.status, code(response)) == (413, -1101)


def test_a_refusal_of_an_endpoint_is_answered_with_its_code() -> None:
    response = ask_signed(SmallVenue(), "POST", "/fapi/v1/refused", {})
    assert (response.status, data(response)) == (400, {"code": -2019, "msg": "Margin is insufficient."})
    assert response.headers["X-MBX-ORDER-COUNT-1M"] == "1"


def test_an_endpoint_that_fails_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(SmallVenue(), "GET", "/fapi/v1/broken")


def test_an_endpoint_is_declared_once() -> None:
    again = endpoint("GET", "/fapi/v1/ping")
    with pytest.raises(ValueError, match="GET /fapi/v1/ping is declared twice"):
        Dispatcher((*ENDPOINTS, again), SmallVenue().as_venue())
    Dispatcher((*ENDPOINTS, replace(again, path="/fapi/v2/ping")), SmallVenue().as_venue())


def test_an_answer_is_compact_json() -> None:
    response = ask(SmallVenue(), "GET", "/fapi/v1/time")
    assert response.body == b'{"serverTime":1591702613943}'
    assert response.headers["Content-Type"] == "application/json"


# ---- Limits


def test_a_counter_starts_again_with_each_full_window() -> None:
    counter = Counter(1000)
    assert [counter.add(2, 10_000), counter.add(3, 10_999), counter.at(10_500)] == [2, 5, 5]
    assert counter.at(11_000) == 0
    assert counter.add(1, 11_000) == 1
    assert (counter.at(11_999), counter.at(12_000), counter.ends_ms(11_999)) == (1, 0, 12_000)


def test_every_answer_says_how_much_weight_the_address_has_used() -> None:
    venue = SmallVenue()
    used = [
        ask(venue, "GET", "/fapi/v1/ping").headers["X-MBX-USED-WEIGHT-1M"],
        ask(venue, "GET", "/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=500").headers["X-MBX-USED-WEIGHT-1M"],
        ask(venue, "GET", "/nowhere").headers["X-MBX-USED-WEIGHT-1M"],
        ask(venue, "GET", "/fapi/v1/depth").headers["X-MBX-USED-WEIGHT-1M"],
        ask_signed(venue, "POST", "/fapi/v1/order", ORDER).headers["X-MBX-USED-WEIGHT-1M"],
    ]
    assert used == ["1", "11", "12", "13", "13"]  # 1; 10 for 500 klines; 1 even for an error; 0 for an order
    venue.session_now_ms += 60_000
    assert ask(venue, "GET", "/fapi/v1/ping").headers["X-MBX-USED-WEIGHT-1M"] == "1"


def test_too_much_weight_is_429_until_the_minute_is_over() -> None:
    venue = strict_venue(weight_per_minute=3)
    # 2020-06-09T11:36:53.943Z: 6.057 seconds are left of the minute.
    assert [ask(venue, "GET", "/fapi/v1/ping").status for _ in range(4)] == [200, 200, 200, 429]
    response = ask(venue, "GET", "/fapi/v1/time")
    assert (code(response), response.headers["Retry-After"]) == (-1003, "7")
    assert data(response)["msg"].startswith(
        "Too many requests; current limit of IP(127.0.0.1) is 3 requests per minute."
    )
    venue.session_now_ms += 6_056
    assert ask(venue, "GET", "/fapi/v1/ping").status == 429
    venue.session_now_ms += 1
    assert ask(venue, "GET", "/fapi/v1/ping").status == 200


def test_weights_are_counted_for_each_address() -> None:
    venue = strict_venue(weight_per_minute=1)
    for address in ("10.0.0.1", "10.0.0.2"):
        response = venue.dispatcher().handle(Request("GET", "/fapi/v1/ping", address=address))
        assert (response.status, response.headers["X-MBX-USED-WEIGHT-1M"]) == (200, "1")


def test_an_address_that_goes_on_is_banned_and_longer_each_time() -> None:
    venue = strict_venue(weight_per_minute=1, tolerated_refusals=2)

    def go_on() -> list[int]:
        return [ask(venue, "GET", "/fapi/v1/ping").status for _ in range(5)]

    assert go_on() == [200, 429, 429, 418, 418]
    banned = ask(venue, "GET", "/fapi/v1/ping")
    assert banned.headers["Retry-After"] == "120"
    until = NOW_MS + 120_000
    assert f"IP(127.0.0.1) banned until {until}." in data(banned)["msg"]
    assert code(banned) == -1003
    venue.session_now_ms = until - 1
    assert ask(venue, "GET", "/fapi/v1/ping").status == 418
    venue.session_now_ms = until
    assert go_on() == [200, 429, 429, 418, 418]
    assert ask(venue, "GET", "/fapi/v1/ping").headers["Retry-After"] == "240"


def test_no_ban_is_longer_than_three_days() -> None:
    limits = Limits(LimitTerms(weight_per_minute=0, tolerated_refusals=0))
    now_ms = 0
    lengths = []
    for _ in range(13):
        with pytest.raises(RefusedError) as caught:
            limits.charge("x", 1, now_ms)
        lengths.append(vars(caught.value)["retry_after_s"])
        now_ms = vars(caught.value)["retry_at_ms"]
    assert lengths[:3] == [120, 240, 480]
    assert lengths[11:] == [245_760, 259_200]  # 120 * 2**11 s, then 3 days


def test_a_quiet_minute_forgives_earlier_refusals() -> None:
    venue = strict_venue(weight_per_minute=1, tolerated_refusals=2)
    statuses = []
    for _ in range(4):
        statuses += [ask(venue, "GET", "/fapi/v1/ping").status for _ in range(3)]
        venue.session_now_ms += 120_000
    assert statuses == [200, 429, 429] * 4
    venue.session_now_ms -= 60_000  # a minute after the last refusal
    assert [ask(venue, "GET", "/fapi/v1/ping").status for _ in range(2)] == [200, 418]


def test_orders_are_counted_for_each_account_in_both_windows() -> None:
    venue = SmallVenue()
    venue.keys["other"] = ApiKey("other", SECRET, "second")
    ask_signed(venue, "POST", "/fapi/v1/order", ORDER)
    response = ask_signed(venue, "POST", "/fapi/v1/batchOrders", {"symbol": "BTCUSDT"})
    assert (response.headers["X-MBX-ORDER-COUNT-10S"], response.headers["X-MBX-ORDER-COUNT-1M"]) == ("6", "2")
    assert "X-MBX-ORDER-COUNT-10S" not in ask_signed(venue, "GET", "/fapi/v1/order", {"symbol": "BTCUSDT"}).headers
    assert venue.limits.order_counts("main", NOW_MS) == (6, 2)
    assert venue.limits.order_counts("second", NOW_MS) == (0, 0)


def test_too_many_orders_are_429_with_1015_and_are_not_placed() -> None:
    venue = strict_venue(orders_per_10_s=2, orders_per_minute=3)
    start = venue.session_now_ms = NOW_MS // 60_000 * 60_000
    venue.now_ms = start

    def order() -> Response:
        return ask_signed(venue, "POST", "/fapi/v1/order", ORDER, start)

    assert [order().status for _ in range(3)] == [200, 200, 429]
    refused = order()
    assert data(refused) == {"code": -1015, "msg": "Too many new orders; current limit is 2 orders per TEN_SECONDS."}
    assert refused.headers["Retry-After"] == "10"
    venue.session_now_ms += 10_000
    assert order().status == 200
    assert data(order())["msg"] == "Too many new orders; current limit is 3 orders per MINUTE."
    assert venue.limits.order_counts("main", venue.session_now_ms) == (1, 3)


def test_funding_endpoints_share_500_requests_in_five_minutes() -> None:
    venue = SmallVenue()
    venue.session_now_ms = NOW_MS // 300_000 * 300_000
    paths = ("/fapi/v1/fundingRate", "/fapi/v1/fundingInfo")
    assert {ask(venue, "GET", paths[k % 2]).status for k in range(500)} == {200}
    response = ask(venue, "GET", paths[0])
    assert (response.status, code(response), response.headers["Retry-After"]) == (429, -1003, "300")
    assert "is 500 requests per 5 minutes." in data(response)["msg"]
    assert ask(venue, "GET", "/fapi/v1/ping").status == 200
    venue.session_now_ms += 300_000
    assert ask(venue, "GET", paths[0]).status == 200


def test_limits_can_be_turned_off() -> None:
    venue = SmallVenue(limits=Limits(UNLIMITED))
    dispatcher = venue.dispatcher()
    statuses = {dispatcher.handle(Request("GET", "/fapi/v1/fundingRate")).status for _ in range(3_000)}
    assert statuses == {200}
    assert venue.limits.used_weight("127.0.0.1", NOW_MS) == 3_000


def test_the_limits_are_listed_as_the_exchange_lists_them() -> None:
    assert LimitTerms().rows() == [  # recorded in exchangeInfo
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    ]


# ---- WebSocket API


def frame(venue: SmallVenue, text: str | Params, query: str = "") -> Any:
    api = venue.ws_api()
    return json.loads(api.handle(text if isinstance(text, str) else json.dumps(text), api.connect("127.0.0.1", query)))


def signed_params(params: Params) -> Params:
    """Return the parameters with key, time and signature, as a client signs them."""
    full = {"apiKey": KEY, "timestamp": NOW_MS, **params}
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in full.items()}
    return full | {"signature": sign("&".join(f"{name}={texts[name]}" for name in sorted(texts)))}


def test_a_frame_is_answered_with_its_id_and_the_rate_limits() -> None:
    answer = frame(SmallVenue(), {"id": "a-1", "method": "ticker.price", "params": {"symbol": "BTCUSDT"}})
    assert answer["id"] == "a-1"
    assert answer["status"] == 200
    assert answer["result"]["arguments"] == {"symbol": "BTCUSDT"}
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400, "count": 6}
    assert answer["rateLimits"] == [weight]  # 5 for the handshake and 1


@pytest.mark.parametrize("request_id", [1, "9ca10e58-7452-467e-9454-f669bb9c764e", None, "", -5])
def test_ids_come_back_as_they_are(request_id: object) -> None:
    assert frame(SmallVenue(), {"id": request_id, "method": "ticker.price"})["id"] == request_id


def test_an_order_over_the_websocket_api_is_signed_over_its_sorted_parameters() -> None:
    params = signed_params(ORDER | {"price": "9000.10", "reduceOnly": True, "newClientOrderId": "x:1/a.b"})
    answer = frame(SmallVenue(), {"id": 1, "method": "order.place", "params": params})
    assert answer["status"] == 200, answer
    assert answer["result"]["account"] == "main"
    assert answer["result"]["arguments"]["price"] == "Decimal 9000.10"
    assert answer["result"]["arguments"]["reduceOnly"] is True
    assert [(row["rateLimitType"], row["interval"], row["count"]) for row in answer["rateLimits"]] == [
        ("ORDERS", "SECOND", 1),
        ("ORDERS", "MINUTE", 1),
        ("REQUEST_WEIGHT", "MINUTE", 5),
    ]


def test_a_decimal_that_is_no_string_is_signed_as_it_was_written() -> None:
    text = f"apiKey={KEY}&price=9000.10&quantity=1e-05&side=BUY&symbol=BTCUSDT&timestamp={NOW_MS}&type=MARKET"
    params = ",".join(
        f'"{name}":{value}' if name in ("price", "quantity", "timestamp") else f'"{name}":"{value}"'
        for name, value in (pair.split("=") for pair in f"{text}&signature={sign(text)}".split("&"))
    )
    answer = frame(SmallVenue(), f'{{"id":1,"method":"order.place","params":{{{params}}}}}')
    assert answer["status"] == 200, answer
    assert answer["result"]["arguments"]["quantity"] == "Decimal 0.00001"


def test_a_changed_parameter_breaks_the_signature() -> None:
    params = signed_params(ORDER) | {"side": "SELL"}
    answer = frame(SmallVenue(), {"id": 1, "method": "order.place", "params": params})
    assert (answer["status"], answer["error"]["code"]) == (400, -1022)
    assert "result" not in answer


@pytest.mark.parametrize(
    ("method", "params", "status", "code"),
    [
        ("order.place", {}, 401, -2014),
        ("order.place", {"apiKey": "x"}, 401, -2015),
        ("order.place", {"apiKey": KEY}, 400, -1102),
        ("order.place", signed_params({"symbol": "BTCUSDT", "side": "UP", "type": "LIMIT"}), 400, -1117),
        ("ticker.price", {"symbol": "NOTAREALSYM"}, 400, -1121),
        ("order.place", signed_params(ORDER | {"timestamp": NOW_MS - 6_000}), 400, -1021),
        ("order.list", {}, 400, -5000),
        ("session.logon", signed_params({}), 400, -4056),
        ("session.logon", {"apiKey": KEY, "timestamp": NOW_MS, "signature": "0"}, 400, -1022),
    ],
)
def test_refusals_are_those_of_rest(method: str, params: Params, status: int, code: int) -> None:
    answer = frame(SmallVenue(), {"id": 1, "method": method, "params": params})
    assert (answer["id"], answer["status"], answer["error"]["code"]) == (1, status, code)


def test_an_unknown_method_is_named() -> None:
    error = frame(SmallVenue(), {"id": 1, "method": "v1/login"})["error"]
    assert error == {"code": -5000, "msg": "Method v1/login is invalid"}  # recorded


def test_a_session_cannot_be_logged_on_to_with_an_hmac_key() -> None:
    venue = SmallVenue()
    answer = frame(venue, {"id": 1, "method": "session.logon", "params": signed_params({})})
    assert answer["error"]["msg"] == "HMAC_SHA256 API key is not supported."  # recorded
    for method in ("session.status", "session.logout"):
        result = frame(venue, {"id": 2, "method": method})["result"]
        assert result == {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": NOW_MS,
            "returnRateLimits": True,
            "serverTime": NOW_MS,
        }


def test_rate_limits_can_be_left_out_for_a_connection_or_a_request() -> None:
    request = {"id": 1, "method": "ticker.price"}
    assert "rateLimits" not in frame(SmallVenue(), request, "returnRateLimits=false")
    assert "rateLimits" not in frame(SmallVenue(), request | {"params": {"returnRateLimits": False}})
    assert "rateLimits" in frame(
        SmallVenue(), request | {"params": {"returnRateLimits": True}}, "returnRateLimits=false"
    )
    assert "rateLimits" in frame(SmallVenue(), request, "returnRateLimits=true&x=%ff")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "1",
        '{"id":1}',
        '{"id":[1],"method":"ticker.price"}',
        '{"id":true,"method":"ticker.price"}',
        '{"id":1,"method":5}',
        '{"id":1,"method":"ticker.price","params":[]}',
        '{"id":1,"method":"ticker.price","params":' + "[" * 100_000,
        '{"id":' + "9" * 30 + ',"method":"ticker.price"}',
        '{"id":"' + "x" * 37 + '","method":"ticker.price"}',
        '{"id":1,"method":"ticker.price","params":{"symbol":"\\ud800"}}',
        '{"id":1,"method":"ticker.price","params":{"symbol":NaN}}',
    ],
)
def test_a_frame_that_is_no_request_is_answered_as_an_error_and_costs_weight(text: str) -> None:
    venue = SmallVenue()
    answer = frame(venue, text)
    assert (answer["id"], answer["status"], answer["error"]["code"]) == (None, 400, -1135)
    assert answer["rateLimits"][0]["count"] == 6


def test_parameters_that_are_null_count_as_not_sent() -> None:
    answer = frame(SmallVenue(), {"id": 1, "method": "ticker.price", "params": {"symbol": None}})
    assert answer["result"]["arguments"] == {"symbol": None}
    assert answer["result"]["sent"] == []


def test_both_apis_share_one_weight_budget() -> None:
    venue = strict_venue(weight_per_minute=7)
    ask(venue, "GET", "/fapi/v1/ping")
    api = venue.ws_api()
    connection = api.connect("127.0.0.1")
    request = '{"id":1,"method":"ticker.price"}'
    assert json.loads(api.handle(request, connection))["status"] == 200
    answer = json.loads(api.handle(request, connection))
    assert (answer["status"], answer["error"]["code"]) == (429, -1003)
    # 2020-06-09T11:36:53.943Z; the minute ends at 11:37.
    assert answer["error"]["data"] == {"serverTime": NOW_MS, "retryAfter": NOW_MS + 6_057}
    assert ask(venue, "GET", "/fapi/v1/ping").status == 429
    with pytest.raises(RefusedError, match="Too many requests"):
        api.connect("127.0.0.1")


def test_a_method_is_declared_once() -> None:
    for path in ("ticker.price", "session.logon", "session.status"):
        with pytest.raises(ValueError, match=f"method {path} is declared twice"):
            WsApi((*METHODS, endpoint("", path)), SmallVenue().as_venue())


def test_a_method_that_fails_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        frame(SmallVenue(), {"id": 1, "method": "broken"})
    assert json.loads(SmallVenue().ws_api().failure('{"id":7,"method":"broken"}'))["id"] == 7
    assert json.loads(SmallVenue().ws_api().failure("nonsense"))["id"] is None


# ---- Whatever is sent is answered in the exchange's form

NAMES = ["symbol", "side", "type", "quantity", "price", "limit", "interval", "timestamp", "recvWindow", "signature"]
VALUES = [
    "BTCUSDT",
    "BUY",
    "LIMIT",
    "1",
    "-1",
    "1e400",
    "NaN",
    "",
    "%ff",
    "%00",
    "+",
    "[" * 3_000,
    '{"a":',
    "1m",
    str(2**64),
]
pieces = st.one_of(
    st.text(max_size=20),
    st.builds(
        "{}={}".format, st.sampled_from([*NAMES, "batchOrders", "orderidlist"]), st.sampled_from(VALUES) | st.text()
    ),
    st.just(f"timestamp={NOW_MS}"),
)
queries = st.lists(pieces, max_size=8).map("&".join)
bodies = st.one_of(st.binary(max_size=200), queries.map(lambda text: text.encode("utf-8", "replace")))
paths = st.one_of(st.sampled_from(sorted({row.path for row in ENDPOINTS} - {"/fapi/v1/broken"})), st.text())
methods = st.one_of(st.sampled_from(["GET", "POST", "PUT", "DELETE"]), st.text(max_size=8))
headers = st.dictionaries(st.just("x-mbx-apikey"), st.sampled_from([KEY, "x"]) | st.text())


def check_form(response: Response) -> None:
    """Assert that a response is one of the exchange's."""
    body = json.loads(response.body.decode())
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-MBX-USED-WEIGHT-1M"].isdigit()
    if response.status != 200:
        assert response.status in (400, 401, 404, 405, 413, 418, 429)
        assert set(body) == {"code", "msg"}
        assert body["code"] < 0
        assert body["msg"]


@settings(max_examples=1_500)
@given(methods, paths, queries, bodies, headers, st.booleans())
def test_no_request_raises_or_is_answered_in_another_form(
    method: str, path: str, query: str, body: bytes, names: dict[str, str], is_signed_well: bool
) -> None:
    if is_signed_well:  # so that the parameters behind the signature are reached
        query = "&".join(part for part in query.split("&") if not part.startswith(("signature=", "timestamp=")))
        query = f"{query}&timestamp={NOW_MS}".encode("utf-8", "replace").decode()
        query += f"&signature={signature_of(SECRET, signed_text(query, body))}"
        names = {"x-mbx-apikey": KEY}
    check_form(SmallVenue().dispatcher().handle(Request(method, path, query, body, names)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(VALUES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
frames = st.one_of(
    st.text(),
    json_values.map(json.dumps),
    st.fixed_dictionaries(
        {"method": st.sampled_from([row.path for row in METHODS if row.path != "broken"] + ["session.status"])},
        optional={
            "id": json_values,
            "params": st.dictionaries(st.sampled_from([*NAMES, "apiKey", "returnRateLimits"]), json_values)
            | json_values,
        },
    ).map(json.dumps),
)


@settings(max_examples=600)
@given(frames)
def test_no_frame_raises_or_is_answered_in_another_form(text: str) -> None:
    answer = frame(SmallVenue(), text)
    assert set(answer) - {"rateLimits"} == {"id", "status", "result" if answer["status"] == 200 else "error"}
    if answer["status"] != 200:
        assert answer["error"]["code"] < 0
        assert answer["error"]["msg"]


def test_a_quoted_address_is_no_secret_door_to_an_endpoint() -> None:
    assert ask(SmallVenue(), "GET", quote("/fapi/v1/ping", safe="")).status == 404
