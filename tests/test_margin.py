"""The margin calculator: published and hand-worked positions through the command, and what it refuses.

The liquidation price by hand is that of Binance's FAQ "How to Calculate Liquidation Price" (FAQ-LP),
``(wallet + cum - side * amount * entry) / (amount * rate - side * amount)``, with the shipped brackets of BTCUSDT: up
to a notional of 300 000 rate 0.4 % and cum 0, to 800 000 0.5 % and 300, to 3 000 000 0.65 % and 1 500, to 12 000 000
1 % and 12 000.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_trader import ledger
from rl_trader.config import TradingConfig
from rl_trader.contract import load_terms
from rl_trader.errors import ConfigError
from rl_trader.ledger import Account
from rl_trader.margin import position_margin
from rl_trader.trading import kernel_terms
from scripts import margin
from tests.called_scripts import Answer, script_caller

REPO = Path(__file__).parents[1]
ORDINARY = {
    "symbol": "BTCUSDT",
    "side": "long",
    "entry": 40_000,
    "amount": 0.5,
    "leverage": 20,
    "wallet": 1_000,
    "mode": "isolated",
}


Call = Callable[..., Answer]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Return a function that runs the command in this process, from an empty folder and without a data folder."""
    called = script_caller(monkeypatch, capsys, tmp_path)

    def run(*flags: str, **options: object) -> Answer:
        """Run it with ``ORDINARY`` options, changed by the given ones; None leaves one out."""
        given = ORDINARY | options
        words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
        return called(margin, *words, *flags)

    return run


def figures(call: Call, **options: object) -> dict[str, Any]:
    answer = call("--json", **options)
    assert (answer.code, answer.err) == (0, ""), answer
    found = json.loads(answer.out)
    assert isinstance(found, dict)
    return found


# Positions by hand


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize(
    ("side", "amount", "leverage", "wallet", "liquidation", "bankruptcy"),
    [
        # Entry 60 000; the wallet is the initial margin, amount * 60 000 / leverage.
        # (3 000 - 60 000) / (0.004 - 1) = 57 000 / 0.996
        ("long", 1.0, 20, 3_000.0, 57_228.9157, 57_000.0),
        # (3 000 + 60 000) / (0.004 + 1) = 63 000 / 1.004
        ("short", 1.0, 20, 3_000.0, 62_749.0040, 63_000.0),
        # In bracket 2 at the liquidation price, 572 563: (30 000 + 300 - 600 000) / (0.05 - 10) = 569 700 / 9.95
        ("long", 10.0, 20, 30_000.0, 57_256.2814, 57_000.0),
        # In bracket 2 likewise, 627 164: (30 000 + 300 + 600 000) / (0.05 + 10) = 630 300 / 10.05
        ("short", 10.0, 20, 30_000.0, 62_716.4179, 63_000.0),
        # (60 - 6 000) / (0.0004 - 0.1) = 5 940 / 0.0996
        ("long", 0.1, 100, 60.0, 59_638.5542, 59_400.0),
        # (60 + 6 000) / (0.0004 + 0.1) = 6 060 / 0.1004
        ("short", 0.1, 100, 60.0, 60_358.5657, 60_600.0),
    ],
)
def test_a_position_backed_by_its_initial_margin_ends_where_the_formula_says(
    call: Call,
    mode: str,
    side: str,
    amount: float,
    leverage: int,
    wallet: float,
    liquidation: float,
    bankruptcy: float,
) -> None:
    found = figures(call, mode=mode, side=side, entry=60_000, amount=amount, leverage=leverage, wallet=wallet)
    assert found["initial_margin"] == wallet
    assert found["notional"] == amount * 60_000.0
    assert found["liquidation_price"] == pytest.approx(liquidation, abs=1e-4)
    assert found["bankruptcy_price"] == pytest.approx(bankruptcy, abs=1e-9)


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize(
    ("side", "liquidation", "bankruptcy"),
    [
        # FAQ-LP's example with today's brackets. The notional is 109.488 * 32 481.98 = 3 556 387.02624, bracket 4;
        # at the liquidation price it is 2 032 656, bracket 3:
        # (1 535 443.01 + 1 500 - 3 556 387.02624) / (109.488 * 0.0065 - 109.488) = -2 019 444.01624 / -108.776328;
        # bankruptcy: 32 481.98 - 1 535 443.01 / 109.488 = 32 481.98 - 14 023.84745
        ("long", 18_565.1056, 18_458.1326),
        # (1 535 443.01 + 12 000 + 3 556 387.02624) / (109.488 * 0.01 + 109.488) = 5 103 830.03624 / 110.58288,
        # notional there 5 053 297, bracket 4; bankruptcy: 32 481.98 + 14 023.84745
        ("short", 46_153.8896, 46_505.8274),
    ],
)
def test_a_large_position_ends_in_the_bracket_of_its_liquidation_price(
    call: Call, mode: str, side: str, liquidation: float, bankruptcy: float
) -> None:
    options = {"entry": 32_481.98, "amount": 109.488, "leverage": 50, "wallet": 1_535_443.01}
    found = figures(call, mode=mode, side=side, **options)
    assert found["liquidation_price"] == pytest.approx(liquidation, abs=1e-4)
    assert found["bankruptcy_price"] == pytest.approx(bankruptcy, abs=1e-3)
    assert found["initial_margin"] == pytest.approx(71_127.7405, abs=1e-4)  # 3 556 387.02624 / 50
    assert found["maintenance_margin"] == pytest.approx(23_563.8703, abs=1e-4)  # 35 563.8703 - 12 000
    assert found["max_notional"] == 12_000_000.0


@pytest.mark.parametrize(
    ("side", "liquidation", "bankruptcy"),
    [
        # As above, but 1 535 443.01 - 356 512.508 - 448 192.89 = 730 737.612 are left of the wallet:
        # (730 737.612 + 1 500 - 3 556 387.02624) / -108.776328, notional there 2 842 626, bracket 3.
        # At the bankruptcy price 1 535 443.01 - 448 192.89 = 1 087 250.12 are lost:
        # 32 481.98 - 1 087 250.12 / 109.488 = 32 481.98 - 9 930.31309
        ("long", 25_962.9045, 22_551.6669),
        # (730 737.612 + 12 000 + 3 556 387.02624) / 110.58288, notional there 4 256 559, bracket 4
        ("short", 38_876.9459, 42_412.2931),
    ],
)
def test_a_cross_position_bears_the_other_positions(
    call: Call, side: str, liquidation: float, bankruptcy: float
) -> None:
    found = figures(
        call,
        mode="cross",
        side=side,
        entry=32_481.98,
        amount=109.488,
        leverage=50,
        wallet=1_535_443.01,
        other_maintenance_margin=356_512.508,
        other_unrealized_pnl=-448_192.89,
    )
    assert found["liquidation_price"] == pytest.approx(liquidation, abs=1e-4)
    assert found["bankruptcy_price"] == pytest.approx(bankruptcy, abs=1e-3)
    # All maintenance margin over all margin: (23 563.8702624 + 356 512.508) / 1 087 250.12
    assert found["margin_ratio"] == pytest.approx(0.34957584, abs=1e-8)
    assert found["maintenance_margin"] == pytest.approx(23_563.8703, abs=1e-4)  # its own


@pytest.mark.parametrize(
    ("amount", "maintenance"),
    [
        (1, 240.0),  # 60 000 * 0.004
        (10, 2_700.0),  # 600 000 * 0.005 - 300
        (50, 18_000.0),  # 3 000 000 * 0.0065 - 1 500: a cap belongs to the bracket below it
    ],
)
def test_the_maintenance_margin_is_that_of_the_bracket_at_the_price(
    call: Call, amount: int, maintenance: float
) -> None:
    options = {"amount": amount, "wallet": 500_000, "entry": 50_000}
    assert figures(call, price=60_000, **options)["maintenance_margin"] == pytest.approx(maintenance)
    assert figures(call, **options | {"entry": 60_000})["maintenance_margin"] == pytest.approx(maintenance)


@pytest.mark.parametrize(
    ("side", "entry", "amount", "price", "leverage", "pnl", "roe"),
    [
        # Binance's FAQ: 1 BTC from 5 000 to 5 500; the initial margin is 5 000 / 20 = 250.
        ("long", 5_000, 1, 5_500, 20, 500.0, 2.0),
        ("short", 5_000, 1, 5_500, 20, -500.0, -2.0),
        # A position of Binance's documentation: 0.01 * (9 973.50770517 - 9 975.12) = -0.0161229483,
        # over 99.7512 / 10 = 9.97512
        ("long", 9_975.12, 0.01, 9_973.50770517, 10, -0.0161229483, -0.00161631622),
    ],
)
def test_profit_and_its_return_are_those_at_the_price(
    call: Call, side: str, entry: float, amount: float, price: float, leverage: int, pnl: float, roe: float
) -> None:
    options = {"side": side, "entry": entry, "amount": amount, "price": price, "leverage": leverage}
    found = figures(call, **options)
    assert (found["price"], found["unrealized_pnl"]) == (price, pytest.approx(pnl, abs=1e-9))
    assert found["roe"] == pytest.approx(roe, abs=1e-10)


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(
    ("mode", "others"),
    [
        ("isolated", {}),
        ("cross", {}),
        ("cross", {"other_maintenance_margin": 33.3, "other_unrealized_pnl": -77.7}),
    ],
)
def test_the_margin_ratio_reaches_one_at_the_liquidation_price(
    call: Call, mode: str, side: str, others: dict[str, float]
) -> None:
    options: dict[str, object] = {"mode": mode, "side": side, "entry": 61_234.5, "amount": 7.5, "wallet": 30_000.0}
    last = figures(call, **options, **others)["liquidation_price"]
    before, beyond = (last * 1.0001, last * 0.9999) if side == "long" else (last * 0.9999, last * 1.0001)
    assert 0.9 < figures(call, **options, **others, price=before)["margin_ratio"] < 1.0
    assert figures(call, **options, **others, price=last)["margin_ratio"] == pytest.approx(1.0, abs=1e-9)
    assert figures(call, **options, **others, price=beyond)["margin_ratio"] == 1.0


def test_a_long_whose_wallet_covers_its_notional_has_neither_price(call: Call) -> None:
    found = figures(call, mode="cross", wallet=20_000)  # 0.5 * 40 000
    assert (found["liquidation_price"], found["bankruptcy_price"]) == (0.0, 0.0)
    lines = call(mode="cross", wallet=20_000).out.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith(("  liquidation", "  bankruptcy"))] == ["none"] * 2


# What the command prints


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("side", ["long", "short"])
def test_the_figures_are_those_of_the_ledger_to_the_last_bit(call: Call, mode: Any, side: str) -> None:
    entry, amount, wallet, price = 43_217.77, 0.7337, 1_234.56789, 43_000.123456
    found = figures(call, mode=mode, side=side, entry=entry, amount=amount, wallet=wallet, leverage=30, price=price)
    table, brackets = kernel_terms([load_terms("BTCUSDT")], TradingConfig(leverage=30, margin_mode=mode))
    terms: Any = table.view(np.recarray)[0]
    account = Account(wallet, amount if side == "long" else -amount, entry, wallet if mode == "isolated" else 0.0)
    assert found == {
        "symbol": "BTCUSDT",
        "side": side,
        "mode": mode,
        "leverage": 30,
        "entry_price": entry,
        "amount": amount,
        "wallet_balance": wallet,
        "notional": amount * entry,
        "initial_margin": ledger.initial_margin(account, entry, terms),
        "maintenance_margin": ledger.maintenance_margin(account, price, terms, brackets),
        "margin_ratio": ledger.margin_ratio(account, price, terms, brackets),
        "liquidation_price": ledger.liquidation_price(account, terms, brackets),
        "bankruptcy_price": ledger.bankruptcy_price(account, terms),
        "max_notional": 12_000_000.0,  # bracket 4 bears 50, bracket 5 only 25
        "price": price,
        "unrealized_pnl": ledger.unrealized_pnl(account, price),
        "roe": ledger.unrealized_pnl(account, price) / ledger.initial_margin(account, entry, terms),
        "terms_read_on": "2026-09-15",
        "brackets_read_on": "2026-09-15",
        "inferred": ["taker_fee", "maker_fee"],
    }


def test_without_a_price_the_entry_counts_and_there_is_no_profit(call: Call) -> None:
    found = figures(call)
    assert (found["price"], found["unrealized_pnl"], found["roe"]) == (None, None, None)
    # 0.5 * 40 000 = 20 000 at 0.4 % is 80, of a wallet of 1 000.
    assert (found["maintenance_margin"], found["margin_ratio"]) == (80.0, 0.08)


def test_the_text_is_a_table_with_units(call: Call) -> None:
    # Maintenance margin 0.5 * 41 000 * 0.004 = 82, of 1 000 + 0.5 * 1 000; liquidation (1 000 - 20 000) / -0.498.
    assert call(price=41_000).out.splitlines() == [
        "BTCUSDT long of 0.5 at 40000 USDT, isolated, leverage 20, wallet 1000 USDT, price 41000 USDT",
        "  notional at the entry price             20,000.0000 USDT",
        "  largest notional at this leverage  100,000,000.0000 USDT",
        "  initial margin                           1,000.0000 USDT",
        "  maintenance margin at the price             82.0000 USDT",
        "  margin ratio at the price                    5.4667 %",
        "  liquidation price                        38,152.610 USDT",
        "  bankruptcy price                         38,000.000 USDT",
        "  unrealized PnL at the price               +500.0000 USDT",
        "  ROE at the price                           +50.0000 %",
        "leverage brackets of 2026-09-15",
    ]
    lines = call().out.splitlines()
    assert len(lines) == 9
    assert "margin ratio at the entry price" in lines[5]


def test_the_command_runs_in_a_process_of_its_own() -> None:
    words = [f"--{name}={value}" for name, value in ORDINARY.items()]
    command = [sys.executable, "-m", "scripts.margin", *words, "--json"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["bankruptcy_price"] == 38_000.0


def test_help_answers_without_a_heavy_import() -> None:
    code = (
        "import sys\nsys.argv = ['x', '--help']\nfrom scripts import margin\n"
        "try:\n    margin.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([name for name in ('numpy', 'pandas', 'numba', 'torch', 'ccxt') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for option in ("--symbol", "--price", "--other-maintenance-margin", "--other-unrealized-pnl", "--data", "--json"):
        assert option in done.stdout


# Other symbols


@pytest.mark.parametrize("symbol", ["ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT"])
@pytest.mark.parametrize("side", ["long", "short"])
def test_the_own_brackets_of_a_recorded_symbol_count(call: Call, recorded_data: Path, symbol: str, side: str) -> None:
    rows = json.loads((recorded_data / "reference" / "leverage_brackets.json").read_text())[symbol]
    amount, leverage, sign = 1_000, 20, 1 if side == "long" else -1
    entry = rows[1]["notionalCap"] / amount  # at the very end of bracket 2, of which the liquidation may be in another
    wallet = rows[1]["notionalCap"] / leverage
    found = figures(
        call, symbol=symbol, side=side, entry=entry, amount=amount, wallet=wallet, leverage=leverage, data=recorded_data
    )
    solutions = []
    for row in rows:
        rate, cum = Fraction(str(row["maintMarginRatio"])), Fraction(str(row["cum"]))
        price = (Fraction(wallet) + cum - sign * amount * Fraction(entry)) / (amount * rate - sign * amount)
        if row["notionalFloor"] < amount * price <= row["notionalCap"]:
            solutions.append(float(price))
    assert solutions == [pytest.approx(found["liquidation_price"], rel=1e-12)]
    assert found["max_notional"] == max(row["notionalCap"] for row in rows if row["initialLeverage"] >= leverage)
    assert "tick_size" in found["inferred"]


def test_the_date_of_the_brackets_is_that_of_their_file_or_none(call: Call, tmp_path: Path) -> None:
    # Brackets that the folder's terms lack come from a file of all symbols, which has no date.
    rows = [
        {"initialLeverage": 50, "notionalCap": 50_000, "notionalFloor": 0, "maintMarginRatio": 0.01, "cum": 0.0},
    ]
    answers = json.loads((REPO / "rl_trader" / "contracts" / "BTCUSDT.json").read_text())
    (tmp_path / "data" / "contracts").mkdir(parents=True)
    (tmp_path / "data" / "reference").mkdir()
    (tmp_path / "data" / "reference" / "leverage_brackets.json").write_text(json.dumps({"BTCUSDT": rows}))
    terms = tmp_path / "data" / "contracts" / "BTCUSDT.json"
    terms.write_text(json.dumps({name: part for name, part in answers.items() if name != "leverageBracket"}))
    assert call().out.splitlines()[-1] == "leverage brackets of a file without a date"
    found = figures(call)
    assert (found["terms_read_on"], found["brackets_read_on"], found["max_notional"]) == ("2026-09-15", None, 50_000.0)
    # Brackets that were carried over from an earlier day keep their date.
    terms.write_text(json.dumps(answers | {"carried_over": {"leverageBracket": "2026-08-01"}}))
    assert call().out.splitlines()[-1] == "leverage brackets of 2026-08-01"


def test_a_symbol_needs_only_its_brackets(call: Call, recorded_data: Path) -> None:
    # 1000PEPEUSDT has no recorded klines. In its first bracket: (200 + 1 200) / (100 000 * 1.0065).
    first = json.loads((recorded_data / "reference" / "leverage_brackets.json").read_text())["1000PEPEUSDT"][0]
    assert (first["maintMarginRatio"], first["notionalCap"]) == (0.0065, pytest.approx(1e4, rel=1.0))
    found = figures(
        call,
        symbol="1000PEPEUSDT",
        side="short",
        entry=0.012,
        amount=100_000,
        wallet=200,
        leverage=10,
        data=recorded_data,
    )
    assert found["liquidation_price"] == pytest.approx(1_400 / 100_650, rel=1e-12)


def test_a_symbol_may_be_written_in_small_letters(call: Call) -> None:
    assert figures(call, symbol="btcusdt")["symbol"] == "BTCUSDT"


# What it refuses


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        *(
            ({name: value}, [f"{words} must be a positive number, was {float(value)!r}"])
            for name, words in (
                ("entry", "entry price"),
                ("amount", "amount"),
                ("wallet", "wallet balance"),
                ("price", "price"),
            )
            for value in ("nan", "inf", "-inf", "0", "-0.5")
        ),
        *(
            ({"leverage": value}, [f"leverage of BTCUSDT must be a whole number from 1 to 150 and is {float(value)!r}"])
            for value in ("0", "151", "2.5", "-3", "nan", "inf")
        ),
        *(({name: "much"}, [f"argument --{name}", "much"]) for name in ("entry", "amount", "leverage", "wallet")),
        *(({name: None}, ["required", f"--{name}"]) for name in ORDINARY),
        ({"side": "up"}, ["--side", "'up'", "long", "short"]),
        ({"mode": "hedged"}, ["--mode", "'hedged'", "isolated", "cross"]),
        ({"symbol": "NOPEUSDT"}, ["NOPEUSDT", "only those of BTCUSDT", "scripts.download NOPEUSDT"]),
        ({"symbol": "../BTCUSDT"}, ["../BTCUSDT"]),
        ({"data": "no/such/folder"}, ["data folder no/such/folder does not exist", "--data"]),
        # 300 000 USDT is the limit beyond leverage 100, 800 000 at 100.
        (
            {"amount": 7.500001, "leverage": 101, "mode": "cross"},
            ["must be above 0 and at most 300,000 USDT at leverage 101", "-2027", "300,000.04"],
        ),
        ({"amount": 20.1, "leverage": 100}, ["at most 800,000 USDT at leverage 100", "-2027", "was 804,000"]),
        ({"amount": 1e300, "entry": 1e300}, ["at most 100,000,000 USDT", "was inf"]),
        ({"amount": 1e-300, "entry": 1e-300}, ["must be above 0", "was 0"]),
        ({"price": 1e308, "amount": 500, "mode": "cross"}, ["maintenance_margin must be", "comes out as inf"]),
        ({"side": "short", "amount": 1e-310}, ["_price must be a number that a computer can hold", "inf"]),
        ({"other_unrealized_pnl": -3}, ["an isolated position must stand for itself", "PnL -3.0", "mode cross"]),
        ({"other_maintenance_margin": 3}, ["an isolated position must stand for itself", "margin 3.0", "mode cross"]),
        (
            {"mode": "cross", "other_maintenance_margin": -3},
            ["maintenance margin must be a number from 0 on, was -3.0"],
        ),
        ({"mode": "cross", "other_maintenance_margin": "nan"}, ["maintenance margin must be a number from 0", "nan"]),
        ({"mode": "cross", "other_unrealized_pnl": "inf"}, ["other unrealized PnL must be a number, was inf"]),
        ({"wallet_balance": 5}, ["unrecognized arguments: --wallet-balance=5"]),
        ({"lev": 5}, ["unrecognized arguments: --lev=5"]),
    ],
)
def test_what_cannot_be_calculated_is_refused_in_one_sentence(
    call: Call, options: dict[str, object], parts: list[str]
) -> None:
    for flags in ((), ("--json",)):
        answer = call(*flags, **options)
        assert (answer.code, answer.out) == (2, "")
        assert len(answer.err.splitlines()) == 1, answer.err
        assert answer.err.startswith("error: ")
        for part in parts:
            assert part in answer.err


def test_a_symbol_that_is_not_recorded_is_refused_with_those_that_are(call: Call, recorded_data: Path) -> None:
    answer = call(symbol="ETHUSD", data=recorded_data)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ETHUSD has no klines in")
    assert "ETHUSDT" in answer.err


def test_a_notional_at_the_very_limit_of_the_leverage_is_allowed(call: Call) -> None:
    assert figures(call, amount=7.5, leverage=101, wallet=9_000)["notional"] == 300_000.0


@pytest.mark.parametrize("value", [None, "0.5", True, 10**400], ids=["none", "text", "boolean", "huge"])
def test_what_is_no_number_is_refused_by_the_function_too(value: Any) -> None:
    terms = load_terms("BTCUSDT")
    ordinary: dict[str, Any] = {
        "side": "long",
        "mode": "cross",
        "leverage": 20,
        "entry_price": 40_000.0,
        "amount": 0.5,
        "wallet_balance": 1_000.0,
    }
    for name in ("entry_price", "amount", "wallet_balance", "other_maintenance_margin", "other_unrealized_pnl"):
        with pytest.raises(ConfigError, match=f"(?i){name.split('_')[-1]} must be a .*number"):
            position_margin(terms, **ordinary | {name: value})
    for name in ("side", "mode"):
        with pytest.raises(ConfigError, match=f"{name} must be .* or .*, was"):
            position_margin(terms, **ordinary | {name: value})
