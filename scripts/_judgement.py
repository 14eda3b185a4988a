"""What evaluations and walk-forwards print of the figures that tell skill from luck."""

from typing import TYPE_CHECKING

from scripts._cli import wide_console

if TYPE_CHECKING:
    from rl_trader.honesty import Honesty


def print_honesty(honesty: "Honesty") -> None:
    """Print what the length of the period allows to conclude."""
    from rich import box
    from rich.table import Table

    from rl_trader.honesty import verdict
    from rl_trader.report.judgement import honesty_lines

    console = wide_console()
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in ("agent less, a year", "mean", "from", "to"):
        table.add_column(column, justify="left" if column == "agent less, a year" else "right", no_wrap=True)
    for name, difference in honesty.differences.items():
        table.add_row(name, *(f"{value:+.1%}" for value in (difference.estimate, difference.low, difference.high)))
    if honesty.differences:
        console.print(table)
    stresses = ", ".join(f"{name} {stressed.total_return:+.1%}" for name, stressed in honesty.stresses.items())
    console.print(f"at other costs: {stresses}", highlight=False, soft_wrap=True)
    for name, text in honesty_lines(honesty):
        console.print(f"{name}: {text}", highlight=False, soft_wrap=True)
    console.print(f"verdict: {verdict(honesty)}", highlight=False, soft_wrap=True)
