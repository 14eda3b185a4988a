"""Terms and accounts that the tests of the local exchange's books share.

"Binance" numbers come from its FAQ and API documentation or from answers of its servers, "freqtrade" ones from the
tests of freqtrade 2026.9, which took them from there.
"""

from collections.abc import Iterable
from decimal import Decimal

from rl_trader.contract import load_terms
from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.income import IncomeKind, IncomeLine
from rl_trader.local_exchange.books.positions import Position
from rl_trader.local_exchange.books.terms import Bracket, SymbolTerms

D = Decimal


def told(lines: Iterable[IncomeLine]) -> list[tuple[IncomeKind, str, Decimal, Decimal]]:
    """Return of each line its kind, symbol, amount and the wallet balance after it."""
    return [(line.kind, line.symbol, line.amount, line.wallet_balance) for line in lines]


BTC = SymbolTerms.of(load_terms("BTCUSDT"))  # brackets of September 2026
FREE = D(0)  # a fee rate

# Older brackets of Binance, as freqtrade's tests have them: cap, rate, leverage.
OLD_BTC = [
    ("50000", "0.004", 125),
    ("250000", "0.005", 100),
    ("1000000", "0.01", 50),
    ("7500000", "0.025", 20),
    ("40000000", "0.05", 10),
    ("100000000", "0.1", 5),
    ("200000000", "0.125", 4),
    ("400000000", "0.15", 3),
    ("600000000", "0.25", 2),
    ("1000000000", "0.5", 1),
]
OLD_XRP = [("100000", "0.025", 20), ("500000", "0.05", 10), ("1000000", "0.1", 5), ("2000000", "0.15", 3)]
OLD_BNB = [
    ("10000", "0.0065", 75),
    ("50000", "0.01", 50),
    ("250000", "0.02", 25),
    ("1000000", "0.05", 10),
    ("2000000", "0.1", 5),
    ("5000000", "0.125", 4),
    ("10000000", "0.15", 3),
]
# Only its second bracket is Binance's: 0 + 2 707 300 * (0.1 - 0.05) = 135 365.
OLD_ETH = [("2707300", "0.05", 20), ("20000000", "0.1", 5)]
# amounts: 10 000 * 0.01 = 100; 100 + 50 000 * 0.03 = 1 600.
SMALL = [("10000", "0.01", 50), ("50000", "0.02", 20), ("200000", "0.05", 5)]


def brackets(rows: list[tuple[str, str, int]]) -> tuple[Bracket, ...]:
    """Return brackets whose amounts follow cum = cum before + floor * (rate - rate before)."""
    floor, rate_before, amount = D(0), D(0), D(0)
    result = []
    for cap, rate, leverage in rows:
        amount += floor * (D(rate) - rate_before)
        result.append(Bracket(floor=floor, cap=D(cap), rate=D(rate), amount=amount, initial_leverage=leverage))
        floor, rate_before = D(cap), D(rate)
    return tuple(result)


def terms(symbol: str, rows: list[tuple[str, str, int]]) -> SymbolTerms:
    return SymbolTerms(
        symbol=symbol,
        tick_size=D("0.1"),
        min_price=D("0.1"),
        max_price=D(1_000_000),
        step_size=D("0.001"),
        min_notional=D(50),
        taker_fee=D("0.0005"),
        maker_fee=D("0.0002"),
        liquidation_fee=D("0.01"),
        multiplier_up=D("1.05"),
        multiplier_down=D("0.95"),
        market_take_bound=D("0.03"),
        brackets=brackets(rows),
    )


def account(wallet: str, traded: SymbolTerms, mode: str = "isolated", leverage: int = 20) -> Account:
    result = Account(D(wallet))
    result.set_symbol(traded, mode, leverage)
    return result


def holding(traded: SymbolTerms, amount: str, entry: str, wallet: str, mode: str = "isolated") -> Account:
    """Return an account whose whole wallet stands behind one position."""
    result = account(wallet, traded, mode, traded.brackets[-1].initial_leverage)
    result.restore(traded.symbol, Position(D(amount), D(entry), D(wallet) if mode == "isolated" else D(0)))
    return result


def near(value: Decimal, expected: str, tolerance: str = "0.0001") -> bool:
    return abs(value - D(expected)) <= D(tolerance)
