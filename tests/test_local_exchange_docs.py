"""The page on the local exchange, and the README's section: their tables agree with the code, their examples run."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agents.benchmark.lines import all_lines, choose
from rl_trader.local_exchange.assembly import ENDPOINTS, METHODS, Assembly, Setup, assemble_lock_step
from rl_trader.local_exchange.endpoints.control import CONTROL_ENDPOINTS
from rl_trader.local_exchange.endpoints.own_keys import OWN_KEYS_ENDPOINTS
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    Execution,
    ExpiryReason,
    OrderType,
    Prevention,
    PriceMatch,
    TimeInForce,
    UpdateReason,
    WorkingType,
)
from rl_trader.local_exchange.market.intervals import INTERVALS
from rl_trader.local_exchange.protocol.endpoint import Endpoint
from rl_trader.local_exchange.protocol.limits import FUNDING_BUDGET, LimitTerms
from rl_trader.local_exchange.protocol.request import Request
from rl_trader.local_exchange.refusal_texts import TEXTS
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.shells.memory_streams import Inbox, MemoryStreams
from rl_trader.local_exchange.shells.signed_client import SignedClient
from rl_trader.local_exchange.streams import names
from rl_trader.local_exchange.streams.connection import EXCHANGE_RULES
from rl_trader.local_exchange.streams.listen_keys import VALID_MS
from rl_trader.local_exchange.streams.names import Category, parse_stream

REPO = Path(__file__).parents[1]
PACKAGE = REPO / "rl_trader" / "local_exchange"
PAGE = (REPO / "docs" / "local-exchange.md").read_text()
README = (REPO / "README.md").read_text()
SECTION = README.partition("## Trade on a local exchange\n")[2].partition("\n## ")[0]
BOTH = PAGE + SECTION
MINUTE_MS = 60_000
DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef)
SESSION = ("session.logon", "session.status", "session.logout")


class Table(NamedTuple):
    """A table of the page."""

    section: str  # heading that it stands below
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def tables(page: str) -> Iterator[Table]:
    """Yield the tables of a page in its order."""
    section, lines = "", []
    for line in [*page.splitlines(), ""]:
        if line.startswith("|"):
            lines.append(line)
            continue
        if lines:
            yield Table(section, cells(lines[0]), tuple(map(cells, lines[2:])))
            lines = []
        if line.startswith("## "):
            section = line.removeprefix("## ")


def rows_of(section: str, head: str) -> list[tuple[str, ...]]:
    """Return the rows of the section's tables whose first column has a name."""
    found = [row for table in tables(PAGE) if (table.section, table.head[0]) == (section, head) for row in table.rows]
    assert found, (section, head)
    return found


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def listed(section: str, head: str) -> list[str]:
    """Return what the first column names, which is nothing twice."""
    found = [name for row in rows_of(section, head) for name in quoted(row[0])]
    assert len(set(found)) == len(found)
    return found


# ---- REST and the WebSocket API


def weight_text(endpoint: Endpoint) -> str:
    """Return a weight as the page writes it."""
    weight, parameters = endpoint.weight, {parameter.name: parameter for parameter in endpoint.parameters}
    if endpoint.budget:
        budget = LimitTerms().budgets[endpoint.budget]
        return f"{weight}; {budget.most} requests in {budget.per_ms // MINUTE_MS} minutes"
    if isinstance(weight, int):
        return str(weight)
    if "symbol" in parameters and not parameters["symbol"].is_required:
        return f"{weight({'symbol': 'BTCUSDT'})}; {weight({'symbol': None})} of all"
    limit = parameters["limit"]
    assert limit.most is not None
    limits = map(int, limit.choices) if limit.choices else range(limit.least or 1, limit.most + 1)
    return ", ".join(map(str, sorted({weight({"limit": each}) for each in limits}))) + " by limit"


def described(endpoint: Endpoint) -> tuple[str, str, str]:
    orders = "{} / {}".format(*endpoint.order_count) if any(endpoint.order_count) else ""
    return endpoint.security.value, weight_text(endpoint), orders


def test_every_endpoint_is_listed_with_what_it_needs_and_what_it_weighs() -> None:
    rows = {quoted(row[0])[0]: row[1:4] for row in rows_of("REST", "endpoint")}
    served = {f"{each.method} {each.path}": described(each) for each in (*ENDPOINTS, *CONTROL_ENDPOINTS)}
    assert listed("REST", "endpoint")
    assert rows == served


def test_every_method_of_the_websocket_api_is_listed_with_what_it_needs_and_what_it_weighs() -> None:
    rows = {quoted(row[0])[0]: row[1:4] for row in rows_of("WebSocket API", "method")}
    assert listed("WebSocket API", "method")
    assert {name: row for name, row in rows.items() if name not in SESSION} == {
        each.path: described(each) for each in METHODS
    }
    assembly = assemble_lock_step(Setup())
    connection, limits = assembly.ws_api.connect("a"), assembly.venue.limits
    for method in SESSION:
        before = limits.used_weight("a", assembly.venue.session_ms())
        answer = json.loads(assembly.ws_api.handle(json.dumps({"id": 1, "method": method}), connection))
        assert answer.get("error", {}).get("code") != -5000
        assert str(limits.used_weight("a", assembly.venue.session_ms()) - before) == rows[method][1]


def test_what_is_not_served_is_answered_as_an_unknown_path() -> None:
    dispatcher = assemble_lock_step(Setup()).dispatcher
    for name in listed("REST", "not served"):
        method, _, path = name.partition(" ")
        response = dispatcher.handle(Request(method, path, "", b"", {}))
        assert (response.status, json.loads(response.body).get("code")) == (404, -5000), name


def test_everything_that_the_exchange_documents_is_listed(recorded_data: Path) -> None:
    samples = json.loads((recorded_data / "reference" / "documented_samples.json").read_text())
    unserved = set(listed("REST", "not served"))
    assert unserved <= set(samples["rest"]) <= {*listed("REST", "endpoint"), *unserved}
    assert set(samples["websocket_api"]) <= set(listed("WebSocket API", "method"))
    events = {sample.get("payload", sample)["e"] for sample in samples["user_data_events"].values()}
    assert events <= set(listed("User data", "event"))
    streams = {*listed("Market streams", "stream"), *listed("Market streams", "not served")}
    for name in samples["market_streams"]:
        written = name.replace("<pair>_<contractType>", "<symbol>_perpetual").replace("@<updateSpeed>", "")
        assert written in streams, name


# ---- Streams and user data


def stream_names(pattern: str) -> Iterator[str]:
    """Yield the names that a row stands for."""
    for interval in INTERVALS if "<interval>" in pattern else ("",):
        for levels in ("5", "10", "20") if "<levels>" in pattern else ("",):
            yield pattern.replace("<symbol>", "btcusdt").replace("<interval>", interval).replace("<levels>", levels)


def parsed_streams() -> set[str]:
    """Return every name of a symbol, and of all of them, that means a stream."""
    topics = {*names._ONE_SYMBOL, *(f"kline_{interval}" for interval in INTERVALS)}
    topics |= {f"depth{levels}{rate}" for levels in ("", *names._BOOK_LEVELS) for rate in names._BOOK_RATES}
    continuous = {f"btcusdt_perpetual@continuousKline_{interval}" for interval in INTERVALS}
    return {*names._ALL_SYMBOLS, *continuous, *(f"btcusdt@{topic}" for topic in topics)}


def test_every_stream_is_listed_with_its_path_and_rate() -> None:
    rows = {}
    for pattern, path, rate_ms, _ in rows_of("Market streams", "stream"):
        for name in stream_names(quoted(pattern)[0]):
            assert name not in rows
            rows[name] = (Category(quoted(path)[0].removeprefix("/")), int(rate_ms))
    streams = {name: parse_stream(name) for name in parsed_streams()}
    assert None not in streams.values()
    assert rows == {name: (each.kind.category, each.rate_ms) for name, each in streams.items() if each}
    assert {each.kind for each in streams.values() if each} == set(names.Kind)
    for pattern in listed("Market streams", "not served"):
        assert [parse_stream(name) for name in stream_names(pattern)] == [None]


def user_events() -> list[dict[str, Any]]:
    """Return what an account is told that trades until it is liquidated and lets its listen key expire."""
    clock = [0]
    assembly = assemble_lock_step(Setup(balance=Decimal(5_000)), lambda: clock[0])
    inbox = _listen(assembly, clock)
    client = SignedClient(MemoryTransport(assembly.dispatcher), assembly.keys[0], lambda: clock[0])
    trailing = {"algoType": "CONDITIONAL", "type": "TRAILING_STOP_MARKET", "callbackRate": 5, "quantity": 1}
    client.call("POST", "/fapi/v1/algoOrder", symbol="EMBEDDED", side="SELL", **trailing)
    client.call("DELETE", "/fapi/v1/algoOpenOrders", symbol="EMBEDDED")
    client.call("POST", "/fapi/v1/leverage", symbol="EMBEDDED", leverage=20)
    client.call("POST", "/fapi/v1/order", symbol="EMBEDDED", side="SELL", type="MARKET", quantity=90)
    while client.call("GET", "/fapi/v3/positionRisk"):  # 94,000 USDT, so that 4 % are too much
        assert assembly.venue.to_next_open()
        clock[0] += MINUTE_MS // 60
    clock[0] += VALID_MS
    assembly.venue.tick()
    return [json.loads(text) for text in inbox.texts]


def _listen(assembly: Assembly, clock: list[int]) -> Inbox:
    key = assembly.venue.hub.listen_keys.start("main", clock[0])
    streams = MemoryStreams(assembly.venue.hub, assembly.venue.session_ms)
    return streams.connect(f"ws://127.0.0.1/private/ws/{key}").inbox


def test_an_account_is_told_the_events_that_are_listed() -> None:
    assert {event["e"] for event in user_events()} == set(listed("User data", "event"))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("ORDER_TRADE_UPDATE", [*Execution, *(str(reason.value) for reason in ExpiryReason)]),
        ("ACCOUNT_UPDATE", list(UpdateReason)),
        ("ALGO_UPDATE", list(AlgoStatus)),
    ],
)
def test_an_event_is_listed_with_every_reason_and_status(event: str, words: list[str]) -> None:
    (when,) = [row[1] for row in rows_of("User data", "event") if f"`{event}`" in row[0]]
    assert set(map(str, words)) <= set(re.findall(r"\w+", when))
    upper = {word for word in re.findall(r"\b[A-Z_]{3,}\b", when)}
    assert upper <= set(map(str, words))


# ---- Orders, limits, errors, assumptions


@pytest.mark.parametrize("kind", [OrderType, TimeInForce, Prevention, PriceMatch, WorkingType])
def test_every_word_of_an_order_has_its_rule(kind: type[Enum]) -> None:
    assert {word.value for word in kind} <= set(listed("What orders do", "subject"))


def test_every_rule_has_a_source_and_a_test() -> None:
    for table in tables(PAGE):
        if table.head[-2:] == ("source", "tests"):
            for row in table.rows:
                assert len(row) == len(table.head), row
                assert row[-2], row
                assert re.search(r"`test_\w+`", row[-1]), row


def test_the_limits_are_those_of_the_code() -> None:
    terms, rules = LimitTerms(), EXCHANGE_RULES
    rows = {row[0]: row[1] for row in rows_of("Limits", "limit")}
    budget = terms.budgets[FUNDING_BUDGET]
    told = [
        f"{terms.weight_per_minute:,} a minute",
        f"{terms.orders_per_10_s} in 10 seconds and {terms.orders_per_minute:,} a minute",
        f"{budget.most} requests in {budget.per_ms // MINUTE_MS} minutes",
        f"more than {terms.tolerated_refusals} times",
        f"for {terms.first_ban_ms // MINUTE_MS} minutes",
        f"{terms.longest_ban_ms // MINUTE_MS // 60 // 24} days at most",
        f"{rules.messages_per_second} a second, {rules.max_streams:,} streams",
        f"{rules.lifetime_ms // MINUTE_MS // 60} hours; a ping every {rules.ping_every_ms // MINUTE_MS} minutes",
        f"within {rules.pong_within_ms // MINUTE_MS}",
        f"{VALID_MS // MINUTE_MS} minutes",
    ]
    for text in told:
        assert any(text in row for row in rows.values()), text


def test_every_error_code_is_listed_once() -> None:
    frames_that_are_no_requests = -1135
    assert sorted(map(int, listed("Errors", "codes"))) == sorted((*TEXTS, frames_that_are_no_requests))


def remarks(path: Path) -> str:
    """Return docstrings and comments of a module in one line."""
    source = path.read_text()
    nodes = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    texts = [ast.get_docstring(node) or "" for node in nodes]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts += [token.string for token in tokens if token.type == tokenize.COMMENT]
    return " ".join(" ".join(texts).split())


def test_every_assumption_of_the_code_is_listed() -> None:
    written = re.compile(r"\ban assumption\b|\bare assumptions\b|\(assumptions\b|\bAssumptions?[:,]")
    modules = {str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.rglob("*.py")}
    assuming = {name for name in modules if written.search(remarks(PACKAGE / f"{name}.py"))}
    assert len(assuming) > 20
    assert assuming <= set(listed("Known differences", "module")) <= modules


# ---- Names, commands, examples


def test_every_test_and_file_that_is_named_exists() -> None:
    defined = {
        name
        for path in (REPO / "tests").glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", BOTH))
    assert len(named) > 100
    assert named - defined == set()
    for path in re.findall(r"tests/test_\w+\.py", BOTH):
        assert (REPO / path).exists(), path
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (REPO / "docs" / link).exists(), link
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def commands() -> dict[str, set[str]]:
    """Return the modules that are run by a command, and the options that it is given."""
    found: dict[str, set[str]] = {}
    for module, words in re.findall(r"python -m ([\w.]+)([^`\n|]*)", BOTH):
        found.setdefault(module, set()).update(re.findall(r"--[\w-]+", words))
    return found


@pytest.mark.parametrize("module", sorted(commands()))
def test_every_command_that_is_named_runs_and_knows_its_options(module: str) -> None:
    said = run_python("-m", module, "--help", cwd=REPO)
    assert commands()[module] <= set(re.findall(r"--[\w-]+", said))


def test_the_commands_that_the_page_promises_are_there() -> None:
    assert {"scripts.local_exchange", "scripts.parity", "scripts.differential", "tests.fuzz"} <= set(commands())
    for target, line in re.findall(r"`make (\w+)(?: BENCH=(\w+))?`", BOTH):
        assert re.search(rf"^{target}:", (REPO / "Makefile").read_text(), re.MULTILINE), target
        assert not line or choose(all_lines(REPO / "scripts"), [line])
    paths = {each.path for each in (*CONTROL_ENDPOINTS, *OWN_KEYS_ENDPOINTS)}
    assert set(re.findall(r"/local/v1/\w+", PAGE)) == paths


def run_python(*words: str, cwd: Path) -> str:
    """Run Python in a process of its own, and return what it printed."""
    env = os.environ | {"PYTHONPATH": str(REPO)}
    process = subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_readmes_example_prints_what_it_says(tmp_path: Path) -> None:
    (example,) = python_blocks(SECTION)
    assert run_python("-c", example, cwd=tmp_path).split() == re.findall(r"# ([\d.]+)$", example, re.MULTILINE)


def test_the_readmes_section_is_short() -> None:
    assert SECTION
    assert len(SECTION.splitlines()) <= 40


SERVED = """
import sys
from rl_trader.local_exchange.assembly import Setup
from rl_trader.local_exchange.shells.local import LocalExchange
with LocalExchange(Setup()) as local:
    names = {"URL": local.url, "WS_URL": local.ws_url, "KEY": local.key.key, "SECRET": local.key.secret}
    exec(sys.argv[1], names)
    exec(sys.argv[2], names)
    local.call(lambda: print(len(local.assembly.venue.exchange.traders["main"].fills)))
"""
TRADES = {  # what a client that the page sets up does then: it trades over REST and the WebSocket API
    "ccxt": """
import asyncio
async def trade():
    await exchange.create_order("EMBEDDED/USDT:USDT", "market", "buy", 1)
    await exchange.create_order_ws("EMBEDDED/USDT:USDT", "market", "sell", 1)
    await exchange.close()
asyncio.run(trade())
""",
    "binance": """
client.futures_create_order(symbol="EMBEDDED", side="BUY", type="MARKET", quantity=1)
client.ws_futures_create_order(symbol="EMBEDDED", side="SELL", type="MARKET", quantity=1)
""",
}


def client_block(package: str) -> str:
    imports = re.compile(rf"^(?:import|from) {package}\b", re.MULTILINE)
    (block,) = [block for block in python_blocks(PAGE) if imports.search(block)]
    return block


@pytest.mark.parametrize("package", TRADES)
def test_a_client_that_is_set_up_as_the_page_says_trades(package: str, tmp_path: Path) -> None:
    assert run_python("-c", SERVED, client_block(package), TRADES[package], cwd=tmp_path).strip() == "2"


def test_the_pages_other_examples_run(tmp_path: Path) -> None:
    others = [block for block in python_blocks(PAGE) if "KEY" not in block]
    assert len(others) == 2
    for block in others:
        assert run_python("-c", block, cwd=tmp_path)
