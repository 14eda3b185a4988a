"""The public endpoints of the local exchange: every answer has the form of the exchange's own.

The forms are those of recorded answers of September 2026, and where there is none, of the documented samples. Hand-made
bars of 30 minutes around 77 000 USDT, of which the first eight are the past.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from rl_trader.contract import load_terms
from rl_trader.embedded import INTERVAL_MS
from rl_trader.klines import parse_date
from rl_trader.local_exchange import wire
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.endpoints.public import PUBLIC_ENDPOINTS, PUBLIC_METHODS
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.market.listing import Listing, find_listing, shipped_listing
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import Recording, record_embedded
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.endpoint import Security
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.request import Request
from rl_trader.local_exchange.protocol.ws_api import WsApi
from rl_trader.local_exchange.streams.hub import Hub
from rl_trader.local_exchange.venue import Venue
from rl_trader.store import DataStore
from tests.market_tables import HOUR, MINUTE, START, recording

D = Decimal
BAR = 30 * MINUTE
NUM_PAST = 8
BARS = [f"{76_900 + n}.0 {76_950 + n}.5 {76_890 + n}.1 {76_901 + n}.0 28.720" for n in range(24)]
MARKS = [f"{76_910 + n}.12345678 {76_960 + n}.5 {76_880 + n}.1 {76_911 + n}.0" for n in range(24)]
RATES = {0: 0.00003563, 8 * HOUR: 0.00006188}
NOTHING: Mapping[str, object] = {}
NO_HEADERS: Mapping[str, str] = {}
FREE = Conduct(half_spread=D("0.0000005"), sqrt_impact=D(0), linear_impact=D(0), slippage_scale=D(1))


class Client:
    """Asks a venue as a client would, and counts the weight of each answer."""

    def __init__(self, *recordings: Recording, unlisted_filters: tuple[str, ...] = ()) -> None:
        self.exchange = Exchange([each.contract for each in recordings], FREE)
        self.replay = Replay(self.exchange, recordings, start_ms=int(recordings[0].open_time[NUM_PAST]))
        self.market = Market(self.exchange, recordings, self.replay, unlisted_filters=unlisted_filters)
        hub = Hub(self.exchange, self.market, "seed")
        self.venue = Venue(self.exchange, self.market, hub)
        self.key: ApiKey = self.venue.open_account("main", D(1_000_000))
        self.weight = 0
        self._dispatcher = Dispatcher(PUBLIC_ENDPOINTS, self.venue)
        self.venue.to_next_open()

    def get(self, path: str, params: Mapping[str, object] = NOTHING, headers: Mapping[str, str] = NO_HEADERS) -> Any:
        """Return the answer to a GET request."""
        before = self.venue.limits.used_weight("127.0.0.1", self.venue.session_ms())
        request = Request("GET", path, urlencode(params), headers=headers)
        response = self._dispatcher.handle(request)
        self.weight = self.venue.limits.used_weight("127.0.0.1", self.venue.session_ms()) - before
        data = json.loads(response.body)
        assert (response.status == 200) != (isinstance(data, dict) and set(data) == {"code", "msg"})
        return data

    def code(self, path: str, **params: object) -> int:
        """Return the code with which a GET request is refused."""
        return int(self.get(path, params)["code"])


@pytest.fixture
def client() -> Client:
    made = Client(recording(BARS, marks=MARKS, fundings=RATES))
    made.replay.advance(START + 20 * BAR)
    return made


@pytest.fixture
def bare() -> Client:
    """Return a client of a market whose contract terms are no exchange's."""
    return Client(record_embedded(60, 3))


@pytest.fixture(scope="module")
def live(recorded_data: Path) -> dict[str, Any]:
    path = recorded_data / "reference" / "live_rest_responses_2026-09-15.json"
    answers: dict[str, Any] = json.loads(path.read_text())
    return answers


@pytest.fixture(scope="module")
def documented(recorded_data: Path) -> dict[str, Any]:
    samples: dict[str, Any] = json.loads((recorded_data / "reference" / "documented_samples.json").read_text())["rest"]
    return samples


def form_of(data: Any) -> Any:
    """Return data with every value replaced by its kind; decimal strings by their number of decimals."""
    if isinstance(data, dict):
        return {name: form_of(value) for name, value in data.items()}
    if isinstance(data, list):
        return [form_of(value) for value in data]
    if isinstance(data, str):
        whole, point, rest = data.removeprefix("-").partition(".")
        if whole.isdigit() and (not point or rest.isdigit()):
            return f"decimal {len(rest)}"
        return "text"
    return type(data).__name__


LIVE: dict[str, dict[str, object]] = {
    "GET /fapi/v1/time": {},
    "GET /fapi/v1/premiumIndex?symbol=BTCUSDT": {"symbol": "BTCUSDT"},
    "GET /fapi/v1/openInterest?symbol=BTCUSDT": {"symbol": "BTCUSDT"},
    "GET /fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=3": {"symbol": "BTCUSDT", "interval": "1m", "limit": 3},
    "GET /fapi/v1/indexPriceKlines?pair=BTCUSDT&interval=1m&limit=1": {"pair": "BTCUSDT", "interval": "1m", "limit": 1},
    "GET /fapi/v1/fundingRate?symbol=BTCUSDT&limit=2": {"symbol": "BTCUSDT", "limit": 2},
    "GET /fapi/v1/ticker/24hr?symbol=BTCUSDT": {"symbol": "BTCUSDT"},
    "GET /fapi/v1/ticker/price?symbol=BTCUSDT": {"symbol": "BTCUSDT"},
    "GET /fapi/v2/ticker/price?symbol=BTCUSDT": {"symbol": "BTCUSDT"},
    "GET /fapi/v1/ticker/bookTicker?symbol=BTCUSDT": {"symbol": "BTCUSDT"},
    "GET /fapi/v1/aggTrades?symbol=BTCUSDT&limit=2": {"symbol": "BTCUSDT", "limit": 2},
}


@pytest.mark.parametrize("name", LIVE)
def test_an_answer_has_the_form_of_the_recorded_one(client: Client, live: dict[str, Any], name: str) -> None:
    path = name.removeprefix("GET ").partition("?")[0]
    ours, theirs = form_of(client.get(path, LIVE[name])), form_of(live[name])
    if path == "/fapi/v1/ticker/24hr":
        ours["priceChange"] = theirs["priceChange"]  # of either sign; compared below
    assert ours == theirs


def test_exchange_info_is_the_recorded_one_but_for_times_and_assets(client: Client, live: dict[str, Any]) -> None:
    ours, theirs = client.get("/fapi/v1/exchangeInfo"), live["GET /fapi/v1/exchangeInfo"]
    shipped = shipped_listing().info
    assert ours["symbols"] == theirs["symbols"] == [shipped]
    for name in ("timezone", "futuresType", "rateLimits", "exchangeFilters"):
        assert ours[name] == theirs[name], name
    assert set(ours) == set(theirs)
    assert ours["serverTime"] == client.venue.market_ms()


def test_a_symbol_without_an_entry_of_its_own_is_listed_in_the_same_form(bare: Client, live: dict[str, Any]) -> None:
    ours, theirs = bare.get("/fapi/v1/exchangeInfo")["symbols"][0], live["GET /fapi/v1/exchangeInfo"]["symbols"][0]
    assert {name: type(value) for name, value in ours.items()} == {name: type(value) for name, value in theirs.items()}
    filters = {each["filterType"]: each for each in ours["filters"]}
    for theirs_too in theirs["filters"]:
        same = filters[theirs_too["filterType"]]
        assert {k: type(v) for k, v in same.items()} == {k: type(v) for k, v in theirs_too.items()}
    assert (ours["symbol"], ours["pair"], ours["baseAsset"]) == ("EMBEDDED", "EMBEDDED", "EMBEDDED")
    assert (ours["pricePrecision"], ours["quantityPrecision"]) == (2, 4)
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01"
    assert filters["MARKET_LOT_SIZE"]["stepSize"] == "0.0001"
    assert filters["MIN_NOTIONAL"]["notional"] == "5"
    assert filters["PERCENT_PRICE"]["multiplierUp"] == "1.2000"
    assert (ours["liquidationFee"], ours["triggerProtect"], ours["marketTakeBound"]) == ("0.012500", "0.2000", "0.20")
    assert ours["onboardDate"] == parse_date("2020-01-01")


def test_the_exchanges_assets_have_the_documented_form(client: Client, documented: dict[str, Any]) -> None:
    theirs = documented["GET /fapi/v1/exchangeInfo"]["assets"][0]
    ours = client.get("/fapi/v1/exchangeInfo")["assets"]
    assert [{name: type(value) for name, value in each.items()} for each in ours] == [
        {name: type(value) for name, value in theirs.items()}
    ]


def test_filters_can_be_left_unlisted() -> None:
    listed = Client(recording(BARS), unlisted_filters=("POSITION_RISK_CONTROL",)).get("/fapi/v1/exchangeInfo")
    kinds = [each["filterType"] for each in listed["symbols"][0]["filters"]]
    assert "POSITION_RISK_CONTROL" not in kinds
    assert "PERCENT_PRICE" in kinds


def test_funding_info_has_the_form_of_the_recorded_one(client: Client, bare: Client, live: dict[str, Any]) -> None:
    key = "GET /fapi/v1/fundingInfo (first entries and one entry of the tail)"
    assert client.get("/fapi/v1/fundingInfo") == [live[key][-1]]  # BTCUSDT's own
    ours = bare.get("/fapi/v1/fundingInfo")[0]
    assert form_of(ours) | {"updateTime": "int"} == form_of(live[key][0])
    assert (ours["adjustedFundingRateCap"], ours["adjustedFundingRateFloor"]) == ("0.02000000", "-0.02000000")


@pytest.mark.parametrize("name", ["trades", "historicalTrades"])
def test_trades_have_the_documented_form(client: Client, documented: dict[str, Any], name: str) -> None:
    headers = {"x-mbx-apikey": client.key.key}
    ours = client.get(f"/fapi/v1/{name}", {"symbol": "BTCUSDT"}, headers)
    theirs = documented[f"GET /fapi/v1/{name}"][0]
    for each in ours:
        assert {key: type(value) for key, value in each.items()} == {key: type(value) for key, value in theirs.items()}
    assert ours[0]["qty"] == "0.001"


@pytest.mark.parametrize("path", ["premiumIndex", "ticker/24hr", "ticker/price", "ticker/bookTicker"])
def test_without_a_symbol_every_symbol_is_listed(path: str) -> None:
    both = Client(recording(BARS), recording(BARS, symbol="ETHUSDT"))
    listed = both.get(f"/fapi/v1/{path}")
    assert [each["symbol"] for each in listed] == ["BTCUSDT", "ETHUSDT"]
    assert listed[0] == both.get(f"/fapi/v1/{path}", {"symbol": "BTCUSDT"})


# ---- Refusals, as recorded


def test_what_the_exchange_refuses_is_refused_with_its_code_and_text(client: Client, live: dict[str, Any]) -> None:
    assert len(live["errors"]) == 7
    for request, _, body in live["errors"]:
        path, _, query = request.removeprefix("GET ").removesuffix(" (no key)").partition("?")
        params = dict(part.split("=") for part in query.split("&"))
        assert client.get(path, params) == body, request


def test_limits_below_one_and_above_the_most_are_refused(client: Client) -> None:
    for path, most in (("trades", 1000), ("aggTrades", 1000), ("fundingRate", 1000), ("klines", 1500)):
        for limit in (0, -1, most + 1):
            params: dict[str, object] = {"symbol": "BTCUSDT", "interval": "1m", "limit": limit}
            assert client.code(f"/fapi/v1/{path}", **params) == -1130, (path, limit)
        assert isinstance(client.get(f"/fapi/v1/{path}", {"symbol": "BTCUSDT", "interval": "1m", "limit": most}), list)


def test_what_must_be_sent_is_asked_for(client: Client) -> None:
    for path in ("depth", "trades", "aggTrades", "klines", "markPriceKlines", "openInterest"):
        assert client.code(f"/fapi/v1/{path}") == -1102, path
    assert client.code("/fapi/v1/klines", symbol="BTCUSDT") == -1102
    assert client.code("/fapi/v1/continuousKlines", pair="BTCUSDT", interval="1m") == -1102
    assert client.code("/fapi/v1/indexPriceKlines", pair="NOPAIR", interval="1m") == -1121


def test_old_trades_need_a_key(client: Client) -> None:
    assert client.code("/fapi/v1/historicalTrades", symbol="BTCUSDT") == -2014
    keyed = {endpoint.path for endpoint in PUBLIC_ENDPOINTS if endpoint.security is not Security.NONE}
    assert keyed == {"/fapi/v1/historicalTrades"}


def test_aggregate_trades_of_an_hour_or_more_are_refused(client: Client) -> None:
    params: dict[str, object] = {"symbol": "BTCUSDT", "startTime": START + 10 * BAR}
    assert client.code("/fapi/v1/aggTrades", **params, endTime=START + 12 * BAR) == -1127
    assert len(client.get("/fapi/v1/aggTrades", {**params, "endTime": START + 12 * BAR - 1})) == 8


# ---- Weights


def test_requests_weigh_what_the_exchange_counts(client: Client) -> None:
    one: dict[str, object] = {"symbol": "BTCUSDT"}
    klines: dict[str, object] = {**one, "interval": "1m"}
    for path, params, weight in (
        ("ping", {}, 1),
        ("time", {}, 1),
        ("exchangeInfo", {}, 1),
        *(("depth", {**one, "limit": limit}, 2) for limit in (5, 10, 20, 50)),
        ("depth", {**one, "limit": 100}, 5),
        ("depth", one, 10),
        ("depth", {**one, "limit": 1000}, 20),
        ("trades", one, 5),
        ("aggTrades", one, 20),
        ("klines", {**klines, "limit": 99}, 1),
        ("klines", {**klines, "limit": 100}, 2),
        ("klines", klines, 5),
        ("klines", {**klines, "limit": 499}, 2),
        ("klines", {**klines, "limit": 1000}, 5),
        ("klines", {**klines, "limit": 1001}, 10),
        ("premiumIndex", one, 1),
        ("premiumIndex", {}, 10),
        ("fundingRate", one, 0),
        ("ticker/24hr", one, 1),
        ("ticker/24hr", {}, 40),
        ("ticker/price", one, 1),
        ("ticker/price", {}, 2),
        ("ticker/bookTicker", one, 2),
        ("ticker/bookTicker", {}, 5),
        ("openInterest", one, 1),
    ):
        client.get(f"/fapi/v1/{path}", params)
        assert client.weight == weight, (path, params)
    client.get("/fapi/v1/historicalTrades", one, {"x-mbx-apikey": client.key.key})
    assert client.weight == 200


# ---- What the answers say


def test_ping_is_empty_and_the_time_is_the_markets(client: Client) -> None:
    assert client.get("/fapi/v1/ping") == {}
    assert client.get("/fapi/v1/time") == {"serverTime": START + 20 * BAR}


def test_depth_has_one_level_a_side_where_orders_fill(client: Client) -> None:
    # The bar opens at 76 920; half a spread is below a tick, so that orders fill a tick away.
    book = client.get("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 5})
    assert (book["bids"], book["asks"]) == ([["76919.90", "1000.000"]], [["76920.10", "1000.000"]])
    best = client.get("/fapi/v1/ticker/bookTicker", {"symbol": "BTCUSDT"})
    assert (best["bidPrice"], best["askPrice"], best["askQty"]) == ("76919.90", "76920.10", "1000.000")
    assert best["lastUpdateId"] == book["lastUpdateId"]
    client.replay.step()
    assert client.get("/fapi/v1/depth", {"symbol": "BTCUSDT"})["lastUpdateId"] > book["lastUpdateId"]


def test_an_empty_book_has_best_prices_of_zero() -> None:
    halted = Client(recording([*BARS[:8], "76900.0 76900.0 76900.0 76900.0 0.000"]))
    best = halted.get("/fapi/v1/ticker/bookTicker", {"symbol": "BTCUSDT"})
    assert [best[name] for name in ("bidPrice", "bidQty", "askPrice", "askQty")] == ["0.00", "0.000"] * 2
    assert halted.get("/fapi/v1/depth", {"symbol": "BTCUSDT"})["bids"] == []


def test_klines_go_back_before_the_replays_begin_and_end_with_the_forming_one(client: Client) -> None:
    rows = client.get("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "30m"})
    assert [row[0] for row in rows] == [START + n * BAR for n in range(21)]
    assert rows[0][1:6] == ["76900.00", "76950.50", "76890.10", "76901.00", "28.720"]
    assert rows[0][6] == START + BAR - 1
    assert rows[-1][1:6] == ["76920.00"] * 4 + ["0.001"]
    assert all(D(row[9]) <= D(row[5]) and D(row[10]) <= D(row[7]) and row[11] == "0" for row in rows)
    assert all(D(row[3]) <= D(row[7]) / D(row[5]) <= D(row[2]) for row in rows)


def test_klines_of_a_window_ascend_from_its_start(client: Client) -> None:
    params = {"symbol": "BTCUSDT", "interval": "1h", "startTime": START + 1, "limit": 2}
    assert [row[0] for row in client.get("/fapi/v1/klines", params)] == [START + HOUR, START + 2 * HOUR]
    params = {"symbol": "BTCUSDT", "interval": "1h", "endTime": START + 5 * HOUR, "limit": 2}
    assert [row[0] for row in client.get("/fapi/v1/klines", params)] == [START + 4 * HOUR, START + 5 * HOUR]


def test_continuous_klines_are_those_of_the_perpetual_contract(client: Client) -> None:
    same = {"interval": "15m", "limit": 20}
    ours = client.get("/fapi/v1/continuousKlines", {"pair": "BTCUSDT", "contractType": "PERPETUAL", **same})
    assert ours == client.get("/fapi/v1/klines", {"symbol": "BTCUSDT", **same})
    assert client.get("/fapi/v1/continuousKlines", {"pair": "BTCUSDT", "contractType": "NEXT_QUARTER", **same}) == []
    assert client.code("/fapi/v1/continuousKlines", pair="BTCUSDT", contractType="WEEKLY", interval="1m") == -1130


def test_mark_index_and_premium_klines_have_eight_decimals_and_no_volume(client: Client) -> None:
    params = {"symbol": "BTCUSDT", "interval": "30m", "limit": 2}
    mark = client.get("/fapi/v1/markPriceKlines", params)
    assert mark[1][1] == "76930.12345678"
    assert [mark[0][column] for column in (5, 7, 8, 9, 10, 11)] == ["0", "0", 1800, "0", "0", "0"]
    assert client.get("/fapi/v1/indexPriceKlines", {**params, "pair": "BTCUSDT"}) == mark
    premium = client.get("/fapi/v1/premiumIndexKlines", params)
    assert premium[1][1] == f"{76_920 / 76_930.12345678 - 1:.8f}"


def test_a_premium_of_nothing_has_no_sign(bare: Client) -> None:
    rows = bare.get("/fapi/v1/premiumIndexKlines", {"symbol": "EMBEDDED", "interval": "30m"})
    assert {text for row in rows for text in row[1:5]} == {"0.00000000"}


def test_the_premium_index_tells_mark_price_and_funding(client: Client) -> None:
    ours = client.get("/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"})
    assert ours["markPrice"] == ours["indexPrice"] == "76930.12345678"
    assert ours["lastFundingRate"] == "0.00006188"
    assert ours["nextFundingTime"] == START + 16 * HOUR
    assert (ours["interestRate"], ours["time"]) == ("0.00010000", START + 20 * BAR)


def test_funding_rates_ascend(client: Client) -> None:
    rows = client.get("/fapi/v1/fundingRate", {"symbol": "BTCUSDT"})
    assert [(row["fundingTime"], row["fundingRate"], row["markPrice"]) for row in rows] == [
        (START, "0.00003563", "76910.12345678"),
        (START + 8 * HOUR, "0.00006188", "76926.12345678"),
    ]
    assert client.get("/fapi/v1/fundingRate", {"symbol": "BTCUSDT", "limit": 1}) == rows[1:]
    assert client.get("/fapi/v1/fundingRate", {"startTime": START, "limit": 1}) == rows[:1]


def test_the_tickers_tell_the_last_price_and_the_last_day(client: Client) -> None:
    client.replay.step()  # down to the low of 76 910.1
    last = client.get("/fapi/v2/ticker/price", {"symbol": "BTCUSDT"})
    assert last == {"symbol": "BTCUSDT", "price": "76910.10", "time": START + 20 * BAR + 10 * MINUTE}
    day = client.get("/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"})
    assert (day["openPrice"], day["highPrice"], day["lowPrice"]) == ("76900.00", "76969.50", "76890.10")
    assert (day["lastPrice"], day["priceChange"], day["priceChangePercent"]) == ("76910.10", "10.10", "0.013")
    assert day["volume"] == str(20 * D("28.720") + D("9.574"))  # ceil(28720 * 600001 / 1800000) = 9574
    assert D(day["weightedAvgPrice"]) == round(D(day["quoteVolume"]) / D(day["volume"]), 2)


def test_trades_are_the_tape(client: Client) -> None:
    rows = client.get("/fapi/v1/trades", {"symbol": "BTCUSDT", "limit": 3})
    assert [row["id"] for row in rows] == [47, 48, 49]  # four a bar, and the open of the thirteenth
    assert rows[-1] == {
        "id": 49,
        "price": "76920.00",
        "qty": "0.001",
        "quoteQty": "76.92",
        "time": START + 20 * BAR,
        "isBuyerMaker": True,
        "isRPITrade": False,
    }
    headers = {"x-mbx-apikey": client.key.key}
    params = {"symbol": "BTCUSDT", "fromId": 47, "limit": 2}
    assert client.get("/fapi/v1/historicalTrades", params, headers) == rows[:2]


def test_aggregate_trades_are_asked_for_by_number_or_time(client: Client) -> None:
    def numbers(**params: object) -> list[int]:
        rows = client.get("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", **params})
        assert all(row["a"] == row["f"] == row["l"] and row["q"] == row["nq"] for row in rows)
        return [row["a"] for row in rows]

    assert numbers(limit=2) == [48, 49]
    assert numbers(fromId=10, limit=2) == [10, 11]
    assert numbers(startTime=START + 9 * BAR, limit=2) == [5, 6]
    assert numbers(endTime=START + 9 * BAR, limit=2) == [4, 5]
    assert numbers(startTime=START + 9 * BAR, endTime=START + 9 * BAR) == [5]
    assert len(numbers()) == 49


def test_aggregate_trades_are_forgotten_after_two_days() -> None:
    old = Client(recording(BARS, "8h"))
    numbers = [row["a"] for row in old.get("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", "startTime": START})]
    assert numbers == [1]
    old.replay.advance(old.replay.now_ms + 48 * HOUR)
    numbers = [row["a"] for row in old.get("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", "startTime": START})]
    assert numbers == list(range(1, 26))  # the first one is two days old to the millisecond
    old.replay.advance(old.replay.now_ms + 1)
    assert old.get("/fapi/v1/aggTrades", {"symbol": "BTCUSDT", "startTime": START})[0]["a"] == 2


def test_open_interest_is_what_the_accounts_hold(client: Client) -> None:
    assert client.get("/fapi/v1/openInterest", {"symbol": "BTCUSDT"})["openInterest"] == "0.000"
    for name, amount in (("long", D("0.5")), ("short", D("-0.75")), ("longer", D("0.5"))):
        client.venue.open_account(name, D(1_000_000))
        trader = client.venue.trader(name)
        trader.know(client.exchange.quotes["BTCUSDT"])
        trader.books.fill("BTCUSDT", amount, D(76_920), D(0))
    # Longs of 1 face shorts of 0.75 and the venue's own of 0.25.
    assert client.get("/fapi/v1/openInterest", {"symbol": "BTCUSDT"})["openInterest"] == "1.000"


def test_methods_of_the_websocket_api_answer_the_same(client: Client) -> None:
    api = WsApi(PUBLIC_METHODS, client.venue)
    connection = api.connect("127.0.0.1")
    for method, path in (
        ("depth", "v1/depth"),
        ("ticker.price", "v2/ticker/price"),
        ("ticker.book", "v1/ticker/bookTicker"),
    ):
        frame = json.dumps({"id": "1", "method": method, "params": {"symbol": "BTCUSDT"}})
        answer = json.loads(api.handle(frame, connection))
        assert answer["result"] == client.get(f"/fapi/{path}", {"symbol": "BTCUSDT"}), method


def test_funding_rates_of_all_symbols_are_the_newest_or_from_a_start_on() -> None:
    both = Client(recording(BARS, fundings=RATES), recording(BARS, symbol="ETHUSDT", fundings={0: 0.5, 8 * HOUR: 0.25}))
    both.replay.advance(START + 10 * HOUR)

    def rates(**params: object) -> list[str]:
        return [row["fundingRate"] for row in both.get("/fapi/v1/fundingRate", params)]

    assert rates() == ["0.00003563", "0.50000000", "0.00006188", "0.25000000"]
    assert rates(limit=2) == ["0.00006188", "0.25000000"]
    assert rates(limit=3, startTime=START) == ["0.00003563", "0.50000000", "0.00006188"]


# ---- Numbers


def test_numbers_are_written_with_the_places_of_their_field() -> None:
    contract = load_terms("BTCUSDT")  # tick 0.10, step 0.001
    assert wire.price_text(D("76914.9"), contract) == "76914.90"
    assert wire.price_text(D("7189.4321"), contract) == "7189.4321"  # as recorded when the tick was finer
    assert wire.price_text(D("1E+3"), contract) == "1000.00"
    assert wire.price_text(D(1) / 3, contract) == "0.33333333"
    assert wire.amount_text(D("-0.5"), contract) == "-0.500"
    assert wire.money_text(D("-0.000000004")) == "0.00000000"
    assert wire.rate_text(D("0.000015")) == "0.00001500"
    assert wire.mark_text(D("0.000000015")) == wire.mark_text(D("0.000000025")) == "0.00000002"  # halves to even
    assert [wire.units_text(units, 3) for units in (0, 28_720, -5)] == ["0.000", "28.720", "-0.005"]
    assert wire.units_text(7, 0) == "7"


# ---- Listings


def test_answers_of_the_exchange_are_taken_from_the_data_folder(tmp_path: Path) -> None:
    store = DataStore(tmp_path)
    assert find_listing("BTCUSDT", store) == shipped_listing()
    assert find_listing("ETHUSDT", store) == Listing()
    folder = tmp_path / "contracts"
    folder.mkdir()
    for answer in ({"symbol": "ETHUSDT", "x": 1}, {"symbols": [{"symbol": "A"}, {"symbol": "ETHUSDT", "x": 1}]}):
        (folder / "ETHUSDT.json").write_text(json.dumps({"exchangeInfo": answer, "fundingInfo": [{"symbol": "A"}]}))
        assert find_listing("ETHUSDT", store) == Listing(info={"symbol": "ETHUSDT", "x": 1})


def test_the_embedded_market_can_be_asked_for_every_interval(bare: Client) -> None:
    assert bare.venue.market_ms() == parse_date("2020-01-01") + NUM_PAST * INTERVAL_MS
    for interval, count in (("1m", 241), ("1h", 5), ("1d", 1), ("1M", 1)):
        rows = bare.get("/fapi/v1/klines", {"symbol": "EMBEDDED", "interval": interval})
        assert len(rows) == count, interval
