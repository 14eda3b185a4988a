"""An evaluation on the embedded market, and the accounts behind it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.embedded import embedded_market_data
from rl_trader.backtest import backtest_policy, backtest_targets, tally_targets
from rl_trader.baselines import BASELINES, random_targets
from rl_trader.config import Slippage, TradingConfig
from rl_trader.embedded import STATE_FEATURE
from rl_trader.evaluation import Evaluation, evaluate
from rl_trader.market import Period
from rl_trader.metrics import FLOWS
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import ObservedMarket, observe_market

SCHEMA = ObservationSchema(features=(STATE_FEATURE,), account_features=("exposure",))
TRADING = TradingConfig(leverage=2, stop_loss=0.4, slippage=Slippage(half_spread=0.0003))


class AgainstThePrice:
    """Short above the anchor, long below it, flat near it."""

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the target positions."""
        state = observations[:, 0].astype(np.float64)
        return np.where(np.abs(state) < 1.0, 0.0, -np.sign(state))


class Flat:
    """Never in the market."""

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the target positions."""
        return np.zeros(len(observations))


@pytest.fixture(scope="module")
def observed() -> ObservedMarket:
    return observe_market(embedded_market_data(3_000, 5), SCHEMA)


@pytest.fixture(scope="module")
def evaluation(observed: ObservedMarket) -> Evaluation:
    since = int(observed.market.bars["open_time"][1_000])
    return evaluate("agent", AgainstThePrice(), observed, TRADING, Period(since), num_random=40, seed=1)


def test_agent_and_baselines_are_played_over_exactly_the_bars_of_the_period(evaluation: Evaluation) -> None:
    opened = evaluation.market.bars["open_time"]
    assert evaluation.played == Period(int(opened[1_000]), int(opened[-1]) + evaluation.market.interval_ms)
    assert set(evaluation.baselines) == set(BASELINES)
    for results in (evaluation.agent, *evaluation.baselines.values()):
        assert results[0].close_time.tolist() == (opened[1_000:] + evaluation.market.interval_ms).tolist()


def test_the_flows_of_every_bar_sum_to_the_change_of_the_balance(evaluation: Evaluation) -> None:
    for results in (evaluation.agent, *evaluation.baselines.values()):
        outcomes = results[0].outcomes
        change = outcomes["margin_balance"] - outcomes["margin_balance_before"]
        assert sum(outcomes[name] for name in FLOWS) == pytest.approx(change, abs=1e-8)
        assert outcomes["margin_balance_before"][0] == TRADING.initial_balance
        assert np.array_equal(outcomes["margin_balance_before"][1:], outcomes["margin_balance"][:-1])


def test_the_policy_with_an_edge_beats_chance_and_holding_where_one_is_to_be_had(evaluation: Evaluation) -> None:
    assert evaluation.random is not None
    assert evaluation.random.share_below == 1.0
    assert evaluation.metrics.total_return > max(m.total_return for m in evaluation.baseline_metrics.values())


def test_random_agents_trade_as_much_as_the_agent(evaluation: Evaluation) -> None:
    # 40 agents that move in about one bar of 25 over 2 000 bars make 3 000 moves: a standard error below 2 %.
    assert evaluation.random is not None
    assert evaluation.random.turnover == pytest.approx(evaluation.metrics.turnover, rel=0.06)
    assert evaluation.random.wanted_turnover == evaluation.metrics.turnover


def test_half_of_the_random_agents_that_do_as_the_agent_does_count_as_below_it(observed: ObservedMarket) -> None:
    # A flat agent has no turnover, so its random agents are flat as well.
    flat = evaluate("flat", Flat(), observed, TRADING, Period(), num_random=5)
    assert flat.random is not None
    assert flat.random.share_below == 0.5
    assert flat.metrics.to_json() == flat.baseline_metrics["flat"].to_json()


def test_the_balances_of_the_tally_are_those_of_the_back_test(observed: ObservedMarket) -> None:
    num_bars = len(observed.market.bars)
    table = np.stack(list(random_targets(num_bars, 0.02, 3, 4, TRADING.levels)))
    names = [str(i) for i in range(4)]
    results = backtest_targets({name: table[:, int(name)] for name in names}, observed, TRADING, Period())
    tally = tally_targets(iter(table[observed.warmup :]), 4, observed, TRADING, Period(), 0)
    for i, name in enumerate(names):
        outcomes = results[name][0].outcomes
        assert tally.margin_balance[i] == outcomes["margin_balance"][-1]
        traded = outcomes["traded_notional"] / outcomes["margin_balance_before"]
        assert tally.turnover[i] == pytest.approx(traded.mean())


def test_a_ruined_account_stays_out_of_the_market(observed: ObservedMarket) -> None:
    # At a slippage of 15 % a flip, a fee and a spread leave the account with too little within a few bars.
    costly = TradingConfig(leverage=2, stop_loss=None, slippage=Slippage(half_spread=0.15))

    class Flips:
        def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
            return np.where(observations[:, -1] > 0.0, -1.0, 1.0)

    (result,) = backtest_policy("flips", Flips(), observed, costly, Period())
    end = int(np.argmax(result.outcomes["terminated"]))
    assert 0 < end < 100
    assert not result.has_ended[end]
    assert result.has_ended[end + 1 :].all()
    assert not result.outcomes["traded_notional"][end + 1 :].any()
    assert np.unique(result.margin_balance[end:]).size == 1


def test_the_json_form_has_no_number_that_json_lacks(evaluation: Evaluation) -> None:
    data = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert data["agent"]["total_return"] == evaluation.metrics.total_return
    assert data["random"]["num_agents"] == 40
    assert (data["taker_fee"], data["interval"]) == ({"EMBEDDED": 0.002}, "30m")
    assert "used on data of the past" in " ".join(data["assumptions"])


def test_brackets_without_a_date_are_an_assumption_that_the_evaluation_names(evaluation: Evaluation) -> None:
    (terms,) = evaluation.market.terms
    dated = " ".join(evaluation.assumptions)
    assert "are the terms of 2020-01-01, used" in dated
    assert "without a date" not in dated
    older = replace(terms, read_on="2026-09-15", brackets_read_on="2026-08-01", inferred=("taker_fee", "maker_fee"))
    said = " ".join(replace(evaluation, market=replace(evaluation.market, terms=(older,))).assumptions)
    assert "are the terms of 2026-08-01, 2026-09-15, used" in said
    assert "EMBEDDED: not answered by the exchange for this symbol and account but inferred, or the fees of" in said
    undated = replace(terms, brackets_read_on=None)
    said = " ".join(replace(evaluation, market=replace(evaluation.market, terms=(undated,))).assumptions)
    assert "The leverage brackets of EMBEDDED are those of a file without a date." in said
