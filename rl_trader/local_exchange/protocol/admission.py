"""From what was sent to a call: weight, key, signature, time, parameters, order budgets; the same for both APIs.

The order of the checks is an assumption; that a request which is refused for its parameters has cost weight is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Security
from rl_trader.local_exchange.protocol.keys import ApiKey, check_signed, find_key
from rl_trader.local_exchange.protocol.parameters import read_arguments

if TYPE_CHECKING:
    from rl_trader.local_exchange.venue import Venue


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A request as either API hands it in."""

    address: str  # of the caller
    key: str | None  # that the caller shows
    sent: Mapping[str, str]  # all parameters, as text
    signed: bytes  # what the signature has to be of
    now_ms: int  # of the session's clock


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may be answered, and whose it is."""

    call: Call
    key: ApiKey | None


def charge_arrival(venue: "Venue", endpoint: Endpoint, address: str, now_ms: int) -> None:
    """Count a request before anything of it is read: its weight, or 1 while that depends on its parameters.

    Raises:
        StatusError: -1003.
    """
    venue.limits.charge(address, endpoint.weight if isinstance(endpoint.weight, int) else 1, now_ms)
    if endpoint.budget:
        venue.limits.charge_request(address, endpoint.budget, now_ms)


def admit(venue: "Venue", endpoint: Endpoint, claim: Claim) -> Admitted:
    """Return the call of a request that has been counted with :func:`charge_arrival`.

    Raises:
        RefusedError: With the code of what was found first: key, signature, time, parameters, weight, orders.
    """
    key = None
    if endpoint.security is not Security.NONE:
        key = find_key(venue.keys, claim.key, claim.address)
        if endpoint.security.is_signed:
            check_signed(key, claim.sent, claim.signed, venue.clocks_ms(claim.now_ms))
    arguments = read_arguments(endpoint.parameters, claim.sent, venue.exchange.quotes)
    if not isinstance(endpoint.weight, int):
        venue.limits.charge(claim.address, max(endpoint.weight(arguments) - 1, 0), claim.now_ms)
    if key is not None and any(endpoint.order_count):
        venue.limits.charge_orders(key.account, endpoint.order_count, claim.now_ms)
    call = Call(
        venue=venue,
        account=None if key is None else venue.trader(key.account),
        arguments=arguments,
        address=claim.address,
        sent=frozenset(claim.sent),
    )
    return Admitted(call, key)
