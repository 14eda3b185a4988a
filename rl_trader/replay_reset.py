"""How an episode begins: the kernel that draws its first bar, costs and position, and shows its first bars."""

import numpy as np
from numpy.typing import NDArray

from rl_trader import ledger
from rl_trader.kernels import kernel
from rl_trader.ledger import Account, Brackets, Terms
from rl_trader.randomness import uniform
from rl_trader.state import Settings
from rl_trader.windows import NOWHERE, write_observation


@kernel
def _scaled_draw(low: float, high: float, key: int, episode: int, draw: int) -> float:
    return low + (high - low) * uniform(key, episode, draw)


@kernel
def _start_bar(episodes: NDArray[np.void], settings: Settings, key: int, episode: int) -> tuple[int, int]:
    """Return the segment's row in ``episodes`` and the bar after which the episode begins."""
    if not settings.random_start:
        row = episode % episodes.shape[0]
        return row, episodes[row].first_start
    total = 0
    for row in range(episodes.shape[0]):
        total += episodes[row].num_starts
    chosen = int(uniform(key, episode, 0) * total)
    row = 0
    while chosen >= episodes[row].num_starts:
        chosen -= episodes[row].num_starts
        row += 1
    return row, episodes[row].first_start + chosen


@kernel
def _initial_account(
    mark_price: float, price: float, settings: Settings, terms: Terms, key: int, episode: int
) -> Account:
    """Return an account that is flat, or that holds a random position opened at the last price without a fee."""
    account = Account(settings.initial_balance, 0.0, 0.0, 0.0)
    if not settings.random_position:
        return account
    target = np.floor(uniform(key, episode, 1) * 3.0) - 1.0
    largest = min(settings.max_exposure * settings.initial_balance, terms.max_notional * (1.0 - settings.reserve))
    affordable = settings.initial_balance * terms.leverage * (1.0 - settings.reserve)
    amount = ledger.round_amount(target * min(largest, affordable) / price, terms)
    if abs(amount) * mark_price < terms.min_notional:
        return account
    return ledger.apply_fill(account, amount, price, 0.0, terms).account


@kernel
def reset_accounts(
    which: NDArray[np.bool_],
    states: NDArray[np.void],
    observations: NDArray[np.float32],
    column: int,
    shift: int,
    newest: NDArray[np.int64],
    bars: NDArray[np.void],
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    episodes: NDArray[np.void],
    settings_row: NDArray[np.void],
    terms_table: NDArray[np.void],
    brackets: Brackets,
) -> None:
    """Begin a new episode in every account of ``which`` and write its first observation.

    Args:
        which: (num_accounts,).
        states: (num_accounts,) of ``STATE_DTYPE``; ``key`` and ``episode`` are read, all else is written.
        observations: ``memory`` of ``windows.Observations``, written; what follows is called as there.
        column: Where every window begins.
        shift: Bars that are new to an account that has played on.
        newest: (num_accounts,), read and written.
        bars: (num_bars,) of ``BAR_DTYPE``.
        features: (num_bars, num_features), scaled.
        columns: Which entries of the account part are observed.
        episodes: (num_segments,) of ``EPISODE_DTYPE``.
        settings_row: (1,) of ``SETTINGS_DTYPE``.
        terms_table: (num_symbols,) of ``TERMS_DTYPE``.
        brackets: (num_rows, 4).
    """
    settings = settings_row[0]
    for i in range(which.shape[0]):
        if which[i]:
            state = states[i]
            row, t = _start_bar(episodes, settings, state.key, state.episode)
            terms = terms_table[episodes[row].symbol]
            last_bar = episodes[row].last_bar
            account = _initial_account(bars[t].mark_close, bars[t].close, settings, terms, state.key, state.episode)
            if settings.episode_bars > 0:
                last_bar = min(last_bar, t + settings.episode_bars)
            fee_scale = _scaled_draw(settings.fee_scale_low, settings.fee_scale_high, state.key, state.episode, 2)
            state.taker_fee = terms.taker_fee * fee_scale
            state.maker_fee = terms.maker_fee * fee_scale
            state.slippage_scale = _scaled_draw(
                settings.slippage_scale_low, settings.slippage_scale_high, state.key, state.episode, 3
            )
            state.wallet_balance = account.wallet_balance
            state.position_amount = account.position_amount
            state.entry_price = account.entry_price
            state.isolated_wallet = account.isolated_wallet
            state.margin_balance = ledger.margin_balance(account, bars[t].mark_close)
            state.bar = t
            state.last_bar = last_bar
            state.bars_held = 0
            state.symbol = episodes[row].symbol
            newest[i] = NOWHERE
            write_observation(
                observations,
                column,
                shift,
                newest,
                i,
                account,
                t,
                0,
                state.taker_fee,
                bars,
                features,
                columns,
                settings,
                terms,
                brackets,
            )
