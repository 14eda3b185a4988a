"""Random orders: what a decision would send, and what no decision sends."""

import numpy as np

from rl_trader import ledger
from rl_trader.decision import limit_price, order_of
from rl_trader.differential.cases import LARGEST_NOTIONAL, Case, Rng
from rl_trader.kernels import records
from rl_trader.ledger import Account
from rl_trader.state import Order

NO_ORDER = Order(0.0, 0.0, 0.0)
LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def draw_order(rng: Rng, case: Case, account: Account, t: int) -> Order:
    """Draw an order at the close of bar ``t``: none, a decision's, or a reckless one."""
    kind = rng.random()
    if kind < 0.4:  # noqa: PLR2004
        return NO_ORDER
    order = _decided(rng, case, account, t) if kind < 0.75 else _reckless(rng, case, account, t)  # noqa: PLR2004
    size = (abs(account.position_amount) + abs(order.open_amount)) * case.bars[t]["close"]
    return order if size <= LARGEST_NOTIONAL else NO_ORDER


def _decided(rng: Rng, case: Case, account: Account, t: int) -> Order:
    bar = case.bars[t]
    return order_of(
        float(rng.choice(LEVELS)),
        account,
        float(bar["close"]),
        float(bar["mark_close"]),
        case.terms.taker_fee,
        records(case.settings)[0],
        records(case.kernel_terms)[0],
    )


def _reckless(rng: Rng, case: Case, account: Account, t: int) -> Order:
    """Return an order of any size on either side, market or limit, on either side of the close."""
    terms = records(case.kernel_terms)[0]
    close = float(case.bars[t]["close"])
    affordable = max(account.wallet_balance, 1.0) * case.trading.leverage
    notional = min(affordable, case.terms.max_notional(case.trading.leverage)) * rng.uniform(0.0, 1.2)
    amount = ledger.round_amount(float(rng.choice([-1.0, 1.0])) * notional / close, terms)
    held = account.position_amount
    reduce_amount = 0.0
    if held * amount < 0.0:
        reduce_amount = amount if abs(amount) <= abs(held) else -held
    open_amount = ledger.sum_of_amounts(amount, -reduce_amount, terms)
    if amount == 0.0 or rng.random() < 0.5:  # noqa: PLR2004
        return Order(reduce_amount, open_amount, 0.0)
    return Order(reduce_amount, open_amount, limit_price(amount, close, float(rng.uniform(-0.005, 0.03)), terms))


def draw_margin_move(rng: Rng, account: Account) -> float:
    """Return an amount of USDT that is put into the isolated wallet, or taken out; mostly none."""
    if account.isolated_wallet == 0.0 or rng.random() > 0.1:  # noqa: PLR2004
        return 0.0
    return float(np.round(rng.uniform(-1.0, 1.0) * account.isolated_wallet, 8))
