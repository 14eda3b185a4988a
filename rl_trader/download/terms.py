"""The contract terms of the symbols: the exchange's answers of one day, one file a symbol.

A file that was read today is not read again. Terms that cannot be had (no key, no answer) are no error but
a note: the market data is of use without them, and what is assumed instead is named wherever the terms are
used.
"""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, Final

from rl_trader.download.provenance import write_if_new
from rl_trader.download.recent import RestClient
from rl_trader.errors import DataError, DownloadError
from rl_trader.store import DataStore

KEYED_ANSWERS: Final = ("leverageBracket", "commissionRate")

Answers = dict[str, Any]


async def download_terms(store: DataStore, rest: RestClient, symbols: Sequence[str]) -> list[str]:
    """Read the terms that were not read today, and return sentences about what was not to be had."""
    today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    known = {symbol: _read(store, symbol) for symbol in symbols}
    wanted = [symbol for symbol in symbols if not _is_fresh(known[symbol], today, rest.has_key)]
    if not wanted:
        return []
    try:
        entries = await rest.exchange_info()
        fundings = await rest.funding_info()
    except DownloadError as error:
        return [f"contract terms of {', '.join(wanted)} were not fetched: {error}"]
    notes = []
    for symbol in wanted:
        if symbol not in entries:
            notes.append(f"contract terms of {symbol} were not fetched: the exchange does not list it any more")
            continue
        answers: Answers = {"symbol": symbol, "read_on": today, "exchangeInfo": entries[symbol]}
        if symbol in fundings:
            answers["fundingInfo"] = fundings[symbol]
        notes += await _add_keyed_answers(answers, rest)
        _carry_over(answers, known[symbol])
        text = json.dumps(answers, indent=2, sort_keys=True, ensure_ascii=False)
        write_if_new(store.contract_terms_path(symbol), text + "\n")
    if not rest.has_key and not entries.keys().isdisjoint(wanted):
        notes.append(
            "leverage brackets and commission rates were not fetched, since the exchange gives them only to a "
            "key; set BINANCE_API_KEY and BINANCE_API_SECRET (a key that may only read) and run again"
        )
    return notes


async def _add_keyed_answers(answers: Answers, rest: RestClient) -> list[str]:
    if not rest.has_key:
        return []
    try:
        answers["leverageBracket"] = await rest.leverage_brackets(answers["symbol"])
        answers["commissionRate"] = await rest.commission_rate(answers["symbol"])
    except DownloadError as error:
        return [f"leverage brackets or commission rates of {answers['symbol']} were not fetched: {error}"]
    return []


def _carry_over(answers: Answers, known: Answers) -> None:
    """Keep earlier answers that were not to be had today, with their dates."""
    dates = known.get("carried_over", {})
    kept = {name: dates.get(name, known["read_on"]) for name in KEYED_ANSWERS if name in known and name not in answers}
    for name in kept:
        answers[name] = known[name]
    if kept:
        answers["carried_over"] = kept


def _is_fresh(known: Answers, today: str, has_key: bool) -> bool:
    has_keyed = all(name in known and name not in known.get("carried_over", {}) for name in KEYED_ANSWERS)
    return known.get("read_on") == today and (has_keyed or not has_key)


def _read(store: DataStore, symbol: str) -> Answers:
    path = store.contract_terms_path(symbol)
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise DataError(f"cannot read {path} ({error}); delete it and run the download again") from error
