"""One account on bars whose decisions are known beforehand, with nothing noted but balances and sums.

Most bars of a rule's back-test are calm: no order is due, no funding is settled, and neither stop nor liquidation lies
within the bar. The account stays what it was then, and only its balance is marked anew. The test for it errs on the
side of playing, and every other bar is played by ``replay``: the balances are the same bits.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader import ledger
from rl_trader.decision import order_of
from rl_trader.intrinsics import borrowed
from rl_trader.kernels import inlined, kernel
from rl_trader.ledger import Account, Brackets, Terms
from rl_trader.path import is_quiet
from rl_trader.replay import play_bar
from rl_trader.state import LIQUIDATED, Bar, Costs, Settings

SURE: Final = 1e-9  # of an exposure: what rounding cannot hide
FEES: Final = 0  # entries of the sums
SLIPPAGE: Final = 1
FUNDING: Final = 2
LIQUIDATION: Final = 3
TRADED: Final = 4
NUM_SUMS: Final = 5


@inlined
def _wants_nothing(target: float, account: Account, mark_price: float, settings: Settings) -> bool:
    """Return whether surely no order is due at a close with this mark price."""
    held = account.position_amount
    if target == 0.0:
        return held == 0.0
    balance = ledger.margin_balance(account, mark_price)
    apart = abs(target * settings.max_exposure * balance - held * mark_price)
    return apart <= (settings.rebalance_band - SURE) * balance


@inlined
def _is_calm(
    account: Account,
    bars: NDArray[np.void],
    t: int,
    settings: Settings,
    terms: Terms,
    brackets: Brackets,
) -> bool:
    """Return whether surely nothing happens in bar ``t`` to an account that sends no order."""
    r = bars[t]
    if r.num_settled != bars[t - 1].num_settled:
        return False
    if account.position_amount == 0.0:
        return True
    bar = Bar(r.open, r.high, r.low, r.close, r.mark_open, r.mark_high, r.mark_low, r.mark_close, 0.0)
    return is_quiet(account, bar, settings, terms, brackets)


@kernel
def play_rule(
    targets: NDArray[np.float64],
    balances: NDArray[np.float64],
    sums: NDArray[np.float64],
    has_ended: bool,
    states: NDArray[np.void],
    bars: NDArray[np.void],
    fundings: NDArray[np.void],
    settings_row: NDArray[np.void],
    terms_table: NDArray[np.void],
    brackets: Brackets,
) -> bool:
    """Play bars in a row and return whether the account was liquidated or ruined, after which it stays out.

    Args:
        targets: (num_bars,) target positions, fractions of ``max_exposure`` in [-1, 1].
        balances: (num_bars,) margin balance at every bar's mark close, written.
        sums: (NUM_SUMS,), to which what is booked is added: USDT.
        has_ended: Whether the account stays out from the first bar on.
        states: (1,) of ``STATE_DTYPE``; read, and not written.
        bars: As all that follow, what ``replay.step_accounts`` takes.
        fundings: (num_settlements,) of ``FUNDING_DTYPE``.
        settings_row: (1,) of ``SETTINGS_DTYPE``.
        terms_table: (num_symbols,) of ``TERMS_DTYPE``.
        brackets: (num_rows, 4).
    """
    bars, fundings, brackets = borrowed(bars), borrowed(fundings), borrowed(brackets)
    settings = settings_row[0]
    state = states[0]
    terms = terms_table[state.symbol]
    costs = Costs(state.taker_fee, state.maker_fee, state.slippage_scale)
    account = Account(state.wallet_balance, state.position_amount, state.entry_price, state.isolated_wallet)
    t = state.bar
    for n in range(targets.shape[0]):
        target = 0.0 if has_ended else targets[n]
        mark_price = bars[t].mark_close
        is_calm = _wants_nothing(target, account, mark_price, settings)
        t += 1
        if not (is_calm and _is_calm(account, bars, t, settings, terms, brackets)):
            price = bars[t - 1].close
            order = order_of(target, account, price, mark_price, costs.taker_fee, settings, terms)
            progress = play_bar(account, order, bars, t, fundings, costs, settings, terms, brackets, None)
            account = progress.account
            flows = progress.flows
            sums[FEES] += flows.fees
            sums[SLIPPAGE] += flows.slippage
            sums[FUNDING] += flows.funding
            sums[LIQUIDATION] += flows.liquidation
            sums[TRADED] += flows.traded_notional
            has_ended |= flows.events & LIQUIDATED != 0
        balance = ledger.margin_balance(account, bars[t].mark_close)
        balances[n] = balance
        has_ended |= account.position_amount == 0.0 and balance < settings.ruin_balance
    return has_ended
