"""What became of a call: every row of the table, and that whatever is new says nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.live.exchange.endpoints import ENDPOINTS
from rl_trader.live.exchange.outcome import Kind, Outcome, RawAnswer, classify

NOW = 1_800_000_000_000
MINUTES = 60_000
DAYS = 24 * 60 * MINUTES
UNKNOWN_503 = "Unknown error, please check your request or try again later."
FAILED_503 = "Service Unavailable."
INTERNAL = "Internal error; unable to process your request. Please try again."
THROTTLED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
)
PAGE = b"<html><head><title>503 Service Unavailable</title></head><body>Service Unavailable.</body></html>"

# Codes that refuse for certain, as the study of failures lists them and the documentation's parameter errors.
DEFINITIVE = [
    *(-1013, -1015, -1021, -1022, -1102, -1106, -1111, -1115, -1116, -1117, -1121, -1128, -1130),
    *(-2010, -2011, -2013, -2014, -2015, -2018, -2019, -2021, -2022, -2025, -2027, -5021, -5022, -5028),
    *(-4000, -4003, -4014, -4023, -4061, -4120, -4130, -4164, -4192, -4999),
]


def raw(status: int | None = 200, body: object = None, name: str = "order.place", **more: Any) -> RawAnswer:
    """Return an answer with a body of bytes, or of what JSON can write."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawAnswer(endpoint=name, sent_ms=NOW - 50, received_ms=NOW, status=status, body=content, **more)


def error(code: object, message: object = "words") -> dict[str, object]:
    return {"code": code, "msg": message}


def kind(*arguments: Any, **more: Any) -> Kind:
    return classify(raw(*arguments, **more)).kind


# ---- Acknowledged


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_order_is_acknowledged_by_a_success_with_its_number(status: int) -> None:
    outcome = classify(raw(status, {"orderId": 8, "executedQty": "0.10", "new": 0.1}))
    assert outcome.kind is Kind.ACKED
    assert isinstance(outcome.data, dict)
    assert (outcome.data["orderId"], str(outcome.data["new"])) == (8, "0.1")  # a fraction as it was written


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("algo.place", {"algoId": 1, "clientAlgoId": "a"}),
        ("algo.cancel", {"algoId": 1, "clientAlgoId": "a", "code": "200", "msg": "success"}),
        ("order.cancel_all", {"code": 200, "msg": "The operation of cancel all open order is done."}),
        ("margin_mode.set", {"code": 200, "msg": "success"}),
        ("leverage.set", {"leverage": 21, "maxNotionalValue": "1000000", "symbol": "BTCUSDT"}),
        ("order.countdown", {"symbol": "BTCUSDT", "countdownTime": "100000"}),
        ("listen_key.start", {"listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"}),
        ("order.open", []),
        ("premium_index", {"symbol": "BTCUSDT", "markPrice": "1"}),
        ("premium_index", [{"symbol": "BTCUSDT", "markPrice": "1"}]),
    ],
)
def test_every_call_is_acknowledged_by_what_it_answers(name: str, data: object) -> None:
    assert kind(200, data, name) is Kind.ACKED


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("data", [None, True, 0, "", {}, {"code": -1000, "msg": ""}, {"code": 0}, {"msg": "success"}])
def test_no_call_is_acknowledged_by_what_it_does_not_answer(name: str, data: object) -> None:
    assert kind(200, data, name) is Kind.UNKNOWN


def test_a_success_that_holds_an_error_says_nothing() -> None:
    assert kind(200, {"orderId": 8, "code": -1000, "msg": ""}) is Kind.UNKNOWN
    assert kind(200, {"orderId": 8, "code": "-4116", "msg": ""}) is Kind.UNKNOWN


# ---- Refused for certain


def test_what_was_never_written_is_refused_and_may_be_tried_again() -> None:
    outcome = classify(raw(None, b"", failure="ClientConnectorError: refused", is_written=False))
    assert (outcome.kind, outcome.is_transient, outcome.code) == (Kind.REJECTED, True, None)
    assert "not sent" in outcome.reason
    held = classify(raw(None, b"", failure="the limits", is_written=False, held_ms=400))
    assert (held.kind, held.retry_after_ms) == (Kind.REJECTED, 400)


@pytest.mark.parametrize("code", DEFINITIVE)
@pytest.mark.parametrize("form", [int, str])
def test_a_known_refusal_of_a_bad_request_is_certain(code: int, form: type) -> None:
    outcome = classify(raw(400, error(form(code), "why")))
    assert (outcome.kind, outcome.code, outcome.reason, outcome.data) == (Kind.REJECTED, code, "why", None)
    assert outcome.is_transient == (code in (-1021, -5028, -1015))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", PAGE, b'{"code":-2015,"msg":"Invalid API-key"}', b'{"code":-1000,"msg":"?"}'])
def test_who_is_not_let_in_is_refused_whatever_the_body_says(status: int, body: bytes) -> None:
    outcome = classify(raw(status, body))
    assert (outcome.kind, outcome.is_transient, outcome.status) == (Kind.REJECTED, False, status)
    assert outcome.is_key_refused == (status == 401 or b"2015" in body)


@pytest.mark.parametrize("body", [b"", PAGE, b'{"code":-1003,"msg":"Too many requests"}', b'{"code":-1015,"msg":"x"}'])
def test_who_asks_too_much_is_refused_and_told_when_to_come_back(body: bytes) -> None:
    told = classify(raw(429, body, headers={"retry-after": "7"}))
    assert (told.kind, told.is_transient, told.retry_after_ms, told.ban_until_ms) == (Kind.REJECTED, True, 7_000, None)
    assert classify(raw(429, body)).retry_after_ms is None
    for odd in ("", "soon", "-3", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999999999999"):
        assert classify(raw(429, body, headers={"retry-after": odd})).retry_after_ms is None
    assert classify(raw(429, body, headers={"retry-after": "999999999"})).retry_after_ms == 3 * DAYS


@pytest.mark.parametrize(
    ("message", "headers", "ban_ms"),
    [
        (f"Way too many requests; IP(1.2.3.4) banned until {NOW + 5 * MINUTES}. Please", {}, 5 * MINUTES),
        (f"Way too many requests; IP banned until {NOW + 5 * MINUTES}.", {"retry-after": "9"}, 5 * MINUTES),
        ("Way too many requests", {"retry-after": "600"}, 10 * MINUTES),
        ("Way too many requests", {}, 2 * MINUTES),
        ("IP banned until tomorrow", {}, 2 * MINUTES),
        ("IP banned until 9999999999999.", {}, 3 * DAYS),  # no ban is longer
    ],
)
def test_who_is_banned_is_refused_until_the_end_of_the_ban(message: str, headers: dict[str, str], ban_ms: int) -> None:
    outcome = classify(raw(418, error(-1003, message), headers=headers))
    assert (outcome.kind, outcome.ban_until_ms) == (Kind.REJECTED, NOW + ban_ms)
    assert classify(raw(418, PAGE)).ban_until_ms == NOW + 2 * MINUTES


@pytest.mark.parametrize("body", [error(-1000, FAILED_503), {"msg": FAILED_503}, error(-1003, FAILED_503)])
def test_a_503_that_says_that_the_service_is_not_there_is_certain(body: object) -> None:
    outcome = classify(raw(503, body))
    assert (outcome.kind, outcome.is_transient) == (Kind.REJECTED, True)


def test_a_503_that_says_that_orders_are_throttled_is_certain() -> None:
    outcome = classify(raw(503, error(-1008, THROTTLED)))
    assert (outcome.kind, outcome.is_transient, outcome.code) == (Kind.REJECTED, True, -1008)


def test_a_wrong_clock_a_refused_key_and_a_setting_that_is_so_are_told_apart() -> None:
    def told(code: int) -> tuple[bool, bool, bool]:
        outcome = classify(raw(400, error(code)))
        return outcome.is_clock_wrong, outcome.is_key_refused, outcome.is_already_so

    assert told(-1021) == told(-5028) == (True, False, False)
    assert told(-1022) == told(-2014) == told(-2015) == (False, True, False)
    assert told(-4046) == told(-4059) == (False, False, True)
    assert told(-2019) == (False, False, False)


def test_a_status_that_is_certain_stays_so_when_its_body_breaks_off() -> None:
    assert kind(429, b'{"co', failure="ClientPayloadError") is Kind.REJECTED
    assert kind(418, b"", failure="ClientPayloadError") is Kind.REJECTED


# ---- Unknown


@pytest.mark.parametrize(
    "answer",
    [
        raw(None, b"", failure="TimeoutError: "),
        raw(None, b"", failure="ServerDisconnectedError"),
        raw(200, b'{"orderId": 8}', failure="ClientPayloadError"),  # who knows what was missing
        raw(400, b'{"code":-2019,"msg":"Margin is insufficient."}', failure="ClientPayloadError"),
        raw(200, b""),
        raw(200, b'{"orderId": 8'),
        raw(200, b"[" * 100_000),  # deeper than can be read
        raw(200, b'{"orderId": NaN}'),
        raw(200, b'{"orderId": 1e99999999999999999999}'),
        raw(204, b""),
        raw(301, b""),
        raw(302, {"orderId": 8}),
        raw(400, b""),
        raw(400, PAGE),
        raw(400, error(-4116, "ClientOrderId is duplicated.")),  # an earlier twin exists
        raw(400, error(-1000)),
        raw(400, error(-1001, INTERNAL)),
        raw(400, error(-1006)),
        raw(400, error(-1007)),
        raw(400, error(-1008, THROTTLED)),
        raw(400, error(-3999)),
        raw(400, error(-5000)),
        raw(400, error(-9999)),
        raw(400, error("-2019x")),
        raw(400, error(-2019.0)),
        raw(400, error(True)),
        raw(400, error(None)),
        raw(400, [error(-2019)]),
        raw(404, error(-2019)),
        raw(405, error(-2019)),
        raw(408, error(-1007)),
        raw(409, error(-2019)),
        raw(500, error(-1000)),
        raw(500, error(-2019)),
        raw(502, PAGE),
        raw(504, PAGE),
        raw(503, b""),
        raw(503, PAGE),
        raw(503, FAILED_503.encode()),
        raw(503, error(-1000, UNKNOWN_503)),
        raw(503, error(-1003, UNKNOWN_503)),
        raw(503, {"msg": UNKNOWN_503}),
        raw(503, error(-1008, UNKNOWN_503)),
        raw(503, error(-1001, INTERNAL)),
        raw(503, error(-1000, INTERNAL)),
        raw(503, error(-1000, "Service Unavailable")),
        raw(503, error(-2019)),
        raw(503, error(-1000, None)),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:40]!r} {answer.failure}",
)
def test_what_does_not_say_for_certain_says_nothing(answer: RawAnswer) -> None:
    outcome = classify(answer)
    assert outcome.kind is Kind.UNKNOWN
    assert outcome.reason
    told = (outcome.is_transient, outcome.is_clock_wrong, outcome.is_key_refused, outcome.is_already_so)
    assert not any(told)


# ---- Whatever comes

statuses = st.integers(100, 599) | st.sampled_from([200, 400, 401, 403, 408, 418, 429, 500, 503])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
errors = st.builds(error, st.integers(-9_999, 500) | values, st.text(max_size=30) | values)
bodies = st.binary(max_size=80) | (values | errors).map(lambda data: json.dumps(data).encode())
headers = st.dictionaries(st.sampled_from(["retry-after", "x-mbx-used-weight-1m"]), st.text(max_size=20))


@given(statuses, bodies, headers, st.sampled_from(sorted(ENDPOINTS)), st.sampled_from(["", "ClientPayloadError"]))
def test_an_answer_of_any_form_has_an_outcome_and_only_a_whole_success_acknowledges(
    status: int, body: bytes, heads: dict[str, str], name: str, failure: str
) -> None:
    outcome = classify(raw(status, body, name, headers=heads, failure=failure))
    if outcome.kind is Kind.ACKED:
        assert 200 <= status <= 299
        assert not failure
        assert outcome.data == json.loads(body)
    if outcome.kind is Kind.REJECTED:
        assert status in (400, 401, 403, 418, 429, 503)


@given(statuses.filter(lambda status: status not in (401, 403, 418, 429)), st.integers(-9_999, 9_999), st.text())
def test_a_code_that_nobody_knows_says_nothing(status: int, code: int, message: str) -> None:
    known = {*DEFINITIVE, *range(-4_999, -3_999), *range(-1_136, -1_099), -2020, -2023, -2024, -2026, -2028, -1008}
    outcome = classify(raw(status, error(code, message)))
    assert outcome.kind is Kind.UNKNOWN or (code in known and status in (400, 503)) or message == FAILED_503


@given(st.integers(0, 10_000))
def test_an_acknowledgement_that_is_cut_anywhere_says_nothing(place: int) -> None:
    whole = json.dumps({"orderId": 8000000001, "symbol": "BTCUSDT", "status": "NEW", "executedQty": "0"}).encode()
    assert kind(200, whole[: place % len(whole)]) is Kind.UNKNOWN


def test_neither_an_answer_nor_its_outcome_shows_a_listen_key() -> None:
    answer = raw(200, {"listenKey": "canary"}, "listen_key.start")
    outcome: Outcome = classify(answer)
    assert outcome.data == {"listenKey": "canary"}
    assert "canary" not in f"{answer} {answer!r} {outcome} {outcome!r}"
