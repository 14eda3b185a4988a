"""The order of events within a bar, and the kernels that replay recorded bars for many accounts at once.

The decision after bar ``t`` uses bars up to ``t`` and the account. Then, in bar ``t + 1``:

1. Funding due at the opening instant is settled on the position held before the new order.
2. The order: a market order fills at the open, against the trader by slippage and tick; a reduce-only leg first, then
   an opening leg that the exchange still refuses if the balance, the bracket or a filter do not allow it. A post-only
   limit order is refused if it would fill at once, and else rests until the bar's end. Where the mark price opens
   beyond the bankruptcy price nothing is left to save: the position is liquidated and the order is void (assumption).
3. Last and mark price move along one path, open-low-high-close in a rising bar and open-high-low-close in a falling
   one, on which the protective stop or take-profit triggers, at the open if the open is beyond it, and a resting order
   fills at its price where the last price trades through it.
4. The mark path may reach the liquidation price; at equal distance liquidation comes before the stop (assumption).
5. Funding due inside the bar is settled; a position whose margin it leaves too small is liquidated at its mark price.
6. The account is marked at the mark close.

Settlement before the order, fills inside the bar and liquidation on the mark price: Binance FAQ "Introduction to
Funding Rates" and "Liquidation Protocols"; the path is this project's assumption.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader import ledger
from rl_trader.decision import MarketState, account_part, exposure, order_of
from rl_trader.fills import limit_order, market_order, no_order, settled
from rl_trader.flows import Progress, begin
from rl_trader.income import Lines, lines_of
from rl_trader.intrinsics import CACHE_LINE, borrowed, copy_rows, prefetch_row
from rl_trader.kernels import inlined, kernel
from rl_trader.ledger import Account, Brackets, Terms
from rl_trader.path import is_quiet, liquidated, walk_path
from rl_trader.randomness import uniform
from rl_trader.state import LIQUIDATED, RUINED, Bar, Costs, Order, Settings
from rl_trader.threads import Counters, raise_begun
from rl_trader.windows import NOWHERE

ACCOUNTS_AHEAD: Final = 6  # whose market rows are fetched while an account is played


@inlined
def play_bar(
    account: Account,
    order: Order,
    bars: NDArray[np.void],
    t: int,
    fundings: NDArray[np.void],
    costs: Costs,
    settings: Settings,
    terms: Terms,
    brackets: Brackets,
    lines: Lines,
) -> Progress:
    """Return the account after bar ``t``, whose order was decided at the close of bar ``t - 1``.

    Args:
        account: At the close of bar ``t - 1``.
        order: Market order or post-only limit order.
        bars: (num_bars,) of ``BAR_DTYPE``.
        t: Bar to play; ``t - 1`` is in the same segment.
        fundings: (num_settlements,) of ``FUNDING_DTYPE``.
        costs: Fees and slippage scale of the account.
        settings: Record of ``SETTINGS_DTYPE``.
        terms: Record of ``TERMS_DTYPE``.
        brackets: (num_rows, 4).
        lines: (MOST_LINES,) of ``INCOME_DTYPE`` for every booking, or None.
    """
    r = bars[t]
    bar = Bar(r.open, r.high, r.low, r.close, r.mark_open, r.mark_high, r.mark_low, r.mark_close, float(r.volume))
    progress = begin(account, lines)

    # 1. Funding at the opening instant
    due = bars[t - 1].num_settled
    end = r.num_settled
    if due < end and fundings[due].funding_time == r.open_time:
        progress = settled(progress, fundings[due].mark_price, fundings[due].funding_rate, terms)
        due += 1

    # 2. The order
    resting = no_order()
    if ledger.position_margin(progress.account, bar.mark_open, terms) < 0.0 and progress.account.position_amount != 0.0:
        progress = liquidated(progress, bar.mark_open, terms, brackets)
    elif order.limit_price == 0.0:
        progress = market_order(progress, order, bar, costs, settings, terms)
    else:
        progress, resting = limit_order(progress, order, bar, costs, settings, terms)

    # 3 and 4. Stops, the resting order and liquidation along the path
    has_position = progress.account.position_amount != 0.0
    if resting.limit_price != 0.0 or (has_position and not is_quiet(progress.account, bar, settings, terms, brackets)):
        progress = walk_path(progress, resting, bar, costs, settings, terms, brackets)

    # 5. Funding inside the bar
    while due < end:
        mark_price = fundings[due].mark_price
        progress = settled(progress, mark_price, fundings[due].funding_rate, terms)
        if ledger.is_to_be_liquidated(progress.account, mark_price, terms, brackets):
            progress = liquidated(progress, mark_price, terms, brackets)
        due += 1
    return progress


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


@inlined
def _write_observation(
    observations: NDArray[np.float32],
    column: int,
    shift: int,
    newest: NDArray[np.int64],
    i: int,
    account: Account,
    t: int,
    bars_held: int,
    taker_fee: float,
    bars: NDArray[np.void],
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    settings: Settings,
    terms: Terms,
    brackets: Brackets,
) -> None:
    """Write account ``i``'s observation: the feature rows of the window, oldest first, then the account part.

    Of a window that has moved on by ``shift`` bars since it was written, and whose account has too, the rows that lie
    there already are left.
    """
    width = features.shape[1]
    end = column + settings.window * width
    if t - newest[i] == shift and shift < settings.window:
        copy_rows(features, t - shift + 1, shift, observations, i, end - shift * width)
    else:
        copy_rows(features, t - settings.window + 1, settings.window, observations, i, column)
    newest[i] = t
    bar = bars[t]
    market = MarketState(bar.mark_close, float(bar.hours_to_funding), float(bar.last_funding_rate))
    part = account_part(account, market, bars_held, taker_fee, settings.max_exposure, terms, brackets)
    for j in range(columns.shape[0]):
        observations[i, end + j] = part[columns[j]]


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
            _write_observation(
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


@kernel
def step_accounts(
    targets: NDArray[np.float64],
    states: NDArray[np.void],
    outcomes: NDArray[np.void],
    observations: NDArray[np.float32],
    column: int,
    shift: int,
    newest: NDArray[np.int64],
    bars: NDArray[np.void],
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    fundings: NDArray[np.void],
    settings_row: NDArray[np.void],
    terms_table: NDArray[np.void],
    brackets: Brackets,
    income: Lines,
) -> bool:
    """Advance every account by one bar and return whether an episode ended; nothing is reset.

    An account at the last bar of its episode stands still until it is reset.

    Args:
        targets: (num_accounts,) target positions, fractions of ``max_exposure`` in [-1, 1].
        states: (num_accounts,) of ``STATE_DTYPE``; read and written.
        outcomes: (num_accounts,) of ``OUTCOME_DTYPE``, written.
        observations: ``memory`` of ``windows.Observations``, written; what follows is called as there.
        column: Where every window begins.
        shift: Bars that are new to an account that has played on.
        newest: (num_accounts,), read and written.
        bars: (num_bars,) of ``BAR_DTYPE``.
        features: (num_bars, num_features), scaled.
        columns: Which entries of the account part are observed.
        fundings: (num_settlements,) of ``FUNDING_DTYPE``.
        settings_row: (1,) of ``SETTINGS_DTYPE``.
        terms_table: (num_symbols,) of ``TERMS_DTYPE``.
        brackets: (num_rows, 4).
        income: (num_accounts, MOST_LINES) of ``INCOME_DTYPE`` with kinds 0, for every booking, or None.
    """
    num_ended = 0
    bars, features, fundings = borrowed(bars), borrowed(features), borrowed(fundings)
    columns, brackets = borrowed(columns), borrowed(brackets)
    observations, newest = borrowed(observations), borrowed(newest)
    settings = settings_row[0]
    width = features.shape[1] * features.itemsize
    slides = shift < settings.window
    known = (1 - shift) * width if slides else 0
    written = column * features.itemsize + (settings.window - shift) * width
    for i in range(targets.shape[0]):
        ahead = min(i + ACCOUNTS_AHEAD, targets.shape[0] - 1)
        prefetch_row(bars, states[ahead].bar + 1, -CACHE_LINE, bars.itemsize)
        prefetch_row(features, states[ahead].bar + 1, known, width)
        if slides:
            prefetch_row(observations, ahead, written, written + shift * width)
        state = states[i]
        if state.bar >= state.last_bar:  # ended and not reset: it stands still
            outcomes[i].truncated = True
            newest[i] = NOWHERE
            num_ended += 1
            continue
        terms = terms_table[state.symbol]
        costs = Costs(state.taker_fee, state.maker_fee, state.slippage_scale)
        held = state.position_amount
        account = Account(state.wallet_balance, held, state.entry_price, state.isolated_wallet)

        t = state.bar
        order = order_of(targets[i], account, bars[t].close, bars[t].mark_close, costs.taker_fee, settings, terms)
        t += 1
        progress = play_bar(account, order, bars, t, fundings, costs, settings, terms, brackets, lines_of(income, i))
        account = progress.account
        flows = progress.flows
        events = flows.events

        # 6. The account is marked
        mark_price = bars[t].mark_close
        balance = ledger.margin_balance(account, mark_price)
        if account.position_amount == 0.0 and balance < settings.ruin_balance:
            events |= RUINED
        terminated = events & (LIQUIDATED | RUINED) != 0
        truncated = t >= state.last_bar and not terminated

        outcome = outcomes[i]
        before = state.margin_balance
        outcome.margin_balance_before = before
        outcome.margin_balance = balance
        outcome.price_pnl = balance - before - flows.fees - flows.slippage - flows.funding - flows.liquidation
        outcome.fees = flows.fees
        outcome.slippage = flows.slippage
        outcome.funding = flows.funding
        outcome.liquidation = flows.liquidation
        outcome.insurance = flows.insurance
        outcome.realized_pnl = flows.realized_pnl
        outcome.traded_notional = flows.traded_notional
        outcome.exposure = exposure(account, mark_price)
        outcome.bar = t
        outcome.symbol = state.symbol
        outcome.events = events
        outcome.terminated = terminated
        outcome.truncated = truncated

        bars_held = state.bars_held + 1 if held * account.position_amount > 0.0 else 0
        state.wallet_balance = account.wallet_balance
        state.position_amount = account.position_amount
        state.entry_price = account.entry_price
        state.isolated_wallet = account.isolated_wallet
        state.margin_balance = balance
        state.bar = t
        state.bars_held = bars_held
        if terminated or truncated:
            num_ended += 1
            state.episode += 1
        _write_observation(
            observations,
            column,
            shift,
            newest,
            i,
            account,
            t,
            bars_held,
            costs.taker_fee,
            bars,
            features,
            columns,
            settings,
            terms,
            brackets,
        )
    return num_ended > 0


@kernel
def step_share(
    counters: Counters,
    number: int,
    targets: NDArray[np.float64],
    states: NDArray[np.void],
    outcomes: NDArray[np.void],
    observations: NDArray[np.float32],
    column: int,
    shift: int,
    newest: NDArray[np.int64],
    bars: NDArray[np.void],
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    fundings: NDArray[np.void],
    settings_row: NDArray[np.void],
    terms_table: NDArray[np.void],
    brackets: Brackets,
    income: Lines,
) -> bool:
    """Do as ``step_accounts`` does for a thread's share of the accounts, and let the others begin (``threads``)."""
    raise_begun(counters, number)
    return step_accounts(
        targets,
        states,
        outcomes,
        observations,
        column,
        shift,
        newest,
        bars,
        features,
        columns,
        fundings,
        settings_row,
        terms_table,
        brackets,
        income,
    )
