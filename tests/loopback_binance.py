"""A small HTTP server on loopback that answers like Binance's archive and REST interface, for tests.

The numbers are made up; the forms follow recorded answers.
"""

import hashlib
import io
import json
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

HOUR = 3_600_000
DAY = 24 * HOUR
STEP = 8 * HOUR
JAN, FEB, MAR = 1_704_067_200_000, 1_706_745_600_000, 1_709_251_200_000  # the first days of these months of 2024
KINDS = ("klines", "markPriceKlines", "premiumIndexKlines")
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate\n"
INVALID_SYMBOL = (400, {"code": -1121, "msg": "Invalid symbol."})

Row = list[Any]


def kline(open_time: int, interval_ms: int) -> Row:
    """Return the row of one bar, its numbers derived from its time so that every source agrees."""
    k = open_time // interval_ms % 89
    low, high = f"{100 + k / 7:.8f}", f"{120 + k / 7:.8f}"
    close_time = open_time + interval_ms - 1
    volume = ["12.345", close_time, f"{1300 + k / 3:.5f}", 40 + k, "6.789", "700.10000", "0"]
    return [open_time, f"{110 + k / 7:.8f}", high, low, f"{111 + k / 7:.8f}", *volume]


def klines(since: int, until: int, interval_ms: int) -> list[Row]:
    """Return the rows of all bars that open in ``[since, until)``."""
    return [kline(t, interval_ms) for t in range(since, until, interval_ms)]


def csv(rows: Iterable[Row], header: str = "") -> str:
    """Return rows as the text of an archive file."""
    return header + "".join(",".join(map(str, row)) + "\n" for row in rows)


def zipped(name: str, text: str) -> bytes:
    """Return a zip of one CSV."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name.replace(".zip", ".csv"), text)
    return buffer.getvalue()


class LoopbackBinance:
    """The server; a context manager. Its address is ``url``.

    Attributes:
        answers: Path -> the answers to it in turn, the last one again and again: status and content.
        rest: Endpoint name -> symbol -> rows; a symbol that is not listed gets -1121.
        requests: How often each path was asked for, without the query.
        delay_s: How long it takes to answer.
        stall_after: After so many zip files the server keeps its clients waiting.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.rest: dict[str, dict[str, list[Row]]] = {}
        self.entries: dict[str, dict[str, Any]] = {}
        self.brackets: dict[str, Any] = {}
        self.requests: Counter[str] = Counter()
        self.signed: list[str] = []
        self.stall_after: int | None = None
        self.delay_s = 0.0
        self.num_zips = 0
        self.num_busy = 0
        self.most_busy = 0
        self.lock = threading.Lock()
        self.released = threading.Event()

    def __enter__(self) -> "LoopbackBinance":
        """Start to answer."""
        binance = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                binance.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and let go of clients that were kept waiting."""
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def url(self) -> str:
        """Return the address, of the archive as of the REST interface."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def add_file(self, folder: str, name: str, text: str) -> str:
        """Put a CSV into the archive with its checksum, and return the path of its zip."""
        path = f"/data/futures/um/{folder}/{name}"
        content = zipped(name, text)
        self.answers[path] = [(200, content)]
        self.answers[f"{path}.CHECKSUM"] = [(200, checksum_line(content, name))]
        return path

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        split = urlsplit(handler.path)
        with self.lock:
            self.requests[split.path] += 1
            self.num_busy += 1
            self.most_busy = max(self.most_busy, self.num_busy)
        time.sleep(self.delay_s)
        status, content = self._reply(split.path, split.query)
        with self.lock:
            self.num_busy -= 1
        try:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        except OSError:
            handler.close_connection = True  # the client was killed

    def _reply(self, path: str, query: str) -> tuple[int, bytes]:
        if path.startswith("/fapi/"):
            status, answer = self._rest_answer(path.rpartition("/")[2], query)
            return status, json.dumps(answer).encode()
        with self.lock:
            queue = self.answers.get(path, [(404, b"NoSuchKey")])
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            if path.endswith(".zip") and answer[0] == 200:
                self.num_zips += 1
            is_stalled = self.stall_after is not None and self.num_zips > self.stall_after
        if is_stalled:
            self.released.wait()
        return answer

    def _rest_answer(self, endpoint: str, query: str) -> tuple[int, Any]:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if "signature" in asked:
            self.signed.append(endpoint)
        if endpoint == "leverageBracket" and not self.brackets:
            return 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
        plain = {
            "ping": {},
            "time": {"serverTime": int(time.time() * 1000)},
            "exchangeInfo": {"timezone": "UTC", "symbols": list(self.entries.values())},
            "fundingInfo": [
                {
                    "symbol": "BTCUSDT",
                    "adjustedFundingRateCap": "0.00300",
                    "adjustedFundingRateFloor": "-0.00300",
                    "fundingIntervalHours": 8,
                }
            ],
            "leverageBracket": [self.brackets],
            "commissionRate": {
                "symbol": asked.get("symbol"),
                "makerCommissionRate": "0.00021",
                "takerCommissionRate": "0.00043",
            },
        }
        if endpoint in plain:
            return 200, plain[endpoint]
        rows = self.rest.get(endpoint, {}).get(asked["symbol"])
        if rows is None:
            return INVALID_SYMBOL
        since, until = int(asked["startTime"]), int(asked["endTime"])
        found = [row for row in rows if since <= time_of(row) <= until]
        return 200, found[: int(asked["limit"])]


def time_of(row: Any) -> int:
    """Return the time of a row of klines or of funding rates."""
    return int(row["fundingTime"] if isinstance(row, dict) else row[0])


def checksum_line(content: bytes, name: str) -> bytes:
    """Return what stands in the ``.CHECKSUM`` file of a file."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def add_month(server: LoopbackBinance, since: int, until: int, symbol: str = "BTCUSDT") -> None:
    """Put one month of all kinds into the archive: 8-hour bars and settlements in ``[since, until)``."""
    month = f"{pd.Timestamp(since, unit='ms'):%Y-%m}"
    for kind in KINDS:
        rows = klines(since, until, STEP)
        server.add_file(f"monthly/{kind}/{symbol}/8h", f"{symbol}-8h-{month}.zip", csv(rows, HEADER))
    # Real stamps lie some milliseconds after the hour.
    funding = [[t + 5, 8, "0.00010000"] for t in range(since, until, STEP)]
    name = f"{symbol}-fundingRate-{month}.zip"
    server.add_file(f"monthly/fundingRate/{symbol}", name, csv(funding, FUNDING_HEADER))


@contextmanager
def ready_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBinance]:
    """Run a server that knows BTCUSDT, whose archive is empty and whose REST has no rows; no key is set."""
    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with LoopbackBinance() as server:
        server.rest = {kind: {"BTCUSDT": []} for kind in (*KINDS, "fundingRate")}
        server.entries = {"BTCUSDT": {"symbol": "BTCUSDT", "liquidationFee": "0.012500", "filters": []}}
        yield server
