"""How accounts set what they trade with, and what holds whatever they do.

Numbers are those of :mod:`tests.engine_tables`.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.books.money import UNIT
from rl_trader.local_exchange.books.positions import MarginMode
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.engine.changing import cancel, modify
from rl_trader.local_exchange.engine.conditional import cancel_algo
from rl_trader.local_exchange.engine.events import AccountUpdate, LeverageUpdate, MultiAssetsUpdate, OrderUpdate
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.settings import (
    move_margin,
    set_leverage,
    set_margin_mode,
    set_multi_assets,
    set_position_mode,
)
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.views import available_balance
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    OrderType,
    PositionSide,
    Prevention,
    Side,
    TimeInForce,
    UpdateReason,
    WorkingType,
)
from tests.engine_tables import A, B, D, Floor, contract, snapshot, told

BOTH = PositionSide.BOTH
LONG, SHORT = {"position_side": PositionSide.LONG}, {"position_side": PositionSide.SHORT}
ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS


def move(floor: Floor, trader: Trader, amount: str, side: PositionSide = BOTH, symbol: str = A) -> None:
    move_margin(floor.state, trader, symbol, side, D(amount))


# ---- What an account begins with


def test_a_symbol_that_was_never_set_has_cross_margin_and_twenty_times_leverage() -> None:
    floor = Floor()
    trader = floor.exchange.open_account("new", D(1000))
    floor.buy(trader, "1")
    setting = trader.setting(A)
    assert (setting.margin_mode, setting.leverage, trader.is_hedged, trader.is_multi_assets) == (
        CROSS,
        20,
        False,
        False,
    )


def test_a_symbol_that_allows_less_begins_with_the_most_that_it_allows() -> None:
    low = contract().brackets[2]
    only = type(low)(
        notional_floor=0.0, notional_cap=1000.0, maint_margin_rate=0.05, maint_amount=0.0, initial_leverage=5
    )
    floor = Floor(brackets=(only,))
    trader = floor.exchange.open_account("new", D(1000))
    floor.buy(trader, "1")
    assert trader.setting(A).leverage == 5


def test_the_first_transfer_is_an_income_of_its_own() -> None:
    floor = Floor()
    trader = floor.exchange.open_account("new", D(1000))
    assert [(line.type, line.amount, line.symbol) for line in trader.income] == [("TRANSFER", D(1000), "")]
    assert floor.exchange.open_account("poor", D(0)).income == []


def test_accounts_and_symbols_have_names_of_their_own() -> None:
    floor = Floor()
    floor.exchange.open_account("one", D(1))
    with pytest.raises(ConfigError, match="different names"):
        floor.exchange.open_account("one", D(1))
    conduct = Conduct(half_spread=D(0), sqrt_impact=D(0), linear_impact=D(0), slippage_scale=D(0))
    with pytest.raises(ConfigError, match="given twice"):
        Exchange([contract(), contract()], conduct)
    with pytest.raises(ConfigError, match="none is given"):
        Exchange([], conduct)


def test_settings_can_be_made_before_the_first_price() -> None:
    conduct = Conduct(half_spread=D(0), sqrt_impact=D(0), linear_impact=D(0), slippage_scale=D(0))
    exchange = Exchange([contract()], conduct)
    trader = exchange.open_account("early", D(1000))
    set_leverage(exchange.state, trader, A, 10)
    set_margin_mode(exchange.state, trader, A, ISOLATED)
    set_position_mode(trader, is_hedged=True)
    assert (trader.setting(A).leverage, trader.is_isolated(A), trader.is_hedged) == (10, True, True)
    assert available_balance(exchange.state, trader) == 1000


# ---- Leverage


def test_leverage_is_a_whole_number_up_to_the_first_bracket_s() -> None:
    floor = Floor()
    trader = floor.account()
    for leverage in (0, -1, 51):
        with floor.refuses(-4028):
            set_leverage(floor.state, trader, A, leverage)
    for leverage in (1, 50):
        set_leverage(floor.state, trader, A, leverage)
        assert trader.setting(A).leverage == leverage
    assert list(trader.outbox) == [LeverageUpdate(floor.now, A, 1), LeverageUpdate(floor.now, A, 50)]


def test_a_leverage_that_is_set_already_can_be_set_with_nothing_available() -> None:
    floor = Floor()
    trader = floor.account("50.5")
    floor.buy(trader, "10")
    floor.move("99")
    assert available_balance(floor.state, trader) < 0
    set_leverage(floor.state, trader, A, 20)


def test_the_leverage_of_an_isolated_position_may_rise_and_not_fall() -> None:
    floor = Floor()
    trader = floor.account(is_isolated=True, leverage=10)
    floor.buy(trader, "10")
    with floor.refuses(-4161):
        set_leverage(floor.state, trader, A, 9)
    set_leverage(floor.state, trader, A, 20)
    assert trader.position(A).isolated_wallet == 100  # as it was set aside


def test_a_position_may_be_too_large_for_a_higher_leverage() -> None:
    # 101 * 100 = 10 100 is above the 10 000 of 50x, and below the 50 000 of 20x.
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "101")
    with floor.refuses(-2027):
        set_leverage(floor.state, trader, A, 50)
    floor.sell(trader, "1")
    set_leverage(floor.state, trader, A, 50)


def test_open_orders_may_make_a_position_too_large_for_a_higher_leverage() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "60")
    order = floor.buy(trader, "40.01", "99")
    with floor.refuses(-2027):
        set_leverage(floor.state, trader, A, 50)
    cancel(floor.state, trader, order)
    floor.sell(trader, "160", "103")
    set_leverage(floor.state, trader, A, 50)


def test_in_hedge_mode_each_position_is_measured_by_itself() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "60", **LONG)
    floor.sell(trader, "60", **SHORT)
    floor.sell(trader, "60", "103", **LONG)
    set_leverage(floor.state, trader, A, 50)
    floor.open_bar("100")
    floor.sell(trader, "40", **SHORT)
    with floor.refuses(-2027):
        floor.sell(trader, "0.1", **SHORT)


def test_the_margin_for_a_lower_leverage_must_be_available() -> None:
    # 10 at 100: 50 at 20x, 100 at 10x, 111.1 at 9x; of 100.5 the fee takes 0.5.
    floor = Floor()
    trader = floor.account("100.5")
    floor.buy(trader, "10")
    with floor.refuses(-2028):
        set_leverage(floor.state, trader, A, 9)
    set_leverage(floor.state, trader, A, 10)
    assert available_balance(floor.state, trader) == 0


def test_open_orders_are_counted_where_the_leverage_is_lowered() -> None:
    # 10 * 98 / 10 + 0.196 = 98.196, at 9x 109.08
    floor = Floor()
    trader = floor.account("99")
    floor.buy(trader, "10", "98")
    with floor.refuses(-2028):
        set_leverage(floor.state, trader, A, 9)
    set_leverage(floor.state, trader, A, 10)


# ---- Margin mode


def test_the_margin_mode_is_changed_and_told() -> None:
    floor = Floor()
    trader = floor.account()
    set_margin_mode(floor.state, trader, A, ISOLATED)
    (update,) = trader.outbox
    assert isinstance(update, AccountUpdate)
    assert (update.reason, [(p.symbol, p.side, p.is_isolated) for p in update.positions]) == (
        UpdateReason.MARGIN_TYPE_CHANGE,
        [(A, BOTH, True)],
    )
    with floor.refuses(-4046):
        set_margin_mode(floor.state, trader, A, ISOLATED)


def test_the_margin_mode_stays_with_open_orders_and_with_a_position() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account()
    order = floor.buy(trader, "1", "98")
    with floor.refuses(-4047):
        set_margin_mode(floor.state, trader, A, ISOLATED)
    set_margin_mode(floor.state, trader, B, ISOLATED)
    cancel(floor.state, trader, order)
    floor.buy(trader, "1")
    with floor.refuses(-4048):
        set_margin_mode(floor.state, trader, A, ISOLATED)
    floor.sell(trader, "1")
    set_margin_mode(floor.state, trader, A, ISOLATED)


# ---- Position mode


def test_the_position_mode_is_changed_for_every_symbol() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account()
    with floor.refuses(-4059):
        set_position_mode(trader, is_hedged=False)
    set_position_mode(trader, is_hedged=True)
    with floor.refuses(-4059):
        set_position_mode(trader, is_hedged=True)
    floor.buy(trader, "1", symbol=B, **LONG)


def test_the_position_mode_stays_with_orders_and_with_positions() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "98")
    with floor.refuses(-4067):
        set_position_mode(trader, is_hedged=True)
    cancel(floor.state, trader, order)
    waiting = floor.wait(trader, OrderType.STOP_MARKET, Side.BUY, "1", "103")
    with floor.refuses(-4067):
        set_position_mode(trader, is_hedged=True)
    cancel_algo(floor.state, trader, waiting)
    floor.buy(trader, "1")
    with floor.refuses(-4068):
        set_position_mode(trader, is_hedged=True)
    floor.sell(trader, "1")
    set_position_mode(trader, is_hedged=True)


# ---- Multi-assets mode


def test_the_multi_assets_mode_is_changed_and_told() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-4171):
        set_multi_assets(floor.state, trader, is_multi_assets=False)
    set_multi_assets(floor.state, trader, is_multi_assets=True)
    assert list(trader.outbox) == [MultiAssetsUpdate(floor.now, is_multi_assets=True)]
    with floor.refuses(-4171):
        set_multi_assets(floor.state, trader, is_multi_assets=True)


def test_multi_assets_mode_and_isolated_margin_exclude_each_other() -> None:
    floor = Floor()
    trader = floor.account(is_isolated=True)
    order = floor.buy(trader, "1", "98")
    with floor.refuses(-4167):
        set_multi_assets(floor.state, trader, is_multi_assets=True)
    cancel(floor.state, trader, order)
    floor.buy(trader, "1")
    with floor.refuses(-4167):
        set_multi_assets(floor.state, trader, is_multi_assets=True)
    floor.sell(trader, "1")
    set_margin_mode(floor.state, trader, A, CROSS)
    set_multi_assets(floor.state, trader, is_multi_assets=True)
    with floor.refuses(-4167):
        set_margin_mode(floor.state, trader, A, ISOLATED)


# ---- Margin of a position


def test_margin_is_added_to_an_isolated_position_and_taken_away() -> None:
    floor = Floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")  # 50 of margin, 0.5 of fee
    told(trader)
    move(floor, trader, "30")
    assert (trader.position(A).isolated_wallet, trader.cross_wallet, trader.books.wallet_balance) == (
        D(80),
        D("919.5"),
        D("999.5"),
    )
    (update,) = trader.outbox
    assert isinstance(update, AccountUpdate)
    assert (update.reason, [p.isolated_wallet for p in update.positions]) == (
        UpdateReason.MARGIN_TRANSFER,
        [D(80)],
    )
    move(floor, trader, "-30")
    assert [(m.amount, m.symbol, m.position_side) for m in trader.margin_moves] == [
        (D(30), A, BOTH),
        (D(-30), A, BOTH),
    ]


def test_what_a_margin_move_is_refused_for() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account("1000", is_isolated=True)
    cross = floor.account("1000", "cross")
    floor.buy(trader, "10")
    floor.buy(cross, "10")
    with floor.refuses(-4049):
        move(floor, cross, "10")
    with floor.refuses(-4054):
        move(floor, trader, "10", symbol=B)
    with floor.refuses(-4061):
        move(floor, trader, "10", side=PositionSide.LONG)
    for amount in ("0", "0.000000001"):
        with floor.refuses(-4055):
            move(floor, trader, amount)


def test_margin_cannot_be_moved_of_a_symbol_that_was_never_traded() -> None:
    floor = Floor()
    trader = floor.exchange.open_account("new", D(1000))
    with pytest.raises(RefusedError) as caught:
        move(floor, trader, "10")
    assert caught.value.code == -4049


def test_no_more_margin_is_added_than_is_available() -> None:
    # 1000 - 0.5 - 50 = 949.5; an open order binds 49.196 of it.
    floor = Floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    with floor.refuses(-4050):
        move(floor, trader, "949.50000001")
    order = floor.buy(trader, "10", "98")
    with floor.refuses(-4050):
        move(floor, trader, "900.30400001")
    move(floor, trader, "900.304")
    cancel(floor.state, trader, order)
    assert available_balance(floor.state, trader) == D("49.196")


def test_no_more_margin_is_taken_away_than_the_initial_margin_leaves() -> None:
    # 50 + 30 with a mark of 98: 20 of loss and 10 * 98 / 20 = 49 of initial margin leave 11.
    floor = Floor()
    trader = floor.account("1000", is_isolated=True)
    floor.buy(trader, "10")
    with floor.refuses(-4051):
        move(floor, trader, "-0.00000001")
    move(floor, trader, "30")
    floor.move("98")
    with floor.refuses(-4051):
        move(floor, trader, "-11.00000001")
    move(floor, trader, "-11")


def test_in_hedge_mode_margin_is_moved_for_one_of_the_positions() -> None:
    floor = Floor()
    trader = floor.account("1000", is_isolated=True, is_hedged=True)
    floor.buy(trader, "10", **LONG)
    floor.sell(trader, "10", **SHORT)
    move(floor, trader, "7", side=PositionSide.SHORT)
    assert trader.position(f"{A}:LONG").isolated_wallet == 50
    assert trader.position(f"{A}:SHORT").isolated_wallet == 57
    with floor.refuses(-4061):
        move(floor, trader, "7")


# ---- What holds whatever happens


def refusal_of(act: Callable[[Trader, str], None], trader: Trader, symbol: str) -> int | None:
    """Return the code that an act is refused with; only refusals are expected."""
    try:
        act(trader, symbol)
    except RefusedError as refusal:
        return refusal.code
    return None


class Monkeys:
    """Accounts that do at random what accounts may do, and what must hold after each of it.

    Drawn are: orders of every type, side and time in force, conditional orders of every type, cancellations,
    amendments, margin moves, leverage, price moves, bars with and without trades, thin levels, and funding.
    """

    def __init__(self, seed: int, *, is_hedged: bool) -> None:
        self.draw = random.Random(seed)
        self.floor = Floor(half_spread="0.004", symbols=(A, B), fund="1000000")
        wallets = ("300", "3000", "40000")
        self.traders = [
            self.floor.account(wallet, f"monkey {number}", is_isolated=self.draw.random() < 0.5, is_hedged=is_hedged)
            for number, wallet in enumerate(wallets)
        ]
        self.settled = D(0)
        self.told_last: dict[str, dict[int, Order]] = {}
        self.refusals: dict[int, int] = {}
        self.start = self.wealth()

    def wealth(self) -> Decimal:
        """Return all money, less what the positions were bought for."""
        total = self.floor.state.insurance_fund or D(0)
        for trader in self.traders:
            total += trader.books.wallet_balance
            total -= sum(p.amount * p.entry_price for p in trader.books.positions.values())
        return total

    def step(self) -> None:
        """Do something, and see that it changed nothing where it was refused."""
        trader, symbol = self.draw.choice(self.traders), self.draw.choice((A, B))
        acts: list[Callable[[Trader, str], None]] = [self.order] * 6
        acts += [self.conditional] * 3 + [self.market] * 6 + [self.amend, self.cancel, self.fund, self.set, self.margin]
        act = self.draw.choice(acts)
        before = None if act == self.market else snapshot(self.floor.state)
        code = refusal_of(act, trader, symbol)
        if code is not None:
            self.refusals[code] = self.refusals.get(code, 0) + 1
            assert snapshot(self.floor.state) == before, code

    def price(self, symbol: str, reach: int) -> str:
        """Return a price within so many ticks of the last one."""
        ticks = int(self.floor.exchange.quotes[symbol].last * 10) + self.draw.randint(-reach, reach)
        return str(D(max(ticks, 1)) / 10)

    def quantity(self, trader: Trader) -> str:
        """Return a quantity that the account may be able to pay for."""
        return str(D(self.draw.randint(1, 300)) * D("0.02") * max(trader.books.wallet_balance // 1000, D(1)))

    def side_of(self, trader: Trader) -> dict[str, object]:
        """Return a position side of the account's mode."""
        side = self.draw.choice((PositionSide.LONG, PositionSide.SHORT)) if trader.is_hedged else BOTH
        return {"position_side": side}

    def order(self, trader: Trader, symbol: str) -> None:
        """Place an order."""
        self.floor.place(
            trader,
            self.draw.choice(list(Side)),
            self.quantity(trader),
            None if self.draw.random() < 0.4 else self.price(symbol, 40),
            symbol=symbol,
            time_in_force=self.draw.choice((*TimeInForce, TimeInForce.GTC, TimeInForce.GTC)),
            reduce_only=not trader.is_hedged and self.draw.random() < 0.3,
            prevention=self.draw.choice(list(Prevention)),
            good_till_ms=self.floor.now + self.draw.randint(600_000, 700_000),
            **self.side_of(trader),
        )

    def conditional(self, trader: Trader, symbol: str) -> None:
        """Place a conditional order."""
        kind = self.draw.choice([kind for kind in OrderType if kind.is_conditional])
        is_closing = self.draw.random() < 0.3
        self.floor.wait(
            trader,
            kind,
            self.draw.choice(list(Side)),
            None if is_closing else self.quantity(trader),
            None if kind is OrderType.TRAILING_STOP_MARKET else self.price(symbol, 40),
            symbol=symbol,
            price=D(self.price(symbol, 40)),
            callback_rate=D(self.draw.randint(1, 30)) / 10,
            activate_price=D(self.price(symbol, 40)) if self.draw.random() < 0.5 else None,
            working_type=self.draw.choice(list(WorkingType)),
            close_position=is_closing,
            price_protect=self.draw.random() < 0.3,
            reduce_only=not trader.is_hedged and not is_closing and self.draw.random() < 0.3,
            **self.side_of(trader),
        )

    def amend(self, trader: Trader, symbol: str) -> None:
        """Change an open order."""
        if orders := trader.open_orders_of(symbol):
            order = self.draw.choice(orders)
            modify(
                self.floor.state,
                trader,
                order,
                order.side,
                D(self.quantity(trader)),
                D(self.price(symbol, 40)),
            )

    def cancel(self, trader: Trader, symbol: str) -> None:
        """Cancel an order and a conditional one."""
        if orders := trader.open_orders_of(symbol):
            cancel(self.floor.state, trader, self.draw.choice(orders))
        if waiting := trader.open_algo_orders_of(symbol):
            cancel_algo(self.floor.state, trader, self.draw.choice(waiting))

    def set(self, trader: Trader, symbol: str) -> None:
        """Set the leverage."""
        set_leverage(self.floor.state, trader, symbol, self.draw.choice((1, 5, 10, 20, 50)))

    def margin(self, trader: Trader, symbol: str) -> None:
        """Move margin."""
        side = self.draw.choice(list(PositionSide))
        move_margin(self.floor.state, trader, symbol, side, D(self.draw.randint(-20, 20)))

    def fund(self, _trader: Trader, symbol: str) -> None:
        """Settle funding, and liquidate what that has left too little margin."""
        mark, before = self.floor.exchange.quotes[symbol].mark, sum(t.books.wallet_balance for t in self.traders)
        rate = D(self.draw.randint(-20, 20)) / 10_000
        self.floor.exchange.settle_funding(symbol, rate=rate, mark=mark, time_ms=self.floor.now)
        self.settled += sum(t.books.wallet_balance for t in self.traders) - before
        self.floor.exchange.enforce_margin(symbol, mark=mark, now_ms=self.floor.now)

    def market(self, _trader: Trader, symbol: str) -> None:
        """Let a bar open, or the prices move."""
        quotes = self.floor.exchange.quotes[symbol]
        last = self.price(symbol, 20)
        mark = str(max(D(last) + D(self.draw.randint(-3, 3)) / 10, D("0.1")))
        if self.draw.random() < 0.25:
            volume = "0" if self.draw.random() < 0.1 else "1000"
            self.floor.open_bar(self.price(symbol, 40), mark, symbol=symbol, volume=volume)
            quotes.available = D(self.draw.randint(0, 20)) if self.draw.random() < 0.3 else None
        else:
            self.floor.move(last, mark=mark, symbol=symbol)

    def check(self) -> None:
        """See that everything holds that must."""
        paid = self.settled
        num_bookings = 0
        for trader in self.traders:
            self.check_money(trader)
            self.check_orders(trader)
            self.check_positions(trader)
            self.check_events(trader)
            paid -= sum(fill.side.sign * fill.amount * fill.price + fill.commission for fill in trader.fills)
            num_bookings += len(trader.income)
        # Every booking is rounded to 1e-8, which may take half of it away.
        assert abs(self.wealth() - self.start - paid) <= num_bookings * UNIT

    def check_money(self, trader: Trader) -> None:
        """See that the wallet is the sum of its income, and never below zero when nothing is held."""
        wallet = trader.books.wallet_balance
        assert sum(line.amount for line in trader.income) == wallet
        assert wallet % UNIT == 0
        assert wallet >= 0 or trader.held_slots()
        assert [line.tran_id for line in trader.income] == list(range(1, len(trader.income) + 1))
        commissions = sum(line.amount for line in trader.income if line.type == IncomeKind.COMMISSION.value)
        realized = sum(line.amount for line in trader.income if line.type == IncomeKind.REALIZED_PNL.value)
        assert commissions == -sum(fill.commission for fill in trader.fills)
        assert realized == sum(fill.realized for fill in trader.fills) == sum(trader.realized.values())

    def check_positions(self, trader: Trader) -> None:
        """See that positions are the sums of their fills, and on their side of zero in hedge mode."""
        held: dict[str, Decimal] = {}
        for fill in trader.fills:
            slot = slot_name(fill.symbol, fill.position_side)
            held[slot] = held.get(slot, D(0)) + fill.side.sign * fill.amount
        for slot, position in trader.books.positions.items():
            assert position.amount == held.get(slot, 0)
            assert position.isolated_wallet == 0 or position.amount
            assert (slot in trader.costs) == bool(position.amount)
            if ":" in slot:
                assert position.amount * (1 if slot.endswith("LONG") else -1) >= 0
            assert position.amount == 0 or trader.is_hedged == (":" in slot)

    def check_orders(self, trader: Trader) -> None:
        """See that orders are the sums of their fills, and open where they say so."""
        done: dict[int, Decimal] = {}
        for fill in trader.fills:
            done[fill.order_id] = done.get(fill.order_id, D(0)) + fill.amount
        for order in trader.orders.values():
            assert order.executed == done.get(order.order_id, 0) <= order.quantity
            assert order.status.is_open == (order.order_id in trader.open_orders)
            assert not order.status.is_open or order.remaining > 0
            assert not order.status.is_open or order.time_in_force not in (TimeInForce.IOC, TimeInForce.FOK)
        open_ids = [(order.symbol, order.client_order_id) for order in trader.open_orders.values()]
        assert len(set(open_ids)) == len(open_ids)
        for algo in trader.algo_orders.values():
            assert (algo.status is AlgoStatus.NEW) == (algo.algo_id in trader.open_algo_orders)
            child = trader.orders[algo.actual_order_id] if algo.actual_order_id else None
            assert (algo.status is AlgoStatus.FINISHED) == (child is not None and not child.status.is_open)

    def check_events(self, trader: Trader) -> None:
        """See that what was told since the last time is in order of time and ends with how the orders stand."""
        times = [event.time_ms for event in trader.outbox]
        assert times == sorted(times)
        told_last = self.told_last.setdefault(trader.name, {})
        told_last |= {event.order.order_id: event.order for event in trader.outbox if isinstance(event, OrderUpdate)}
        trader.outbox.clear()
        for order in trader.orders.values():
            seen = told_last[order.order_id]
            assert (seen.status, seen.executed, seen.price) == (order.status, order.executed, order.price)


@contextmanager
def told_where(seed: int, step: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"seed {seed}, step {step}")
        raise


@pytest.mark.parametrize("is_hedged", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_accounts_do_their_books_hold(seed: int, is_hedged: bool) -> None:
    monkeys = Monkeys(seed, is_hedged=is_hedged)
    for step in range(250):
        with told_where(seed, step):
            monkeys.step()
            if step % 5 == 0:
                monkeys.check()
    assert sum(len(trader.fills) for trader in monkeys.traders) > 20
    assert len(monkeys.refusals) > 5


def test_the_same_monkeys_do_the_same() -> None:
    ends = []
    for _ in range(2):
        monkeys = Monkeys(11, is_hedged=False)
        for _ in range(150):
            monkeys.step()
        ends.append(snapshot(monkeys.floor.state))
    assert ends[0] == ends[1]
