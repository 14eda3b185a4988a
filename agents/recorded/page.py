"""The page of real results, made of the result files alone: whatever they say, it says."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agents.recorded.figure import growth_figure
from agents.recorded.groups import Group, read_groups
from agents.training.figures import picture
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.honesty import FUNDING_WORDS, Honesty, spoken, verdict, verdict_elsewhere
from rl_trader.report.judgement import honesty_lines
from rl_trader.report.page import ABSENT, MINUS
from rl_trader.stress import stressed_returns

COMMAND: Final = "$ python -m scripts.real_results"
HEAD: Final = """\
# Real results: walk-forwards on recorded markets

Every training that was made is shown, with what may be concluded from all of them together. The settings are those of
the presets; each checkpoint was chosen on the validation period before its test; the configurations that were tested on
the same days are counted. A replay of the past is no promise of profit.

```console
{commands}
```

writes this page, its pictures, and one file for each training (`{folder}/`); what has a file is not trained again.
`--page-only` writes the page of the files that are there. The folds are those of `python -m scripts.walk_forward`; the
last tenth of the time is in none of them. [statistics.md](statistics.md) says what every figure means. Returns are of
whole UTC days, from test to test; every test begins with a new account. "Mean of the seeds" is a balance that is spread
over the seeds anew every day.
"""


def write_page(results: Path, page: Path) -> None:
    """Write the page of a folder of result files, and a picture of every market beside the files.

    Args:
        results: Folder of the result files.
        page: Written anew.

    Raises:
        RlTraderError: If a file is damaged, or nothing can be shown or written.
    """
    groups, _ = read_groups(results)
    text = page_text(results, page)
    try:
        for market in _markets(groups):
            figure = growth_figure([group for group in groups if group.market == market])
            (results / f"{market}.png").write_bytes(picture(figure))
        page.write_text(text)
    except OSError as error:
        raise CheckpointError(f"{page} cannot be written: {error}; free space, or name another --page") from error


def page_text(results: Path, page: Path) -> str:
    """Return the page of a folder of result files, as ``write_page`` writes it.

    Raises:
        ConfigError: If there is no market and algorithm all of whose trainings are done.
        CheckpointError: If a file is damaged.
    """
    groups, incomplete = read_groups(results)
    if not groups:
        raise ConfigError(f"{results} has no complete set of results; repeat the command without --page-only")
    try:
        folder = results.resolve().relative_to(page.resolve().parent).as_posix()
    except ValueError:
        folder = results.resolve().as_posix()
    parts = [HEAD.format(commands=_commands(groups), folder=folder)]
    if incomplete:
        listed = ", ".join(f"{name}: {done}" for name, done in incomplete.items())
        parts.append(f"Not shown yet, since trainings or the count of the trials are missing: {listed}.\n")
    parts.append(f"## All together\n\n{_summary(groups)}")
    parts += [_section([group for group in groups if group.market == market], folder) for market in _markets(groups)]
    return "\n".join(parts)


def _markets(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(group.market for group in groups))


def _commands(groups: Sequence[Group]) -> str:
    """Return the commands that make these groups, one for all markets that were trained with the same steps."""
    steps = {market: {g.algo: g.steps for g in groups if g.market == market} for market in _markets(groups)}
    alike: dict[str, list[str]] = {}
    for market, by_algo in steps.items():
        words = " ".join(f"--{algo}-steps {number}" for algo, number in by_algo.items())
        alike.setdefault(words, []).append(market)
    return "\n".join(f"{COMMAND} --markets {' '.join(markets)} {words}" for words, markets in alike.items())


# ---- Tables


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|---|{'--:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _percent(value: float) -> str:
    return f"{value:+.1%}".replace("-", MINUS)


def _ratio(value: float | None) -> str:
    return ABSENT if value is None else f"{value:+.2f}".replace("-", MINUS)


def _summary(groups: Sequence[Group]) -> str:
    head = (
        "market, algorithm", "trainings", "interquartile mean of log growth a year", "between (95%)",
        "mean of the seeds", "buy and hold", "configurations tried", "sure of skill",
    )  # fmt: skip
    rows = []
    for group in groups:
        honesty, interval = group.judged(), group.interval()
        held = stressed_returns(group.baseline_returns()["buy_and_hold"]).total_return
        deflated = honesty.deflated
        rows.append(
            (
                f"{group.market}, {group.algo.upper()}",
                f"{len(group.folds)} x {group.num_seeds}",
                _ratio(None if interval is None else interval.estimate),
                ABSENT if interval is None else f"{_ratio(interval.low)} to {_ratio(interval.high)}",
                _percent(stressed_returns(honesty.daily_returns).total_return),
                _percent(held),
                str(honesty.trials.num),
                ABSENT if deflated is None else f"{deflated:.0%}",
            )
        )
    words = (
        '\nTrainings are folds x seeds. The interval is that of the seeds, resampled within their fold. "Sure of skill"'
        " is the deflated Sharpe ratio: how sure the true ratio of the mean of the seeds is above what the best of the"
        " configurations tried would show by luck.\n"
    )
    return _table(head, rows) + words


def _section(groups: Sequence[Group], folder: str) -> str:
    first = groups[0]
    symbols = ", ".join(first.baselines[0]["symbols"])
    parts = [
        f"## {first.market}\n",
        f"{symbols}, bars of {first.baselines[0]['interval']}; {_trained(groups)}.\n",
        _fold_table(first),
        f"![Growth of every seed and of the baselines]({folder}/{first.market}.png)\n",
        f"### Every seed\n\n{_seed_table(groups)}",
        *(_verdicts(group) for group in groups),
        f"### Mean of the seeds less each baseline, a year\n\n{_difference_table(groups)}",
        f"### Figures\n\n{_figure_table(groups)}",
        f"### At other costs\n\n{_stress_table(groups)}",
        f"### What is assumed\n\n{_assumptions(first)}",
    ]
    return "\n".join(parts)


def _trained(groups: Sequence[Group]) -> str:
    return "; ".join(f"{group.algo.upper()}: {group.num_seeds} seeds of {group.steps:,} bars" for group in groups)


def _fold_table(group: Group) -> str:
    rows = [
        (str(number), *(" to ".join(fold[name]) for name in ("train", "validation", "test")))
        for number, fold in enumerate(group.baselines, 1)
    ]
    return _table(("fold", "trained on", "checkpoint chosen on", "tested on"), rows)


def _whole(daily: NDArray[np.float64]) -> tuple[str, str, str]:
    """Return total return, Sharpe ratio and largest drawdown."""
    found = stressed_returns(daily)
    return _percent(found.total_return), _ratio(found.sharpe), f"{found.max_drawdown:.1%}"


def _seed_table(groups: Sequence[Group]) -> str:
    first = groups[0]
    tests = [f"test {number}" for number in range(1, len(first.folds) + 1)]
    other = first.other_funding
    head = ["", *tests, "all", "Sharpe", "drawdown", "turnover a day", "random agents", "better than"]
    if other is not None:
        head.append(f"all, {FUNDING_WORDS[other]}")
    rows = [_seed_row(group, seed) for group in groups for seed in range(group.num_seeds)]
    elsewhere = first.baseline_returns("other_funding")
    for name, daily in first.baseline_returns().items():
        of_tests = [
            _percent(stressed_returns(np.array(fold["daily_returns"][name])).total_return) for fold in first.baselines
        ]
        rows.append([spoken(name), *of_tests, *_whole(daily), "", "", ""])
        if other is not None:
            rows[-1].append(_whole(elsewhere[name])[0])
    words = (
        "\nReturns of every test and of all together. The random agents (200 for each test) trade as much as the seed"
        " does; their mean return, and the share of them that earned less than it, mean of the tests."
    )
    if other is not None:
        own = FUNDING_WORDS[first.baselines[0]["missing_funding"]]
        words += f" Where funding is not recorded, {own} is assumed; in the last column {FUNDING_WORDS[other]}."
    return _table(head, rows) + words + "\n"


def _seed_row(group: Group, seed: int) -> list[str]:
    tests = [stressed_returns(np.array(seeds[seed]["daily_returns"])).total_return for seeds in group.folds]
    turnover = float(np.mean([seeds[seed]["figures"]["turnover"] for seeds in group.folds]))
    row = [
        f"{group.algo.upper()}, seed {group.folds[0][seed]['seed']}",
        *map(_percent, tests),
        *_whole(group.seed_returns(seed)),
        f"{turnover:.2f}",
        _percent(group.random_return(seed)),
        f"{group.share_below(seed):.0%}",
    ]
    if group.other_funding is not None:
        row.append(_whole(group.seed_returns(seed, "other_funding"))[0])
    return row


def _verdicts(group: Group) -> str:
    sentences = [f"**{group.algo.upper()}, mean of the seeds.** {verdict(group.judged())}"]
    if group.other_funding is not None:
        sentences.append(verdict_elsewhere(group.other_funding, group.judged("other_funding")))
    return "\n\n".join(sentences) + "\n"


def _difference_table(groups: Sequence[Group]) -> str:
    judged = [group.judged() for group in groups]
    names = list(judged[0].differences)
    rows = [(spoken(name), *(_difference(honesty, name) for honesty in judged)) for name in names]
    words = "\nThe range holds the true difference in 95% of such records (stationary block bootstrap).\n"
    return _table(("", *(group.algo.upper() for group in groups)), rows) + words


def _difference(honesty: Honesty, name: str) -> str:
    found = honesty.differences[name]
    return f"{_percent(found.estimate)} ({_percent(found.low)} to {_percent(found.high)})"


def _figure_table(groups: Sequence[Group]) -> str:
    columns = [dict(honesty_lines(group.judged())) for group in groups]
    names = [name for name in columns[0] if "overfitting" not in name]
    rows = [(name, *(column[name] for column in columns)) for name in names]
    return _table(("", *(group.algo.upper() for group in groups)), rows)


def _stress_table(groups: Sequence[Group]) -> str:
    columns: list[Mapping[str, float]] = [group.stressed() for group in groups]
    rows = [
        (name, *(_percent(column[name]) if name in column else ABSENT for column in columns))
        for name in dict.fromkeys(name for column in columns for name in column)
    ]
    words = (
        "\nTotal return of all tests, mean of the seeds' (above, that of the mean of their days). Other fees, slippage,"
        " funding and a bar's delay are asked of the decisions that were made; in mirrored prices the policies decide"
        " anew.\n"
    )
    return _table(("", *(group.algo.upper() for group in groups)), rows) + words


def _assumptions(group: Group) -> str:
    fees = {symbol: fee for fold in group.baselines for symbol, fee in fold["taker_fee"].items()}
    said = ", ".join(f"{fee:.3%}" for fee in sorted(set(fees.values())))
    lines = _joined(group.baselines[0]["symbols"], [line for fold in group.baselines for line in fold["assumptions"]])
    days = sum(len(fold["daily_returns"]["flat"]) for fold in group.baselines)
    first = f"{days:,} whole days, {days / 365:.1f} years, were tested."
    own = group.baselines[0]["account"]
    stop = "no stop" if own["stop_loss"] is None else f"a stop at {own['stop_loss']:.0%}"
    terms = (
        f"Taker fee {said} and slippage {own['half_spread']:.3%} of the notional; {own['margin_mode']} margin, leverage"
        f" {own['leverage']}, exposure at most {own['max_exposure']:g}, {stop}."
    )
    return "\n".join(f"- {sentence}" for sentence in (first, terms, *lines)) + "\n"


def _joined(symbols: Sequence[str], sentences: Sequence[str]) -> list[str]:
    """Return each sentence once; those that say the same of several symbols become one."""
    named: dict[str, list[str]] = {}
    for sentence in sentences:
        symbol = next((one for one in symbols if sentence.startswith((f"{one} ", f"{one}: "))), "")
        own = named.setdefault(sentence.removeprefix(symbol), [])
        if symbol and symbol not in own:
            own.append(symbol)
    return [", ".join(own) + said for said, own in named.items()]
