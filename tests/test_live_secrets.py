"""Keys: where they come from, what they may do, and that nobody sees them."""

import asyncio
import copy
import dataclasses
import io
import json
import logging
import os
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ccxt.async_support
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.errors import ConfigError
from rl_trader.live.exchange import secrets
from rl_trader.live.exchange.permissions import FORBIDDEN, REQUIRED, faults_of
from rl_trader.live.exchange.secrets import Credentials, Secret, load_credentials
from rl_trader.live.exchange.venue import Gate, Venue, VenueName
from rl_trader.live.exchange.wire import AiohttpTransport
from rl_trader.live.redaction import HIDDEN, Redactor, redacting
from tests.fault_stage import FaultStage
from tests.live_rest_stage import loopback, make_rest, order

KEY = "CanaryKey" + "k" * 55
SECRET = "CanarySecret" + "s" * 52
NAMES = ("RL_TRADER_LIVE_API_KEY", "RL_TRADER_LIVE_API_SECRET")
PEM = "-----BEGIN PRIVATE KEY-----\nCanaryLineOneAAAAAAAA\nCanaryLineTwoBBBBBBBB\n-----END PRIVATE KEY-----"


def revealed(credentials: Credentials) -> tuple[str, str]:
    return credentials.key.reveal(), credentials.secret.reveal()


# ---- A secret


def test_a_secret_is_not_shown_in_any_way_but_one() -> None:
    secret = Secret(SECRET)
    credentials = Credentials(Secret(KEY), secret)
    shown = f"{secret} {secret!r} {secret:>90} {secret!s} {credentials} {[secret]} " + "%s %r" % (secret, secret)  # noqa: UP031
    assert "Canary" not in shown
    assert secret.reveal() == SECRET
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_not_copied_or_written_by_accident() -> None:
    secret = Secret(SECRET)
    copies: list[Any] = [
        lambda: pickle.dumps(secret),
        lambda: copy.copy(secret),
        lambda: copy.deepcopy(secret),
        lambda: dataclasses.asdict(Credentials(secret, secret)),
        lambda: json.dumps({"secret": secret}),
        lambda: hash(secret),
    ]
    for write in copies:
        with pytest.raises(TypeError) as caught:
            write()
        assert "Canary" not in str(caught.value)


def test_secrets_are_equal_where_their_texts_are() -> None:
    assert Secret(SECRET) == Secret(SECRET) != Secret(KEY)
    assert Secret(SECRET) != SECRET
    for empty in ("", " \n"):
        with pytest.raises(ConfigError, match="none"):
            Secret(empty)


# ---- Where they come from


def key_file(folder: Path, text: str | None = None, mode: int = 0o600) -> Path:
    path = folder / "live.toml"
    path.write_text(text or f'venue = "live"\napi_key = "{KEY}"\napi_secret = "{SECRET}"\n')
    path.chmod(mode)
    return path


def test_keys_come_from_the_environment_a_file_or_the_keyring_in_this_order(tmp_path: Path) -> None:
    file = key_file(tmp_path)
    kept = {("rl_trader/live", "api_key"): "ring key", ("rl_trader/live", "api_secret"): "ring secret"}

    def ask(service: str, name: str) -> str | None:
        return kept.get((service, name))

    environment = {NAMES[0]: "env key", NAMES[1]: "env secret\n"}
    assert revealed(load_credentials(VenueName.LIVE, environment, file, ask)) == ("env key", "env secret")
    assert revealed(load_credentials(VenueName.LIVE, {}, file, ask)) == (KEY, SECRET)
    absent = tmp_path / "absent.toml"
    assert revealed(load_credentials(VenueName.LIVE, {}, absent, ask)) == ("ring key", "ring secret")
    with pytest.raises(ConfigError, match="RL_TRADER_LIVE_API_KEY"):
        load_credentials(VenueName.LIVE, {}, absent)


@pytest.mark.parametrize("other", [VenueName.PAPER, VenueName.DEMO])
def test_keys_of_one_venue_are_not_loaded_for_another(other: VenueName, tmp_path: Path) -> None:
    environment = {NAMES[0]: KEY, NAMES[1]: SECRET, "BINANCE_API_KEY": KEY, "BINANCE_API_SECRET": SECRET}
    with pytest.raises(ConfigError, match=f"RL_TRADER_{other.upper()}_API_KEY"):
        load_credentials(other, environment, None, lambda service, _: KEY if "live" in service else None)
    with pytest.raises(ConfigError, match="another") as caught:
        load_credentials(other, {}, key_file(tmp_path))
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize("half", NAMES)
def test_half_a_pair_is_refused(half: str) -> None:
    with pytest.raises(ConfigError, match="only one") as caught:
        load_credentials(VenueName.LIVE, {half: SECRET})
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_a_file_that_others_can_reach_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        load_credentials(VenueName.LIVE, {}, key_file(tmp_path, mode=mode))
    assert "Canary" not in str(caught.value)
    assert revealed(load_credentials(VenueName.LIVE, {}, key_file(tmp_path, mode=0o400))) == (KEY, SECRET)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = key_file(tmp_path)
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    with pytest.raises(ConfigError, match=f"owner {somebody - 1}"):
        load_credentials(VenueName.LIVE, {}, file)


def test_a_link_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    file = key_file(tmp_path)
    link, pipe = tmp_path / "link.toml", tmp_path / "pipe.toml"
    link.symlink_to(file)
    os.mkfifo(pipe, 0o600)
    for odd in (link, tmp_path, pipe):
        with pytest.raises(ConfigError, match="must be a file"):
            load_credentials(VenueName.LIVE, {}, odd)


@pytest.mark.parametrize(
    "text",
    [
        f'venue = "live"\napi_key = "{KEY}"\n',
        f'venue = "live"\napi_key = "{KEY}"\napi_secret = 5\n',
        f'api_key = "{KEY}"\napi_secret = "{SECRET}"\n',
        f"{KEY} {SECRET}\n",
        f'api_key = "{SECRET}',
    ],
)
def test_a_file_of_another_form_is_refused_without_showing_what_is_in_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must have venue") as caught:
        load_credentials(VenueName.LIVE, {}, key_file(tmp_path, text))
    assert "Canary" not in Redactor().traceback(caught.value)


def test_a_keyring_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert secrets.system_keyring() is None

    class Ring:
        @staticmethod
        def get_password(service: str, name: str) -> str | None:
            return f"{service} {name}" if name == "api_key" else None

    monkeypatch.setitem(sys.modules, "keyring", Ring)
    ask = secrets.system_keyring()
    assert ask is not None
    assert (ask("s", "api_key"), ask("s", "api_secret")) == ("s api_key", None)


# ---- Texts

CANARY = "Canary0123456789Canary0123456789Canary0123456789Canary0123456789"
LEAKS = [
    "GET https://fapi.binance.com/fapi/v1/order?symbol=BTCUSDT&timestamp=1&signature={}",
    "binanceusdm POST http://127.0.0.1/fapi/v1/order symbol=B&signature={}&x=1",
    "%26signature%3D{}%26x",
    "{{'X-MBX-APIKEY': '{}', 'Content-Type': 'text'}}",
    "X-MBX-APIKEY: {}",
    "x-mbx-apikey={}",
    "('X-MBX-APIKEY', '{}')",
    "(b'X-MBX-APIKEY', b'{}')",
    '{{"listenKey": "{}"}}',
    '{{"listenKey":"{}"}}',
    '{{\\"listenKey\\":\\"{}\\"}}',
    "{{'listenKey': '{}'}}",
    "wss://fstream.binance.com/private/ws?listenKey={}&events=ORDER_TRADE_UPDATE",
    "wss://fstream.binance.com/private/ws/{} has ended",
    "ws://127.0.0.1:8080/ws/{}",
    "wss://fstream.binance.com/stream?streams={}",
    '{{"apiKey":"{}","timestamp":1}}',
    "RL_TRADER_LIVE_API_KEY={}",
    "RL_TRADER_LIVE_API_SECRET={} python -m scripts.deploy",
    'api_secret = "{}"',
    "secretKey: {}",
    "Authorization: Bearer {}",
    "{{'Authorization': 'Bearer {}'}}",
    "password={}",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----\n{}",
]


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("first", ["", "b", "B", "x"])  # b also stands before bytes
def test_what_stands_behind_the_name_of_a_secret_is_hidden_though_nobody_knows_it(leak: str, first: str) -> None:
    text = Redactor().text(f"before {leak.format(first + CANARY)} behind")
    assert "Canary" not in text
    assert f"{first}{HIDDEN}" not in text or not first
    assert HIDDEN in text
    assert text.startswith("before ")


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="\n\r"), max_size=40), st.text(max_size=40))
def test_a_known_secret_is_hidden_wherever_it_stands(before: str, behind: str) -> None:
    assert "Canary" not in Redactor([CANARY]).text(f"{before}{CANARY}{behind}")


@given(st.text())
def test_every_text_can_be_redacted_and_once_is_enough(text: str) -> None:
    redactor = Redactor([CANARY])
    assert redactor.text(redactor.text(text)) == redactor.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "placed BUY 0.1 BTCUSDT as rlt1-abcdefgh-1 at 50000.0",
        "policy.safetensors has sha256 " + "0f" * 32,
        "Signature for this request is not valid.",
        "wss://fstream.binance.com/market/stream?streams=btcusdt@kline_30m/btcusdt@markPrice@1s",
        "http://127.0.0.1:8080/fapi/v1/order?symbol=BTCUSDT&timestamp=1700000000000",
        "This listenKey does not exist.",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor([CANARY]).text(text) == text


def test_a_secret_of_several_lines_is_hidden_line_by_line_and_as_addresses_write_it() -> None:
    redactor = Redactor([PEM, "a+b/c=d e"])
    for text in (PEM, repr(PEM), "CanaryLineTwoBBBBBBBB", f"x{PEM.splitlines()[1]}"):
        assert "Canary" not in redactor.text(text)
    assert redactor.text("?k=a%2Bb%2Fc%3Dd+e") == f"?k={HIDDEN}"
    assert PEM not in repr(redactor)


# ---- Logs


@contextmanager
def logged(redactor: Redactor) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """Log everything there is into a text."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(extra)s", defaults={"extra": ""}))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with redacting(redactor):
            yield logging.getLogger("somewhere.deep"), output
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class Odd:
    """Cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError(CANARY)


def test_no_record_of_a_log_shows_a_secret() -> None:
    with logged(Redactor([CANARY])) as (log, output):
        log.info("plain %s", CANARY)
        log.info("%(key)s", {"key": CANARY})
        log.info(CANARY)
        log.info({"apiKey": CANARY})
        log.info("extra", extra={"extra": CANARY})
        log.info("signature=%s", "Canary that nobody knows"[:6])
        log.info("wrong number %s %s", CANARY)
        log.info("odd %s", Odd())
        log.info("stack", stack_info=True)
        try:
            try:
                raise ValueError(CANARY)
            except ValueError as error:
                raise RuntimeError(f"signature={CANARY}") from error
        except RuntimeError:
            log.exception("failed with %s", CANARY)
    text = output.getvalue()
    assert "Canary0" not in text
    assert "signature=Canary" not in text
    assert text.count(HIDDEN) >= 9
    assert "RuntimeError" in text
    assert "ValueError" in text  # the cause is told
    assert "Stack (most recent call last)" in text


def test_no_crash_shows_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    def crash() -> None:
        raise KeyError(f"signature={CANARY}")

    hooks = sys.excepthook, threading.excepthook
    with redacting(Redactor([CANARY])):
        sys.excepthook(ValueError, ValueError(CANARY), None)
        thread = threading.Thread(target=crash)
        thread.start()
        thread.join()
    assert (sys.excepthook, threading.excepthook) == hooks
    shown = capsys.readouterr().err
    assert "Canary" not in shown
    assert f"ValueError: {HIDDEN}" in shown
    assert f"KeyError: 'signature={HIDDEN}'" in shown


def test_what_is_covered_only_within_it_is_not_covered_after_it() -> None:
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    log = logging.getLogger("rl_trader.test")
    log.addHandler(handler)
    log.propagate = False
    with redacting(Redactor([CANARY]), [handler]):
        log.warning(CANARY)
    log.warning("after %s", CANARY)
    log.removeHandler(handler)
    assert output.getvalue() == f"{HIDDEN}\nafter {CANARY}\n"


# ---- Canaries through everything


def closed_address(taken: socket.socket) -> str:
    taken.bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_ccxt_puts_signed_addresses_into_its_errors_and_they_are_hidden() -> None:
    async def fail(address: str) -> Exception:
        client = ccxt.async_support.binanceusdm({"apiKey": KEY, "secret": SECRET})
        client.urls["api"]["fapiPrivate"] = f"{address}/fapi/v1"
        try:
            with pytest.raises(ccxt.async_support.ExchangeNotAvailable) as caught:
                await client.fapiPrivateGetOrder({"symbol": "BTCUSDT", "orderId": "1"})
        finally:
            await client.close()
        error: Exception = caught.value
        return error

    with socket.socket() as taken:
        error = asyncio.run(fail(closed_address(taken)))
    signature = str(error).partition("signature=")[2]
    assert len(signature) == 64  # ccxt does
    redactor = Redactor()
    for text in (redactor.text(str(error)), redactor.text(repr(error)), redactor.traceback(error)):
        assert signature not in text
        assert f"signature={HIDDEN}" in text


def test_no_call_leaves_a_secret_in_logs_answers_or_errors() -> None:
    async def trade(stage: FaultStage, seen: list[str]) -> None:
        with loopback(stage, redactor=redactor) as rest:
            assert await rest.synchronise()
            for name, arguments in (
                ("order.place", order()),
                ("order.place", order("b")),
                ("order.place", order("c", quantity="0")),
                ("account", {}),
                ("listen_key.start", {}),
                ("listen_key.extend", {}),
            ):
                answer = await rest.call(name, **arguments)
                seen += [f"{answer} {answer!r} {answer.failure}", f"{rest!r} {rest.budget}"]
                if name == "listen_key.start":
                    data = answer.data()
                    assert isinstance(data, dict)
                    canaries.append(data["listenKey"])
                    logging.getLogger("x").info("subscribed to %s", data)
            with pytest.raises(ConfigError) as caught:
                await rest.call("algo.place")
            seen.append(redactor.traceback(caught.value))
            await rest.close()

    async def fail(address: str, seen: list[str]) -> None:
        venue = Venue.paper(address, address.replace("http", "ws"))
        rest = make_rest(
            AiohttpTransport(Gate(venue)),
            None,
            lambda: 0,
            venue,
            redactor=redactor,
            credentials=Credentials(Secret(KEY), Secret(SECRET)),
        )
        answer = await rest.call("listen_key.start")
        assert answer.failure
        seen.append(f"{answer!r} {answer.failure}")
        await rest.close()

    redactor = Redactor()
    stage = FaultStage({"on": {"endpoint": "POST *order", "nth": 2}, "do": {"action": "drop_answer"}})
    main = stage.keys["main"]
    canaries, seen = [KEY, SECRET, main.key, main.secret], list[str]()
    with logged(redactor) as (_, output), socket.socket() as taken:
        asyncio.run(trade(stage, seen), debug=True)  # asyncio tells a lot then
        asyncio.run(fail(closed_address(taken), seen))
    text = output.getvalue() + "".join(seen)
    assert len(canaries) == 5
    assert "subscribed to" in text
    assert [canary for canary in canaries if canary in text] == []
    assert "signature=" not in text.replace(f"signature={HIDDEN}", "")


# ---- What a key may do

ALLOWED = (
    {name: True for name in REQUIRED}
    | {name: False for name in FORBIDDEN}
    | {"createTime": 1, "tradingAuthorityExpirationTime": 2}
)


def test_a_key_that_can_do_what_it_must_and_nothing_else_may_be_used() -> None:
    assert faults_of(ALLOWED) == ()
    assert faults_of({**ALLOWED, "enableFixReadOnly": False}) == ()


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [False, None, "true", 1, ...])
def test_a_key_without_what_it_must_have_is_refused(name: str, value: object) -> None:
    answer = {**ALLOWED, name: value}
    if value is ...:
        del answer[name]
    (fault,) = faults_of(answer)
    assert f"must have {name}" in fault
    with pytest.raises(ConfigError, match=name):
        faults_of(answer, [name])


@pytest.mark.parametrize("name", [*FORBIDDEN, "enablePortfolioMarginTrading", "permitsSomethingNew"])
@pytest.mark.parametrize("value", [True, None, "false", 0, ...])
def test_a_key_that_can_do_more_is_refused_unless_that_is_waived_by_name(name: str, value: object) -> None:
    answer = {**ALLOWED, name: value}
    if value is ...:
        del answer[name]
    faults = faults_of(answer)
    assert [f"must not have {name}" in fault for fault in faults] == (
        [] if value is ... and name not in FORBIDDEN else [True]
    )
    assert faults_of(answer, [name]) == ()
    other = "enableMargin" if name != "enableMargin" else "enableWithdrawals"
    assert faults_of(answer, [other]) == faults


@pytest.mark.parametrize("answer", [None, [], "", {}, 7, [ALLOWED]])
def test_a_key_of_which_nothing_is_told_is_refused(answer: object) -> None:
    assert faults_of(answer)
    assert faults_of(answer, FORBIDDEN)


def test_the_local_exchanges_key_may_be_used_unless_it_has_further_permissions() -> None:
    stage = FaultStage()
    assert faults_of(stage.ask("GET", "/sapi/v1/account/apiRestrictions")) == ()
    stage.venue.permissions |= {"enableWithdrawals": True, "ipRestrict": False}
    faults = faults_of(stage.ask("GET", "/sapi/v1/account/apiRestrictions"))
    assert ["ipRestrict" in fault or "enableWithdrawals" in fault for fault in faults] == [True, True]


def test_only_what_is_forbidden_can_be_waived() -> None:
    for odd in ("ipRestrict", "enableFutures", "everything", ""):
        with pytest.raises(ConfigError, match="waived"):
            faults_of(ALLOWED, [odd])
