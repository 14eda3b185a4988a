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
from rl_trader.decision import exposure, order_of
from rl_trader.fills import limit_order, market_order, no_order, settled
from rl_trader.flows import Progress, begin
from rl_trader.income import Lines, lines_of
from rl_trader.intrinsics import CACHE_LINE, borrowed, prefetch_row
from rl_trader.kernels import inlined, kernel
from rl_trader.ledger import Account, Brackets, Terms
from rl_trader.path import is_quiet, liquidated, walk_path
from rl_trader.state import LIQUIDATED, RUINED, Bar, Costs, Order, Settings
from rl_trader.threads import Counters, raise_begun
from rl_trader.windows import NOWHERE, write_observation

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
        write_observation(
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
