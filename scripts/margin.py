"""Calculate margin, liquidation price and PnL of a position, as the exchange's own calculator does.

The amount is in the base asset and positive on either side; prices and money are in USDT. The terms are those of the
data folder, else the shipped ones of BTCUSDT.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rl_trader.errors import DataError
from scripts._cli import Parser, default_data_dir, run

if TYPE_CHECKING:
    from rl_trader.contract import ContractTerms
    from rl_trader.margin import PositionMargin

DIGITS: Final = 8


def _parser() -> Parser:
    parser = Parser(prog="scripts.margin", description=__doc__)
    parser.add_argument("--symbol", required=True, help="as the exchange writes it, e.g. BTCUSDT")
    parser.add_argument("--side", required=True, choices=("long", "short"), help="of the position")
    parser.add_argument("--entry", required=True, type=float, metavar="PRICE", help="entry price")
    parser.add_argument("--amount", required=True, type=float, help="of the base asset")
    parser.add_argument("--leverage", required=True, type=float, help="initial leverage set on the symbol")
    parser.add_argument("--wallet", required=True, type=float, metavar="USDT", help="isolated wallet, or cross wallet")
    parser.add_argument("--mode", required=True, choices=("isolated", "cross"), help="margin mode")
    parser.add_argument("--price", type=float, help="mark price at which to look at it (default: the entry price)")
    for name, what in (("maintenance-margin", "maintenance margin"), ("unrealized-pnl", "unrealized PnL")):
        parser.add_argument(
            f"--other-{name}",
            type=float,
            default=0.0,
            metavar="USDT",
            help=f"{what} of the cross wallet's other positions (default: %(default)g)",
        )
    parser.add_argument(
        "--data", type=Path, default=default_data_dir(), help="folder of the store (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def main() -> None:
    """Print the figures."""
    arguments = _parser().parse_args()

    from rl_trader.margin import position_margin

    terms = _terms(arguments.symbol.upper(), arguments.data)
    figures = position_margin(
        terms,
        side=arguments.side,
        mode=arguments.mode,
        leverage=arguments.leverage,
        entry_price=arguments.entry,
        amount=arguments.amount,
        wallet_balance=arguments.wallet,
        price=arguments.price,
        other_maintenance_margin=arguments.other_maintenance_margin,
        other_unrealized_pnl=arguments.other_unrealized_pnl,
    )
    if arguments.json:
        print(json.dumps(asdict(figures), indent=2, allow_nan=False))
    else:
        _print_figures(figures)


def _terms(symbol: str, folder: Path) -> "ContractTerms":
    """Return the symbol's terms; where the folder that is named by default does not exist, the shipped ones."""
    from rl_trader.contract import load_terms
    from rl_trader.store import DataStore

    if not folder.is_dir() and folder != default_data_dir():
        raise DataError(f"data folder {folder} does not exist; name another with --data")
    return load_terms(symbol, DataStore(folder) if folder.is_dir() else None)


def _print_figures(figures: "PositionMargin") -> None:
    """Print a table; prices have two decimals, or as many as show eight digits."""

    def of_price(price: float) -> tuple[str, str]:
        return (f"{price:,.{max(DIGITS - 1 - math.floor(math.log10(price)), 2)}f}", "USDT") if price else ("none", "")

    place = "entry price" if figures.price is None else "price"
    rows = [
        ("notional at the entry price", f"{figures.notional:,.4f}", "USDT"),
        ("largest notional at this leverage", f"{figures.max_notional:,.4f}", "USDT"),
        ("initial margin", f"{figures.initial_margin:,.4f}", "USDT"),
        (f"maintenance margin at the {place}", f"{figures.maintenance_margin:,.4f}", "USDT"),
        (f"margin ratio at the {place}", f"{100.0 * figures.margin_ratio:.4f}", "%"),
        ("liquidation price", *of_price(figures.liquidation_price)),
        ("bankruptcy price", *of_price(figures.bankruptcy_price)),
    ]
    if figures.unrealized_pnl is not None and figures.roe is not None:
        rows += [
            ("unrealized PnL at the price", f"{figures.unrealized_pnl:+,.4f}", "USDT"),
            ("ROE at the price", f"{100.0 * figures.roe:+,.4f}", "%"),
        ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    print(
        f"{figures.symbol} {figures.side} of {figures.amount:.12g} at {figures.entry_price:.12g} USDT, {figures.mode}, "
        f"leverage {figures.leverage}, wallet {figures.wallet_balance:.12g} USDT"
        + ("" if figures.price is None else f", price {figures.price:.12g} USDT")
    )
    for label, value, unit in rows:
        print(f"  {label:<{widths[0]}}  {value:>{widths[1]}} {unit}".rstrip())
    print(f"leverage brackets of {figures.brackets_read_on or 'a file without a date'}")


if __name__ == "__main__":
    run(main)
