"""A session with all that a person sees of it, and all by which a person stops it.

Nothing here can fail the trader or hold it up, but for two things that are meant to: a kill that cannot be journalled,
and the end that somebody asks for.
"""

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rl_trader.errors import ConfigError
from rl_trader.live.core.events import BarClosed, BarSkipped, Event
from rl_trader.live.core.state import State
from rl_trader.live.core.words import StopKind
from rl_trader.live.exchange.secrets import Secret
from rl_trader.live.monitor.contact import Contact, remove_contact, write_contact
from rl_trader.live.monitor.control import ControlServer
from rl_trader.live.monitor.kill_file import EVERY_S, clear_kill, wait_for_kill
from rl_trader.live.monitor.leaving import OnExit, leave
from rl_trader.live.monitor.live_log import LiveLog, log_folder
from rl_trader.live.monitor.loop_lag import LoopLag
from rl_trader.live.monitor.record import Record
from rl_trader.live.monitor.view import View, as_json
from rl_trader.live.monitor.viewing import Measured, Viewer
from rl_trader.live.monitor.webhook import Webhook
from rl_trader.live.session import Session, SessionSetup
from rl_trader.live.trader import Watcher

SHOW_EVERY_S: Final = 1.0
LOG_AFTER_S: Final = 0.25  # a bar's decision: its orders are answered by then

_MS_PER_S: Final = 1_000
_TOKEN_BYTES: Final = 32

_log = logging.getLogger(__name__)


class Display(AbstractContextManager["Display"], Protocol):
    """What a person looks at."""

    is_terminal: bool  # of the person's; else what it shows may be kept in a file

    def show(self, view: View) -> None:
        """Show how things stand; called once a second."""
        ...

    def say(self, text: str) -> None:
        """Show what has happened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How a trader is watched, and how it ends."""

    on_exit: OnExit = OnExit.HOLD
    webhook: Secret | None = None  # address for alerts
    port: int = 0  # of the control server; 0 takes a free one


class Monitor:
    """A watched session.

    Args:
        setup: What is deployed.
        options: How it is watched.
        display: What a person looks at.
        watchers: Further ones of the session.
    """

    def __init__(
        self, setup: SessionSetup, options: WatchOptions, display: Display, watchers: Sequence[Watcher] = ()
    ) -> None:
        self._setup, self._options, self._display = setup, options, display
        self.session = Session(setup, self.tell, [self._watch, *watchers])
        self.contact: Contact | None = None
        self._record = Record(setup.deployment.interval_ms, _machine_ms, self.session.redactor.text)
        self._viewer = Viewer(setup, self._record)
        self._lag = LoopLag()
        self._webhook = None if options.webhook is None else self._make_webhook(options.webhook)
        self._log: LiveLog | None = None
        self._is_logging = True
        self._started_ms = 0
        self._num_asked = 0
        self._asked = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[Any] | None = None
        self._works: list[asyncio.Task[None]] = []

    def _make_webhook(self, address: Secret) -> Webhook:
        setup = self._setup
        self.session.redactor.add(address.reveal())
        about = {"run": setup.deployment.name, "mode": setup.venue.name.value, "symbol": setup.deployment.symbol}
        return Webhook(address, about, self._note)

    async def run(self) -> None:
        """Trade until somebody ends it.

        Raises:
            ConfigError: If the exchange or the account are not as they must be, or the port is not free.
            ExceptionGroup: What has failed for good.
            asyncio.CancelledError: If somebody asked twice.
        """
        self._task = asyncio.current_task()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._display)
            await stack.enter_async_context(self.session)
            await self._begin(stack)
            works = [self.session.run(), self._look_for_kill(), self._show(), self._lag.run(), self._wait_to_leave()]
            if self._webhook is not None:
                works.append(self._webhook.run())
            try:
                async with asyncio.TaskGroup() as group:
                    self._works = [group.create_task(work) for work in (*works, self._watch_failure())]
            finally:
                self._shown(self._show_once)

    async def _begin(self, stack: AsyncExitStack) -> None:
        """Let the trader be reached: by the control server and by signals."""
        journal, token = self._setup.journal, Secret(secrets.token_urlsafe(_TOKEN_BYTES))
        self.session.redactor.add(token.reveal())
        self._started_ms = self.session.condition().now_ms
        server = await stack.enter_async_context(ControlServer(self, token, self._options.port))
        self.contact = Contact(server.port, token)
        write_contact(journal, self.contact)
        stack.callback(remove_contact, journal)
        stack.callback(self._close_log)
        self._greet(self.contact)
        loop = asyncio.get_running_loop()
        for number, deed in (
            (signal.SIGINT, self.ask_to_leave),
            (signal.SIGTERM, self.ask_to_leave),
            (signal.SIGHUP, self.ask_to_leave),
            (signal.SIGUSR1, lambda: self.kill("SIGUSR1", "a signal")),
        ):
            loop.add_signal_handler(number, deed)
            stack.callback(loop.remove_signal_handler, number)

    def _greet(self, contact: Contact) -> None:
        """Show what is deployed; the page's address holds the token, which is kept in no file but its own."""
        deployed, say = self._setup.deployment, self._display.say
        for finding in self.session.findings:
            say(f"{finding.level}: {finding.text}")
        say(f"{deployed.name} trades {deployed.symbol} {deployed.interval} on {self._setup.venue.name}")
        say(f"page: {contact.page}" if self._display.is_terminal else "page: see `scripts.deploy status RUN --page`")

    # What is seen

    def tell(self, text: str) -> None:
        """Tell a person: on the display, on the page, in TensorBoard and by the webhook."""
        t_ms, text = self._now(), self.session.redactor.text(text)
        self._note(text)
        if self._webhook is not None:
            self._webhook.post(t_ms, text)
        self._written(lambda log: log.write_alert(t_ms, self._state.books, text))

    def _note(self, text: str) -> None:
        """Tell a person who looks."""
        self._record.note_alert(self._now(), text)
        self._shown(lambda: self._display.say(text))

    def view(self) -> View:
        """Return what is to be seen now."""
        measured = Measured(started_ms=self._started_ms, loop_lag_ms=self._lag.longest_ms)
        return self._viewer.view(self._state, self.session.condition(), measured)

    async def _show(self) -> None:
        while True:
            self._shown(self._show_once)
            await asyncio.sleep(SHOW_EVERY_S)

    def _show_once(self) -> None:
        view = self.view()
        if view.account is not None:
            self._record.curve.add(view.time_ms, float(view.account.equity))
        self._display.show(view)

    def _shown(self, show: Callable[[], object]) -> None:
        try:
            show()
        except Exception:  # a terminal that is gone ends no trader
            self._record.note_fault("something could not be shown")

    def _watch(self, event: Event, state: State) -> None:
        self._record.watch(event, state)
        if isinstance(event, BarClosed | BarSkipped):
            asyncio.get_running_loop().call_later(LOG_AFTER_S, self._log_bar, event.open_ms)

    def _log_bar(self, open_ms: int) -> None:
        self._written(lambda log: log.write_bar(open_ms, self.view(), self._state.books))

    def _written(self, write: Callable[[LiveLog], object]) -> None:
        """Write to TensorBoard's events; a disk that is full ends them, and nothing else."""
        if not self._is_logging or self.session.trader is None or not self._state.epoch:
            return
        try:
            if self._log is None:
                folder, bar_ms = log_folder(self._setup.journal), self._setup.deployment.interval_ms
                self._log = LiveLog(folder, bar_ms, self._state.epoch)
            write(self._log)
        except OSError as error:
            self._is_logging = False
            self._note(f"TensorBoard is written no more: {error.strerror or type(error).__name__}")
        except Exception:
            self._record.note_fault("a point of TensorBoard could not be written")

    def _close_log(self) -> None:
        self._is_logging = False
        if self._log is not None:
            self._shown(self._log.close)

    @property
    def _state(self) -> State:
        assert self.session.trader is not None
        return self.session.trader.core.state

    def _now(self) -> int:
        """Return the exchange's time, or the machine's before the exchange has told its own."""
        if self.session.trader is None:
            return int(time.time() * _MS_PER_S)
        return self.session.condition().now_ms

    # What is done

    def status(self) -> dict[str, Any]:
        """Return what is to be seen, as JSON."""
        return as_json(self.view())

    def kill(self, reason: str, by: str) -> None:
        """Close everything, and enter no more until somebody resumes; a second time is harmless."""
        self._do(lambda: self.session.ask_to_stop(StopKind.KILL.value, reason, by))

    def resume(self, reason: str, by: str) -> None:
        """Enter again.

        Raises:
            ConfigError: If nothing is stopped, or a kill is not done yet, or its file stays.
        """
        state = self._state
        if not state.is_stopped:
            raise ConfigError("a trader must be stopped to resume and this one is not; it enters already")
        if state.stop_kind is StopKind.KILL and (state.books.amount or state.working()):
            raise ConfigError(
                f"a kill must have closed the position before the trader resumes, and {state.books.amount} is still"
                " held or on its way; wait, and see its status"
            )
        clear_kill(self._setup.journal)
        self._do(lambda: self.session.resume(reason, by))

    def _do(self, deed: Callable[[], None]) -> None:
        """Do something to the trader; if it cannot be journalled the trader ends, whoever asked."""
        try:
            deed()
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            raise

    async def _watch_failure(self) -> None:
        await self._failed

    async def _look_for_kill(self) -> None:
        while True:
            reason = await wait_for_kill(self._setup.journal)
            if self._state.stop_kind is not StopKind.KILL:
                self.kill(reason, "the file KILL")
            await asyncio.sleep(EVERY_S)

    def ask_to_leave(self) -> None:
        """End as the options say; asked once more, at once."""
        self._num_asked += 1
        if self._num_asked == 1:
            self._asked.set()
        elif self._task is not None:
            self._task.cancel()

    async def _wait_to_leave(self) -> None:
        await self._asked.wait()
        if await leave(self.session, self._options.on_exit, self.tell):
            for work in self._works:
                work.cancel()


def _machine_ms() -> float:
    return time.monotonic() * _MS_PER_S
