"""Send many requests and look at each answer: its form, and that a refusal has changed nothing."""

import json
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.assembly import Assembly, Setup, assemble_lock_step
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.protocol.limits import UNLIMITED
from rl_trader.local_exchange.protocol.request import Request, Response
from tests.fuzz.requests import RequestMaker, has_api_shape

BARS_EVERY: Final = 200  # requests, after which the market goes on by a bar
OK: Final = 200
FAILED: Final = 500


@dataclass(slots=True)
class Findings:
    """What came of it."""

    num_requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)  # status and code
    faults: list[str] = field(default_factory=list)  # sentences

    def add_fault(self, request: Request, what: str) -> None:
        """Note what is wrong with an answer."""
        self.faults.append(
            f"{request.method} {request.path[:60]} ?{request.query[:300]} {request.body[:300]!r}: {what}"
        )


def fuzz(num_requests: int, seed: int, report: Callable[[int], object] = lambda _num: None) -> Findings:
    """Send requests to an exchange of its own, and return what was found."""
    setup = Setup(balance=Decimal(100_000), limits=replace(UNLIMITED), accounts=("fuzz", "other"))
    assembly = assemble_lock_step(setup)
    maker = RequestMaker(seed, assembly.keys[0])
    findings = Findings()
    for number in range(num_requests):
        _send(assembly, maker.make(assembly.venue.market_ms()), findings)
        if number % BARS_EVERY == BARS_EVERY - 1:
            assembly.venue.to_next_open()
            _check_books(assembly, findings)
            report(BARS_EVERY)
    findings.num_requests = num_requests
    return findings


def _send(assembly: Assembly, request: Request, findings: Findings) -> None:
    traders = assembly.venue.exchange.traders.values()
    before = [_snapshot(trader) for trader in traders]
    try:
        response = assembly.dispatcher.handle(request)
    except Exception as error:
        findings.add_fault(request, f"raised {error!r}")
        return
    _note(request, response, findings)
    after = [_snapshot(trader) for trader in traders]
    if after[1] != before[1]:
        findings.add_fault(request, "changed another account")
    if (response.status != OK or request.method == "GET") and after[0] != before[0]:
        findings.add_fault(request, f"changed the account, though it was answered {response.status}")


def _note(request: Request, response: Response, findings: Findings) -> None:
    if response.status == OK:
        findings.answers["200"] += 1
        json.loads(response.body)
        return
    if response.status >= FAILED or not has_api_shape(response.body):
        findings.add_fault(request, f"answered {response.status} {response.body[:200]!r}")
        return
    findings.answers[f"{response.status} {json.loads(response.body)['code']}"] += 1


def _snapshot(trader: Trader) -> object:
    """Return what of an account a refusal must not change."""
    held = {slot: trader.position(slot) for slot in trader.held_slots()}
    orders = [(order.order_id, order.status, order.executed) for order in trader.open_orders.values()]
    return deepcopy((trader.books.wallet_balance, held, orders, list(trader.open_algo_orders), trader.is_hedged))


def _check_books(assembly: Assembly, findings: Findings) -> None:
    for trader in assembly.venue.exchange.traders.values():
        if sum(line.amount for line in trader.income) != trader.books.wallet_balance:
            findings.faults.append(f"income of {trader.name} does not sum to its wallet")
