"""The local order book: the exchange's rules one by one, random markets, a recorded market, a server on loopback.

Hand-made books have bids below 100 and asks above. ``SNAPSHOT`` was taken at update 10.
"""

import asyncio
import gzip
import json
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rl_trader import order_book
from rl_trader.errors import DataError, DownloadError
from rl_trader.order_book import Level, OrderBook, State, follow_order_book

D = Decimal
Frame = dict[str, Any]

SNAPSHOT = {"lastUpdateId": 10, "E": 5, "T": 4, "bids": [["99.5", "3"], ["99.0", "7"]], "asks": [["100.5", "2"]]}


def event(ids: str, bids: str = "", asks: str = "") -> Frame:
    """Return an event of "U u pu" whose levels are written "price:amount price:amount"."""
    first, last, previous = map(int, ids.split())
    levels = [[level.split(":") for level in side.split()] for side in (bids, asks)]
    stamps = {"e": "depthUpdate", "E": 7, "T": 6, "s": "BTCUSDT"}
    return stamps | {"U": first, "u": last, "pu": previous, "b": levels[0], "a": levels[1]}


def wrapped(frame: Frame, stream: str = "btcusdt@depth") -> Frame:
    return {"stream": stream, "data": frame}


def book_after(*frames: Frame) -> OrderBook:
    """Return a book that was given frames in turn; those with a ``lastUpdateId`` are snapshots."""
    book = OrderBook("BTCUSDT")
    for frame in frames:
        if "lastUpdateId" in frame:
            book.apply_snapshot(frame)
        else:
            book.apply_event(frame)
    return book


def levels(text: str) -> list[Level]:
    return [Level(D(price), D(amount)) for price, amount in (level.split(":") for level in text.split())]


JOINED = (event("8 12 7", "99.5:4"), SNAPSHOT)


# ---- The rules


def test_a_new_book_buffers_events_and_needs_a_snapshot() -> None:
    book = book_after(event("8 12 7", "99.5:4"), event("14 15 12"))
    assert (book.state, book.needs_snapshot, book.is_in_sync, book.num_resyncs) == (State.NO_SNAPSHOT, True, False, 0)


def test_buffered_events_are_applied_to_the_snapshot_from_the_one_that_spans_it_on() -> None:
    # Of the first, u = 7 < 10, so that its 98:1 and 99.5:100 must not be seen; the second spans 10.
    stale, spanning, next_one = (
        event("3 7 2", "98:1 99.5:100"),
        event("8 12 7", "99.5:4"),
        event("15 16 12", "", "101:1"),
    )
    book = book_after(stale, spanning, next_one, SNAPSHOT)
    assert book.is_in_sync
    assert book.last_update_id == 16
    assert book.bids() == levels("99.5:4 99.0:7")
    assert book.asks() == levels("100.5:2 101:1")


def test_a_late_snapshot_waits_for_the_event_that_spans_it() -> None:
    book = book_after(event("3 7 2"), event("8 9 7"), SNAPSHOT)
    assert book.state is State.NOT_JOINED
    assert not book.needs_snapshot
    assert book.apply_event(event("10 12 9", "99.5:4"))
    assert (book.best_bid, book.num_resyncs) == (Level(D("99.5"), D(4)), 0)


@pytest.mark.parametrize("ids", ["10 12 9", "8 10 7", "10 10 9"])
def test_the_first_event_may_begin_or_end_at_the_snapshots_update(ids: str) -> None:
    assert book_after(event(ids), SNAPSHOT).is_in_sync
    assert book_after(SNAPSHOT, event(ids)).is_in_sync


def test_events_that_end_before_the_snapshot_are_dropped() -> None:
    book = book_after(SNAPSHOT, event("8 9 7", "99.5:100"), event("2 3 1", "99.5:100"))
    assert (book.state, book.num_resyncs) == (State.NOT_JOINED, 0)
    assert book.apply_event(event("9 11 9"))
    assert book.best_bid == Level(D("99.5"), D(3))


@pytest.mark.parametrize("frames", [(event("11 12 9"), SNAPSHOT), (SNAPSHOT, event("11 12 9"))])
def test_a_snapshot_from_before_the_first_event_asks_for_a_new_one_and_keeps_the_event(frames: Sequence[Frame]) -> None:
    book = book_after(*frames)
    assert (book.needs_snapshot, book.num_resyncs) == (True, 1)
    assert book.apply_snapshot(SNAPSHOT | {"lastUpdateId": 11})
    assert (book.last_update_id, book.num_resyncs) == (12, 1)


@pytest.mark.parametrize("ids", ["15 16 13", "13 16 11", "8 12 7"])
def test_an_event_whose_pu_is_not_the_last_u_asks_for_a_new_snapshot(ids: str) -> None:
    book = book_after(*JOINED)
    assert not book.apply_event(event(ids))
    assert (book.needs_snapshot, book.num_resyncs) == (True, 1)


def test_ids_need_not_follow_on_each_other_as_long_as_pu_does() -> None:
    book = book_after(*JOINED, event("9001 9005 12"), event("9006 9006 9005"))
    assert (book.last_update_id, book.num_resyncs) == (9006, 0)


def test_after_a_gap_the_book_is_that_of_the_new_snapshot() -> None:
    book = book_after(*JOINED, event("20 25 19", "99.5:9"), event("26 27 25", "98:1"))
    assert book.apply_snapshot({"lastUpdateId": 22, "bids": [["97", "1"]], "asks": [["103", "5"]]})
    assert book.bids() == levels("99.5:9 98:1 97:1")
    assert book.asks() == levels("103:5")
    assert book.num_resyncs == 1


def test_a_gap_among_buffered_events_leaves_those_after_it() -> None:
    book = book_after(event("8 12 7"), event("20 25 19"), event("26 27 25"))
    assert not book.apply_snapshot(SNAPSHOT)  # it joins 8 to 12, after which the gap comes
    assert book.num_resyncs == 1
    assert book.apply_snapshot(SNAPSHOT | {"lastUpdateId": 25})
    assert book.last_update_id == 27


def test_the_buffer_is_bounded_and_forgets_the_oldest_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_book, "_MAX_BUFFERED", 2)
    book = book_after(event("8 12 7"), event("14 15 12"), event("16 18 15"))
    assert not book.apply_snapshot(SNAPSHOT)
    assert book.apply_snapshot(SNAPSHOT | {"lastUpdateId": 14})
    assert book.last_update_id == 18


def test_amounts_replace_each_other_and_zero_removes() -> None:
    book = book_after(*JOINED, event("13 14 12", "99.5:0.000 99.25:1", "100.5:8 100.50:9 101:1"))
    assert book.bids() == levels("99.25:1 99.0:7")
    assert book.asks() == levels("100.5:9 101:1")


def test_the_removal_of_an_unknown_level_is_normal() -> None:
    book = book_after(*JOINED, event("13 14 12", "42:0", "420:0"))
    assert book.is_in_sync
    assert (book.bids(), book.asks()) == (levels("99.5:4 99.0:7"), levels("100.5:2"))


def test_a_snapshot_that_is_not_needed_is_left_aside() -> None:
    other = {"lastUpdateId": 12, "bids": [], "asks": []}
    assert book_after(*JOINED, other).best_bid == Level(D("99.5"), D(4))
    book = book_after(SNAPSHOT, other, event("9 11 8"))
    assert (book.last_update_id, book.best_bid) == (11, Level(D("99.5"), D(3)))


def test_starting_over_forgets_book_and_buffer_and_counts_once() -> None:
    book = book_after(*JOINED)
    for _ in range(2):
        book.start_over("the connection was lost")
        assert (book.state, book.num_resyncs) == (State.NO_SNAPSHOT, 1)
    book.apply_event(event("13 14 12"))
    book.start_over("the connection was lost")
    assert not book.apply_snapshot(SNAPSHOT | {"lastUpdateId": 13})  # the event that spans it is forgotten
    assert book.apply_event(event("13 15 14"))


# ---- What can be read


def test_depth_limits_the_levels_and_mid_price_is_halfway() -> None:
    book = book_after(*JOINED, event("13 14 12", "", "100.9:1 100.7:1"))
    assert (book.bids(1), book.asks(2)) == (levels("99.5:4"), levels("100.5:2 100.7:1"))
    assert (book.bids(0), len(book.asks(99))) == ([], 3)
    assert book.mid_price == D("100.00")  # (99.5 + 100.5) / 2


def test_an_empty_side_has_no_best_level_and_no_mid_price() -> None:
    book = book_after(*JOINED, event("13 14 12", "", "100.5:0"))
    assert (book.best_ask, book.mid_price, book.asks()) == (None, None, [])
    assert book.best_bid == Level(D("99.5"), D(4))
    assert book.is_touch_covered  # the snapshot held fewer levels than asked for, hence all


@pytest.mark.parametrize("frames", [(), JOINED[:1], JOINED[1:], (*JOINED, event("20 25 19"))])
def test_a_book_out_of_sync_cannot_be_read(frames: Sequence[Frame]) -> None:
    book = book_after(*frames)
    for name in ("best_bid", "best_ask", "mid_price", "last_update_id", "covered_prices", "is_touch_covered"):
        with pytest.raises(DataError, match="must be in sync to be read"):
            getattr(book, name)
    for read in (book.bids, book.asks):
        with pytest.raises(DataError, match="must be in sync to be read"):
            read(1)


def test_a_full_snapshot_covers_prices_up_to_its_outermost_levels() -> None:
    book = OrderBook("BTCUSDT", snapshot_limit=2)
    book.apply_snapshot(SNAPSHOT)  # two bids, as many as asked for, and one ask
    book.apply_event(event("8 12 7", "42:1"))
    assert book.covered_prices == (D("99.0"), D("Infinity"))
    assert book.is_touch_covered
    book.apply_event(event("13 14 12", "99.5:0 99.0:0"))
    assert not book.is_touch_covered  # the bids between 42 and 99 are not known
    book.apply_event(event("15 16 14", "99.0:1"))
    assert book.is_touch_covered
    book = OrderBook("BTCUSDT", snapshot_limit=2)
    book.apply_snapshot({"lastUpdateId": 10, "bids": [], "asks": [["100.5", "2"], ["101", "1"]]})
    assert book.apply_event(event("8 12 7"))
    assert book.covered_prices == (0, 101)
    book.apply_event(event("13 14 12", "", "100.5:0 101:1"))
    assert book.is_touch_covered
    book.apply_event(event("15 16 14", "", "101:0 120:1"))
    assert not book.is_touch_covered


# ---- Forms of frames, and nonsense


@pytest.mark.parametrize("stream", ["btcusdt@depth", "btcusdt@depth@100ms", "btcusdt@depth@0ms"])
def test_wrapped_and_raw_events_of_any_year_are_alike(stream: str) -> None:
    of_2026 = event("13 14 12", "99.6:1") | {"ps": "BTCUSDT", "st": 1, "new": {"field": [None]}}
    for frame in (of_2026, wrapped(of_2026, stream), wrapped(event("13 14 12", "99.6:1"), stream)):
        assert book_after(*JOINED, frame).best_bid == Level(D("99.6"), D(1))


def test_the_documented_samples_are_read(recorded_data: Path) -> None:
    samples = json.loads((recorded_data / "reference" / "documented_samples.json").read_text())
    book = OrderBook("BNBUSDT")
    book.apply_event(samples["market_streams"]["<symbol>@depth@<updateSpeed>"]["payload"])
    assert book.apply_snapshot({"lastUpdateId": 158, "bids": [], "asks": []})
    assert (book.bids(), book.asks(), book.last_update_id) == (levels("0.0024:10"), levels("0.0026:100"), 160)
    book = OrderBook("BTCUSDT")
    book.apply_snapshot(samples["rest"]["GET /fapi/v1/depth"])
    assert book.apply_event(event("1027024 1027024 1027000"))
    assert (book.bids(), book.asks()) == (levels("4:431"), levels("4.000002:12"))


GOOD = event("13 14 12", "99.6:1")
BAD_LEVELS: list[Any] = [
    ["99.6", "-1"],
    ["99.6"],
    ["0", "1"],
    ["-5", "1"],
    ["x", "1"],
    ["99.6", ""],
    ["NaN", "1"],
    ["99.6", "NaN"],
    ["Infinity", "1"],
    ["99.6", "Infinity"],
    [99.6, "1"],
    ["99.6", 1],
    "99",
    None,
    {},
]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({name: value for name, value in GOOD.items() if name != missing}, f"{missing}.* of a depth event of BTCUSDT")
        for missing in ("e", "s", "U", "u", "pu", "b", "a")
    ]
    + [
        (GOOD | {"s": "ETHUSDT"}, "must be depthUpdate and BTCUSDT and is .'depthUpdate', 'ETHUSDT'."),
        (GOOD | {"e": "trade"}, "must be depthUpdate and BTCUSDT and is .'trade', 'BTCUSDT'."),
        (GOOD | {"U": 15}, "U of .* must be at most its u, 14, and is 15"),
        (GOOD | {"u": "14"}, "u of .* must be of type int and is '14'"),
        (GOOD | {"pu": True}, "pu of .* must be of type int and is True"),
        (GOOD | {"a": None}, "a of .* must be of type list and is None"),
        (wrapped(GOOD, "btcusdt@depth20@100ms"), "stream of .* must be btcusdt@depth or .* is 'btcusdt@depth20@100ms'"),
        (wrapped(GOOD, "ethusdt@depth"), "stream of .* is 'ethusdt@depth'"),
        ({"stream": None, "data": GOOD}, "stream of .* is None"),
        ({"stream": "btcusdt@depth", "data": []}, "data of .* must be an object and is \\[\\]"),
        ({"stream": "btcusdt@depth"}, "data of .* must be an object and is None"),
    ]
    + [
        (GOOD | {"b": [level]}, "each level of b of .* must be the texts of a price above 0 and an amount of 0 or more")
        for level in BAD_LEVELS
    ],
)
def test_a_frame_that_is_no_event_of_the_symbol_is_refused_and_changes_nothing(frame: Frame, message: str) -> None:
    book = book_after(*JOINED)
    with pytest.raises(DataError, match=f"{message}.*; check"):
        book.apply_event(frame)
    assert (book.last_update_id, book.bids()) == (12, levels("99.5:4 99.0:7"))
    assert book.apply_event(GOOD)


@pytest.mark.parametrize(
    "change",
    [{"lastUpdateId": "10"}, {"lastUpdateId": None}, {"bids": None}, {"asks": {}}, {"asks": [["100.5", "-2"]]}],
)
def test_an_answer_that_is_no_snapshot_is_refused_and_changes_nothing(change: Frame) -> None:
    book = book_after(JOINED[0])
    with pytest.raises(DataError, match=r"of the order book snapshot of BTCUSDT must be .*; check"):
        book.apply_snapshot(SNAPSHOT | change)
    assert book.needs_snapshot
    assert book.apply_snapshot(SNAPSHOT)


@pytest.mark.parametrize("crossing", [event("13 14 12", "100.5:1"), event("13 14 12", "", "99.4:1")])
def test_a_crossed_book_is_refused_and_starts_over(crossing: Frame) -> None:
    book = book_after(*JOINED)
    with pytest.raises(DataError, match=r"after event 14 every bid of BTCUSDT must lie below every ask.*; apply a new"):
        book.apply_event(crossing)
    assert (book.needs_snapshot, book.num_resyncs) == (True, 1)
    with pytest.raises(DataError, match=r"after snapshot 10 .* 99\.5 is bid and 99 asked"):
        book.apply_snapshot(SNAPSHOT | {"asks": [["99", "1"]]})
    assert book.needs_snapshot


def test_the_module_imports_neither_numba_nor_pandas_nor_torch() -> None:
    code = "import sys, rl_trader.order_book as _; print({'numba', 'pandas', 'torch', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


# ---- Random markets

PRICES = {"b": [D(price) / 10 for price in range(991, 998)], "a": [D(price) / 10 for price in range(1003, 1010)]}
changes = st.tuples(st.sampled_from("ba"), st.integers(0, 6), st.integers(0, 2), st.integers(1, 3))
FATES = ["delivered", "delivered", "delivered", "delivered twice", "lost", "held up"]


class Truth(NamedTuple):
    """The exchange's book after one update."""

    b: dict[Decimal, Decimal]
    a: dict[Decimal, Decimal]

    def snapshot(self, last_id: int, limit: int) -> Frame:
        """Return its best levels as the exchange answers."""
        sides = (sorted(self.b.items(), reverse=True), sorted(self.a.items()))
        bids, asks = ([[str(price), str(amount)] for price, amount in side[:limit]] for side in sides)
        return {"lastUpdateId": last_id, "bids": bids, "asks": asks}


class RandomMarket(RuleBasedStateMachine):
    """A book whose levels change one at a time, told to a client by events that may get lost, late or doubled.

    Ids grow by 1 to 3 with each change, so that ``U`` rarely follows on the previous ``u``; a snapshot may carry any
    id from its last change on, as other symbols use ids as well.
    """

    @initialize(limit=st.sampled_from([2, 1000]), known=st.lists(changes, max_size=10))
    def open_market(self, limit: int, known: list[tuple[str, int, int, int]]) -> None:
        """Start with a few levels that the client is not told of."""
        self.limit = limit
        self.client = OrderBook("BTCUSDT", snapshot_limit=limit)
        self.now, self.last_u = 1, 1
        self.truth = Truth({}, {})
        self.pending: list[int] = []  # ids of the changes that no event told yet
        self.touched: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
        self.taken: list[Frame] = []
        self.held_up: list[int] = []
        self.history = {1: self.truth}
        self.published: list[Frame] = []
        self.last_delivered = -1  # number of an event among those published
        for one in known:
            self.change(one)

    @rule(one=changes)
    def change(self, one: tuple[str, int, int, int]) -> None:
        """Change the amount of one level, perhaps to 0 and perhaps to what it was."""
        side, index, amount, step = one
        price = PRICES[side][index]
        changed = {**getattr(self.truth, side), price: D(amount)}
        self.truth = self.truth._replace(**{side: {key: value for key, value in changed.items() if value}})
        self.touched[side][price] = D(amount)
        self.now += step
        self.pending.append(self.now)

    @precondition(lambda self: self.pending)
    @rule(fate=st.sampled_from(FATES), is_wrapped=st.booleans())
    def publish(self, fate: str, is_wrapped: bool) -> None:
        """Tell the changes since the last event in one event, which may go astray."""
        frame = event(f"{self.pending[0]} {self.now} {self.last_u}")
        frame |= {side: [[str(price), str(amount)] for price, amount in self.touched[side].items()] for side in "ba"}
        self.history[self.now] = self.truth
        self.last_u, self.pending, self.touched = self.now, [], {"b": {}, "a": {}}
        self.published.append(wrapped(frame) if is_wrapped else frame)
        number = len(self.published) - 1
        self.held_up += [number] * (fate == "held up")
        for _ in range({"delivered": 1, "delivered twice": 2}.get(fate, 0)):
            self.deliver(number)

    @precondition(lambda self: self.held_up)
    @rule()
    def deliver_what_was_held_up(self) -> None:
        """Deliver an old event, perhaps after newer ones."""
        self.deliver(self.held_up.pop(0))

    @rule(later=st.integers(0, 2))
    def take_snapshot(self, later: int) -> None:
        """Take a snapshot, with the id of now or of a little later."""
        self.taken.append(self.truth.snapshot(self.now, self.limit))
        self.now += later
        self.taken[-1]["lastUpdateId"] = self.now

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def answer_with_a_snapshot(self, data: st.DataObject) -> None:
        """Deliver any snapshot taken so far, however old."""
        self.client.apply_snapshot(data.draw(st.sampled_from(self.taken)))

    @rule()
    def lose_the_connection(self) -> None:
        """Start the client over."""
        self.client.start_over("the connection was lost")

    def deliver(self, number: int) -> None:
        """Deliver an event; a client in sync stays so if, and only if, it is the one published next."""
        was_in_sync, is_next = self.client.is_in_sync, number == self.last_delivered + 1
        self.last_delivered = number
        is_in_sync = self.client.apply_event(self.published[number])
        assert is_in_sync == self.client.is_in_sync
        if was_in_sync:
            assert is_in_sync == is_next

    @invariant()
    def a_book_in_sync_is_the_true_one(self) -> None:
        """Compare with the truth after the last event, as far as the snapshot covers it."""
        if not self.client.is_in_sync:
            return
        frame = self.published[self.last_delivered]
        last_id = frame.get("data", frame)["u"]
        assert self.client.last_update_id == last_id
        truth = self.history[last_id]
        bids, asks = dict(self.client.bids()), dict(self.client.asks())
        assert bids.items() <= truth.b.items()
        assert asks.items() <= truth.a.items()
        lowest, highest = self.client.covered_prices
        assert {price for price in truth.b if price >= lowest} <= set(bids)
        assert {price for price in truth.a if price <= highest} <= set(asks)
        if self.client.is_touch_covered:
            assert self.client.best_bid == max(truth.b.items(), default=None)
            assert self.client.best_ask == min(truth.a.items(), default=None)
        if self.limit == 1000:
            assert (bids, asks) == truth

    def teardown(self) -> None:
        """Join a fresh snapshot, taken between two changes of one event."""
        self.change(("b", 0, 1, 1))
        snapshot = self.truth.snapshot(self.now, self.limit)
        self.change(("a", 0, 1, 1))
        self.publish("delivered", is_wrapped=False)
        assert self.client.apply_snapshot(snapshot)
        self.a_book_in_sync_is_the_true_one()


RandomMarket.TestCase.settings = settings(stateful_step_count=40)
test_in_a_random_market_a_book_in_sync_is_the_true_one_and_losses_are_noticed = RandomMarket.TestCase


# ---- A recorded market


class Recording(NamedTuple):
    """About 344 s of BTCUSDT on 2024-08-08."""

    snapshot: Frame
    place: int  # number of depth events recorded before the snapshot
    events: list[Frame]  # as received, in the wrapping of a combined stream
    tickers: list[Frame]  # best bid and ask after every change of them, by update id


@pytest.fixture(scope="module")
def recording(recorded_data: Path) -> Recording:
    path = recorded_data / "websocket_raw" / "btcusdt_20240808.jsonl.gz"
    with gzip.open(path, "rt") as file:
        frames = [json.loads(line.partition(" ")[2]) for line in file if "@trade" not in line]
    snapshots = [k for k, frame in enumerate(frames) if "lastUpdateId" in frame]
    assert len(snapshots) == 1
    place = sum("@depth" in frame["stream"] for frame in frames[: snapshots[0]])
    snapshot = frames.pop(snapshots[0])
    events = [frame for frame in frames if "@depth" in frame["stream"]]
    tickers = [frame["data"] for frame in frames if "@bookTicker" in frame["stream"]]
    assert (len(events), len(tickers), place) == (6551, 66089, 6)
    return Recording(snapshot, place, events, tickers)


def replayed(recording: Recording, place: int) -> Iterator[tuple[Frame, OrderBook]]:
    """Yield each recorded event and the book after it, in sync or not; the snapshot comes after ``place`` events."""
    book = OrderBook("BTCUSDT")
    for k, frame in enumerate(recording.events):
        if k == place:
            book.apply_snapshot(recording.snapshot)
        book.apply_event(frame)
        yield frame["data"], book


def best(ticker: Frame) -> tuple[Level, Level]:
    return Level(D(ticker["b"]), D(ticker["B"])), Level(D(ticker["a"]), D(ticker["A"]))


def test_the_recorded_touch_is_that_of_the_last_book_ticker_up_to_each_event(recording: Recording) -> None:
    ids = [ticker["u"] for ticker in recording.tickers]
    assert ids == sorted(set(ids))
    num_compared = num_same_id = num_uncovered = 0
    for data, book in replayed(recording, recording.place):
        if not book.is_in_sync:
            continue
        ticker = recording.tickers[bisect_right(ids, data["u"]) - 1]
        assert (book.best_bid, book.best_ask) == best(ticker), data["u"]
        num_compared += 1
        num_same_id += ticker["u"] == data["u"]
        num_uncovered += not book.is_touch_covered
    # 6 of the 6551 events came before the snapshot. Between 23:57:52 and 23:59:22 the best bid lay below the 1000 bids
    # of the snapshot after 722 events; as it had changed since, it was known nevertheless.
    assert (num_compared, num_same_id, num_uncovered) == (6545, 629, 722)


@pytest.mark.parametrize("place", [0, 6, 3000])
def test_the_recorded_chain_has_no_break_whenever_the_snapshot_arrives(recording: Recording, place: int) -> None:
    for _, book in replayed(recording, place):
        last = book
    assert (last.is_in_sync, last.num_resyncs, last.last_update_id) == (True, 0, recording.events[-1]["data"]["u"])
    sides: dict[str, dict[str, str]] = {"b": dict(recording.snapshot["bids"]), "a": dict(recording.snapshot["asks"])}
    for frame in recording.events:
        if frame["data"]["u"] >= recording.snapshot["lastUpdateId"]:
            for side, known in sides.items():
                known.update(frame["data"][side])
    left = {side: {D(p): D(amount) for p, amount in known.items() if D(amount)} for side, known in sides.items()}
    assert (dict(last.bids()), dict(last.asks())) == (left["b"], left["a"])
    assert [level.price for level in last.bids()] == sorted(left["b"], reverse=True)
    assert [level.price for level in last.asks()] == sorted(left["a"])


def test_any_recorded_event_that_is_lost_is_noticed_at_the_next(recording: Recording) -> None:
    num_lost = 0
    for before, after in zip(recording.events, recording.events[2:], strict=False):  # the one between is lost
        book = book_after({"lastUpdateId": before["data"]["u"], "bids": [], "asks": []}, before)
        assert book.is_in_sync
        assert not book.apply_event(after)
        assert book.num_resyncs == 1
        num_lost += 1
    assert num_lost == 6549


# ---- A server on loopback

FIRST, SECOND = event("8 12 7", "99.5:4"), event("14 15 12", "99.6:1")
AFTER_GAP = event("20 25 19", "99.7:1")
NEW_SNAPSHOT = {"lastUpdateId": 22, "bids": [["97", "1"]], "asks": [["103", "5"]]}
CLOSE, DROP = object(), object()
BACKOFF_S = 0.05
PAUSE = 2 * BACKOFF_S  # after it a further snapshot may be asked for


class Sight(NamedTuple):
    """What is seen of a book that was yielded."""

    last_id: int
    bid: str
    ask: str
    num_resyncs: int

    @classmethod
    def of(cls, book: OrderBook) -> "Sight":
        """Look at a book."""
        assert book.best_bid is not None
        assert book.best_ask is not None
        return cls(book.last_update_id, str(book.best_bid.price), str(book.best_ask.price), book.num_resyncs)


class Server:
    """Each connection to the stream plays the next script, each request for a snapshot gets the next answer.

    A script holds events, texts and bytes to send, seconds to wait, CLOSE and DROP; once played, the connection stays
    open. The last answer is given again and again. A whole number is a status, in place of a script as of an answer;
    an answer of seconds does not come for so long.
    """

    def __init__(self, scripts: Sequence[Sequence[Any] | int], answers: Sequence[Frame | float]) -> None:
        self.scripts, self.answers = list(scripts), list(answers)
        self.queries: list[str] = []
        self.connected_s: list[float] = []
        self.asked_s: list[float] = []
        self.num_open = 0
        self.answer_delay_s = 0.0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Play the next script."""
        self.queries.append(request.query_string)
        self.connected_s.append(asyncio.get_running_loop().time())
        script = self.scripts.pop(0)
        if isinstance(script, int):
            return web.Response(status=script)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.num_open += 1
        for item in script:
            await self.play(item, socket, request)
        await socket.receive()  # until the client leaves
        self.num_open -= 1
        return socket

    async def play(self, item: Any, socket: web.WebSocketResponse, request: web.Request) -> None:
        """Play one item of a script."""
        if item is CLOSE:
            await socket.close()
        elif item is DROP:
            assert request.transport is not None
            request.transport.abort()
        elif isinstance(item, float):
            await asyncio.sleep(item)
        elif isinstance(item, bytes):
            await socket.send_bytes(item)
        else:
            await socket.send_str(item if isinstance(item, str) else json.dumps(wrapped(item)))

    async def snapshot(self, request: web.Request) -> web.Response:
        """Give the next answer."""
        self.queries.append(request.query_string)
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.answer_delay_s)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
        if not isinstance(answer, dict):
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=int(answer))
        return web.json_response(answer)

    async def follow(
        self, num_books: int, path: str = "/", act: Callable[[OrderBook], None] = lambda _: None
    ) -> list[Sight]:
        """Follow the book until it was yielded so often, acting on it each time; return what was seen before."""
        app = web.Application()
        app.add_routes([web.get("/public/stream", self.stream), web.get("/fapi/v1/depth", self.snapshot)])
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            async with asyncio.timeout(20), aiohttp.ClientSession() as session:
                addresses = f"http://{host}:{port}/", f"ws://{host}:{port}{path}"
                sights: list[Sight] = []
                async with aclosing(follow_order_book("BTCUSDT", *addresses, session, backoff_s=BACKOFF_S)) as books:
                    while len(sights) < num_books:
                        book = await anext(books)
                        sights.append(Sight.of(book))
                        act(book)
                return sights
        finally:
            await runner.cleanup()


def test_the_book_is_yielded_after_every_event_applied() -> None:
    server = Server([[FIRST, PAUSE, SECOND, event("16 18 15", "", "100.4:1")]], [SNAPSHOT])
    assert asyncio.run(server.follow(3)) == [
        Sight(12, "99.5", "100.5", 0),
        Sight(15, "99.6", "100.5", 0),
        Sight(18, "99.6", "100.4", 0),
    ]
    assert server.queries == ["streams=btcusdt@depth", "symbol=BTCUSDT&limit=1000"]
    assert server.num_open == 0


def test_events_that_arrive_during_the_request_are_applied_to_the_snapshot() -> None:
    server = Server([[event("3 7 2", "99.9:1"), FIRST, SECOND]], [SNAPSHOT])
    server.answer_delay_s = 0.1
    assert asyncio.run(server.follow(2)) == [Sight(12, "99.5", "100.5", 0), Sight(15, "99.6", "100.5", 0)]


def test_after_a_gap_a_new_snapshot_is_fetched() -> None:
    server = Server([[FIRST, PAUSE, AFTER_GAP, event("26 27 25", "99.8:1")]], [SNAPSHOT, NEW_SNAPSHOT])
    assert asyncio.run(server.follow(3)) == [
        Sight(12, "99.5", "100.5", 0),
        Sight(25, "99.7", "103", 1),
        Sight(27, "99.8", "103", 1),
    ]


@pytest.mark.parametrize("end", [DROP, CLOSE, b"bytes"])
def test_after_a_lost_connection_the_book_comes_from_a_new_one(end: Any) -> None:
    follows_on_the_lost_one = event("20 25 15", "99.7:1")
    server = Server([[FIRST, SECOND, PAUSE, end], [follows_on_the_lost_one]], [SNAPSHOT, NEW_SNAPSHOT])
    assert asyncio.run(server.follow(3)) == [
        Sight(12, "99.5", "100.5", 0),
        Sight(15, "99.6", "100.5", 0),
        Sight(25, "99.7", "103", 1),
    ]
    assert len(server.connected_s) == 2


def test_a_connection_that_answers_no_ping_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_book, "HEARTBEAT_S", 0.1)
    server = Server([[FIRST, 1.0], [AFTER_GAP]], [SNAPSHOT, NEW_SNAPSHOT])  # while it waits it does not listen
    assert [sight.last_id for sight in asyncio.run(server.follow(2))] == [12, 25]
    assert server.connected_s[1] - server.connected_s[0] < 1.0


def test_a_snapshot_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_book, "SNAPSHOT_TIMEOUT_S", 0.1)
    server = Server([[FIRST], [FIRST]], [30.0, SNAPSHOT])
    assert asyncio.run(server.follow(1)) == [Sight(12, "99.5", "100.5", 0)]
    assert len(server.connected_s) == 2


def test_whoever_follows_may_start_the_book_over() -> None:
    server = Server([[FIRST, PAUSE, AFTER_GAP]], [SNAPSHOT, NEW_SNAPSHOT])
    sights = asyncio.run(server.follow(2, act=lambda book: book.start_over("the touch is not covered")))
    assert sights == [Sight(12, "99.5", "100.5", 0), Sight(25, "99.7", "103", 1)]
    assert len(server.connected_s) == 1


def test_snapshots_are_not_asked_for_in_quick_succession() -> None:
    # The answers are too old for the first event until the fifth; events come much faster than snapshots may.
    events = [event(f"{k + 10} {k + 11} {k + 9}") for k in range(1, 399, 2)]
    too_old = {"lastUpdateId": 5, "bids": [], "asks": []}
    script = [item for one in events for item in (one, 0.005)]
    server = Server([script], [too_old] * 4 + [SNAPSHOT | {"lastUpdateId": 12}])
    (sight,) = asyncio.run(server.follow(1))
    assert sight.num_resyncs == 4
    gaps = [after - before for before, after in pairwise(server.asked_s)]
    assert len(gaps) == 4
    assert min(gaps) > 0.8 * BACKOFF_S  # the request's own way may take a little longer or shorter


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return what is asked of ``asyncio.sleep`` during the test, which sleeps as ever."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def noted(delay: float) -> None:
        if delay > 0.0:  # aiohttp gives way with 0
            asked.append(delay)
        await sleep(delay)

    monkeypatch.setattr(asyncio, "sleep", noted)
    return asked


def test_failures_in_turn_double_the_wait_until_a_book_is_yielded(
    monkeypatch: pytest.MonkeyPatch, slept_s: list[float]
) -> None:
    monkeypatch.setattr(order_book, "RATE_LIMIT_PAUSE_S", 0.3)
    scripts: list[Any] = [503, 503, 429, [FIRST], [FIRST, PAUSE, DROP], [AFTER_GAP]]
    server = Server(scripts, [408, SNAPSHOT, NEW_SNAPSHOT])
    assert [sight.last_id for sight in asyncio.run(server.follow(2))] == [12, 25]
    waits = [after - before for before, after in pairwise(server.connected_s)]
    # 0.05 and 0.1 s; not 0.2 but 0.3 s after a rate limit; 0.6 s after the refused snapshot; not 1.2 but 0.05 s, after
    # the pause of 0.1 s, once a book has been yielded.
    assert all(wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.3, 0.6, 0.15), strict=True)), waits
    assert slept_s[-1] == BACKOFF_S


def test_the_wait_is_bounded(monkeypatch: pytest.MonkeyPatch, slept_s: list[float]) -> None:
    monkeypatch.setattr(order_book, "MAX_BACKOFF_S", 0.1)
    server = Server([*[503] * 7, [FIRST]], [SNAPSHOT])
    asyncio.run(server.follow(1))
    assert slept_s == [0.05, *[0.1] * 6]


@pytest.mark.parametrize(
    ("script", "answer", "path", "message"),
    [
        ([FIRST], 400, "/", "-1121.*Invalid symbol.*; check the symbol and the addresses"),
        ([FIRST], 418, "/", "418"),
        (403, SNAPSHOT, "/", "403"),
        ([FIRST], SNAPSHOT, "/no/such/path", "404"),
        ([FIRST], SNAPSHOT, ":no-port", "check the symbol and the addresses"),
    ],
)
def test_what_the_exchange_refuses_for_good_is_not_asked_for_again(
    script: list[Any] | int, answer: Frame | int, path: str, message: str
) -> None:
    server = Server([script], [answer])
    with pytest.raises(DownloadError, match=message):
        asyncio.run(server.follow(1, path))
    assert len(server.connected_s) <= 1
    assert len(server.asked_s) <= 1


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([event("8 12 7") | {"s": "ETHUSDT"}], "must be depthUpdate and BTCUSDT"),
        (["no JSON"], "must send a JSON object and sent 'no JSON'"),
        (["[1]"], r"must send a JSON object and sent '\[1\]'"),
        ([FIRST, event("13 14 12", "100.5:1")], "every bid of BTCUSDT must lie below every ask"),
    ],
)
def test_nonsense_from_the_stream_ends_the_iteration(script: list[Any], message: str) -> None:
    server = Server([script], [SNAPSHOT])
    with pytest.raises(DataError, match=message):
        asyncio.run(server.follow(2))
