"""Calls to the exchange over REST: one sending a call, and everything that came back.

ccxt knows how calls are addressed and signed, and no more of it is used: its ``fetch`` is replaced by one that hands
the request to a :class:`~rl_trader.live.exchange.wire.Transport` and returns what came, status and body as they were.
So nothing is sent twice and no answer is read as something that it is not. Who calls decides what an answer means, with
:func:`~rl_trader.live.exchange.outcome.classify`; a question may be asked once more, an order never.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import ccxt.async_support

from rl_trader.errors import ConfigError
from rl_trader.live.core.fencing import RECV_WINDOW_MS
from rl_trader.live.exchange.budget import Budget, Cost
from rl_trader.live.exchange.endpoints import ENDPOINTS, Access, Endpoint
from rl_trader.live.exchange.outcome import Kind, RawAnswer, classify
from rl_trader.live.exchange.secrets import Credentials
from rl_trader.live.exchange.server_clock import NUM_SAMPLES, Sample, ServerClock
from rl_trader.live.exchange.venue import Venue
from rl_trader.live.exchange.wire import Transport, WireAnswer, WireRequest
from rl_trader.live.redaction import Redactor

Argument = str | int | bool | Decimal | None
"""A parameter of a call; None leaves it out. Never a float: what is sent is exact."""

_HEADERS: Final = {"User-Agent": "rl-trader", "Accept": "application/json"}
_LARGEST_WINDOW_MS: Final = 60_000
_BAD_REQUEST: Final = 400


class _Sent(NamedTuple):
    """One sending."""

    sent_ms: int  # not before the time in the request
    answer: WireAnswer


class _Ccxt(ccxt.async_support.binanceusdm):  # type: ignore[misc]
    """ccxt, with nothing below it but a transport.

    Args:
        venue: Whose addresses are the only ones that it has.
        transport: Carries the requests.
        clock: Signs them.
        credentials: Sign them.
        recv_window_ms: For how long they are accepted.
    """

    def __init__(
        self,
        venue: Venue,
        transport: Transport,
        clock: ServerClock,
        credentials: Credentials | None,
        recv_window_ms: int,
    ) -> None:
        self._transport, self._clock = transport, clock
        keys = (
            {}
            if credentials is None
            else {
                "apiKey": credentials.key.reveal(),
                "secret": credentials.secret.reveal(),
            }
        )
        options = {"recvWindow": recv_window_ms, "maxRetriesOnFailure": 0}
        super().__init__({**keys, "enableRateLimit": False, "options": options})
        self.urls["api"] = _bases(venue)

    def nonce(self) -> int:
        """Return the time that a request is signed with."""
        return self._clock.now_ms()

    def set_last_request(self, request: object) -> None:
        """Keep no signed request."""

    async def fetch(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> _Sent:
        """Send a request that was signed just now, and return what came."""
        sent_ms = self._clock.now_ms()
        request = WireRequest(method, url, {**_HEADERS, **(headers or {})}, (body or "").encode())
        return _Sent(sent_ms, await self._transport.send(request))


def _bases(venue: Venue) -> dict[str, str]:
    """Return ccxt's names of the parts of the API, and where the venue has them."""
    bases = {f"fapi{part}": f"{venue.rest}/fapi/v1" for part in ("Public", "Private")}
    bases["fapiPrivateV3"] = f"{venue.rest}/fapi/v3"
    return bases if venue.wallet is None else bases | {"sapi": f"{venue.wallet}/sapi/v1"}


class Rest:
    """Calls to one venue with one key.

    Args:
        venue: Which.
        transport: Carries the requests, and lets them through to the venue only.
        clock: The exchange's; see :meth:`synchronise`.
        redactor: Is told of listen keys.
        credentials: The account's; None where only the market is asked about.
        recv_window_ms: How long after its signing a request may arrive.
        budget: What is left of the limits, as a former run has written it down.

    Raises:
        ConfigError: If the window is longer than the exchange allows.
    """

    def __init__(
        self,
        venue: Venue,
        transport: Transport,
        clock: ServerClock,
        *,
        redactor: Redactor,
        credentials: Credentials | None = None,
        recv_window_ms: int = RECV_WINDOW_MS,
        budget: Budget | None = None,
    ) -> None:
        if not 0 < recv_window_ms <= _LARGEST_WINDOW_MS:
            raise ConfigError(
                f"requests must be valid for 1 to {_LARGEST_WINDOW_MS} ms and are said to be for {recv_window_ms}; "
                "change recv_window_ms"
            )
        self.budget = Budget() if budget is None else budget
        self.tell_ban: Callable[[int], object] = lambda _until_ms: None
        """Called with the end of a ban, on the exchange's clock, when one begins or is made longer."""
        self.clock = clock
        self.venue = venue
        self._transport = transport
        self._redactor = redactor
        self._has_key = credentials is not None
        self._recv_window_ms = recv_window_ms
        if credentials is not None:
            redactor.add(credentials.key.reveal())
            redactor.add(credentials.secret.reveal())
        self._ccxt = _Ccxt(venue, transport, clock, credentials, recv_window_ms)

    async def call(self, name: str, /, **arguments: Argument) -> RawAnswer:
        """Send one call once, and return what came back.

        A call that the budget holds back is not sent; its answer says so.

        Args:
            name: Of :data:`~rl_trader.live.exchange.endpoints.ENDPOINTS`.
            **arguments: Its parameters, by the exchange's names.

        Raises:
            ConfigError: If it cannot be sent: it needs a key, the exchange's time or a client id, and there is none,
                or the venue has no such call, or the transport does not let it through.
        """
        endpoint = ENDPOINTS[name]
        texts = {key: _text(value) for key, value in arguments.items() if value is not None}
        self._check(endpoint, texts)
        now_ms = self.clock.now_ms()
        cost = Cost.of(endpoint, texts)
        held_ms = self.budget.wait_ms(cost, now_ms)
        if held_ms:
            return RawAnswer(
                endpoint=name,
                sent_ms=now_ms,
                received_ms=now_ms,
                failure=f"the limits allow it in {held_ms} ms",
                is_written=False,
                held_ms=held_ms,
            )
        self.budget = self.budget.charged(cost, now_ms)
        sent_ms, wire = await self._send(endpoint, texts)
        answer = RawAnswer(
            endpoint=name,
            sent_ms=sent_ms,
            received_ms=self.clock.now_ms(),
            recv_window_ms=self._recv_window_ms if endpoint.access is Access.SIGNED else 0,
            status=wire.status,
            headers=wire.headers,
            body=wire.body,
            failure=self._redactor.text(wire.failure),
            is_written=wire.is_written,
        )
        self._learn(answer)
        return answer

    async def synchronise(self) -> bool:
        """Set the clock by the exchange's; False, and as it was, if too few answers came or they contradict."""
        samples = []
        for _ in range(NUM_SAMPLES):
            before_ms = self.clock.local_ms()
            outcome = classify(await self.call("time"))
            after_ms = self.clock.local_ms()
            told = outcome.data.get("serverTime") if isinstance(outcome.data, dict) else None
            if outcome.kind is Kind.ACKED and isinstance(told, int):
                samples.append(Sample(before_ms, after_ms, told))
        return 2 * len(samples) > NUM_SAMPLES and self.clock.set_by(samples)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _send(self, endpoint: Endpoint, texts: dict[str, str]) -> _Sent:
        method: Any = getattr(self._ccxt, endpoint.ccxt)
        sent: _Sent = await method(texts)
        return sent

    def _check(self, endpoint: Endpoint, texts: Mapping[str, str]) -> None:
        if endpoint.access is not Access.PUBLIC and not self._has_key:
            raise ConfigError(f"{endpoint.name} needs a key and there is none; load the keys of {self.venue.name}")
        if endpoint.access is Access.SIGNED and not self.clock.is_set:
            raise ConfigError(
                f"{endpoint.name} is signed with the exchange's time, which is not known; synchronise first"
            )
        if endpoint.client_id and not texts.get(endpoint.client_id):
            raise ConfigError(f"{endpoint.name} must have {endpoint.client_id} to be found again and has none; give it")
        if endpoint.area == "sapi" and self.venue.wallet is None:
            raise ConfigError(f"{endpoint.name} is a call that venue {self.venue.name} does not have; leave it out")

    def _learn(self, answer: RawAnswer) -> None:
        banned_until_ms = self.budget.banned_until_ms
        self.budget = self.budget.learned(answer)
        if self.budget.banned_until_ms > banned_until_ms:
            self.tell_ban(self.budget.banned_until_ms)
        if answer.status == _BAD_REQUEST and classify(answer).is_clock_wrong:
            self.clock.doubt()
        if answer.endpoint.startswith("listen_key"):
            data = classify(answer).data
            if isinstance(data, dict) and isinstance(data.get("listenKey"), str):
                self._redactor.add(data["listenKey"])


def _text(value: str | int | bool | Decimal) -> str:
    """Return a parameter as it is sent.

    Raises:
        TypeError: If it is of another kind, as a float.
        ValueError: If it is no finite number.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"a parameter must be a finite number and is {value}")
        return format(value, "f")
    if not isinstance(value, str | int):
        raise TypeError(f"a parameter must be text, a whole number, a truth or a Decimal and is {type(value).__name__}")
    return str(value)
