"""People told through the services they use: Slack, Teams, e-mail, ntfy, PagerDuty and the rest, by the library Apprise.

What the library does, and what follows:

- A service is named by a URL that holds its tokens, so the whole URL is a secret: each channel names a keyring entry, and
  neither URL nor log lines of the library (they hold addresses) ever leave this module.
- It says yes or no and not why. Whether a message may have gone out all the same is read from what it logs: a connection
  that was never made certainly sent nothing, a time-out or a reset after it may have (`InDoubt`, never sent again by itself).
- Nothing can be read back and nothing tells repeats apart. A key that was told by this process is not told again; over a
  restart the action's own record says what was begun.
- By default it follows redirects and takes any certificate a URL asks it to (`verify=no`): both are refused here. So are
  addresses without TLS, other than to this machine, unless the settings allow it.
- It is synchronous: each message is sent in a thread, within `timeout_s`. Two messages of one channel never overlap.
- It goes through the proxy of the engine's own environment (the library reads it), unlike all other connectors.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.http import Logged
from connectors.remote_text import clean
from engine.capabilities import dry
from engine.capabilities.ports import ActionError, Clock, InDoubt, Json, Param
from engine.capabilities.systems.ports import Notice, Right

CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
TITLE, TEXT = 200, 2000
TOLD = 2000
"""Keys remembered, so that a repeat is not told twice."""
_KINDS = {"info": "info", "warning": "warning", "critical": "failure"}
_UNSENT = ("connection refused", "name or service not known", "nodename nor servname", "temporary failure in name",
           "no route to host", "network is unreachable", "newconnectionerror", "connecttimeout", "connect timeout",
           "certificate verify failed", "sslcertverificationerror")  # fmt: skip
"""What the library's lines say when no connection came about."""
_PERHAPS = ("read timed out", "readtimeout", "timed out", "connection aborted", "remotedisconnected", "connection reset",
            "broken pipe", "protocolerror", "incompleteread", "server unexpectedly closed")  # fmt: skip
_CODE = re.compile(r"error=(\d{3})\b")


class _Log:
    """The messages of late, as other connectors have their requests."""

    def __init__(self) -> None:
        self.log: deque[Logged] = deque(maxlen=200)


class Apprise:
    """Implements the port Notify. `channels`: name -> keyring entry of the service's URL."""

    traits: dict[str, str] = {
        "read back": "a message can't be read back: one that was sent and not answered for is not sent again by itself",
        "approve": "messages name gates by id; nothing that is opened from a message ever approves anything",
        "proxy": "messages go through the proxy of the engine's environment, when there is one",
    }

    def __init__(
        self,
        channels: Mapping[str, str],
        secret: Callable[[str], str],
        *,
        timeout_s: float = 20.0,
        allow_plaintext: bool = False,
        dry_only: bool = False,
    ) -> None:
        self._channels, self._secret = dict(channels), secret
        self._timeout_s, self._plain, self._dry = timeout_s, allow_plaintext, dry_only
        self.http = _Log()
        self._locks: dict[str, asyncio.Lock] = {}
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tasks: set[asyncio.Future[Any]] = set()

    async def channels(self) -> Sequence[str]:
        return tuple(self._channels)

    async def tell(self, channel: str, notice: Notice, *, key: str) -> None:
        """Raises ActionError: `NoSuchChannel`, `NotConfigured`, `NotTold` (certainly not sent), InDoubt (perhaps sent)."""
        if channel not in self._channels:
            known = ", ".join(self._channels) or "none"
            raise ActionError(
                "NoSuchChannel", f"there is no channel {clean(channel, 60)!r}; there are: {known}",
                kind="validation", retryable=False,
            )  # fmt: skip
        async with self._locks.setdefault(channel, asyncio.Lock()):
            if (channel, key) in self._told:
                return
            service = await asyncio.to_thread(self._service, channel)
            self._withheld(channel, notice)
            told = asyncio.ensure_future(
                asyncio.to_thread(_send, service, _title(notice), _text(notice), notice.severity)
            )
            self._tasks.add(told)
            told.add_done_callback(self._tasks.discard)
            began = time.monotonic()
            await asyncio.wait({told}, timeout=self._timeout_s)
            self._note(channel, began, told)
            if not told.done():
                self._remember(channel, key)  # it may still go out: this process does not try it again
                raise InDoubt("Unanswered", f"{channel} did not answer within {self._timeout_s:g} s", kind="unknown")
            if (error := told.exception()) is not None:  # a plug-in's own mistake; its words may hold the address
                said = f"{channel}: {type(error).__name__} in the library"
                raise InDoubt("Unanswered", said, kind="unknown")
            lines = told.result()
            if lines is not None:
                raise self._failure(channel, key, lines)
            self._remember(channel, key)

    async def check(self) -> str:
        """Every channel's URL is in the keyring and the library understands it. Nobody is told anything."""
        services = [await asyncio.to_thread(self._service, name) for name in self._channels]
        kinds = sorted({str(one.service_name) for one in services})
        return f"Apprise ({', '.join(kinds)})" if kinds else "Apprise"

    async def rights(self) -> Sequence[Right]:
        """Whether each channel takes messages shows only when one is sent."""
        return [Right(name=f"tell {name}", has=None, needed_for="notices to people") for name in self._channels]

    async def close(self) -> None:
        """Waits shortly for messages that are on their way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timeout_s)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _note(self, channel: str, began: float, told: asyncio.Future[Any]) -> None:
        good = told.done() and told.exception() is None and told.result() is None
        entry = Logged(
            at=time.time(),
            method="TELL",
            path=channel,
            status=200 if good else 0,
            ms=round((time.monotonic() - began) * 1000, 1),
            size=0,
            error="" if good else "not told" if told.done() else "no answer",
        )
        self.http.log.append(entry)

    def _remember(self, channel: str, key: str) -> None:
        self._told[(channel, key)] = None
        while len(self._told) > TOLD:
            self._told.popitem(last=False)

    def _withheld(self, channel: str, notice: Notice) -> None:
        found = dry.sink()
        if found is None and not self._dry:
            return
        would = dry.Would(system="apprise", method="TELL", url=channel, body=f"{_title(notice)}\n{_text(notice)}")
        if found is not None:
            found.append(would)
        raise dry.NotSent(
            "NotSent",
            f"dry mode: {channel} was not told",
            kind="domain",
            retryable=False,
            detail=msgspec.to_builtins(would),
        )

    def _failure(self, channel: str, key: str, lines: Sequence[str]) -> ActionError:
        """What a no of the library means. None of its own words are kept: they may hold the address."""
        said = " ".join(lines).lower()
        code = _CODE.search(said)
        if code is not None:
            status = int(code[1])
            final = 300 <= status < 500 and status not in (408, 425, 429)
            return ActionError(
                "NotTold", f"{channel} refused the message with {status}",
                kind="authorization" if status in (401, 403) else "unavailable", retryable=not final,
            )  # fmt: skip
        if any(words in said for words in _UNSENT):
            why = "its certificate is not trusted" if "certificate" in said else "cannot be reached"
            return ActionError("NotTold", f"{channel}: {why}", kind="unavailable")
        if any(words in said for words in _PERHAPS):
            self._remember(channel, key)
            return InDoubt("Unanswered", f"{channel} did not answer for the message", kind="unknown")
        return ActionError("NotTold", f"{channel} did not take the message", kind="unavailable")

    def _service(self, channel: str) -> Any:
        """The library's object for a channel, made anew each time: the secret may have been exchanged."""
        _hushed()
        import apprise

        url = self._secret(self._channels[channel]).strip()
        if not url or len(url.split()) != 1:
            raise _wrong(channel, "its keyring entry holds one URL of Apprise, such as slack://… or mailtos://…")
        asset = apprise.AppriseAsset(app_id="Quarterdeck", async_mode=False)
        for flag in ("http_redirects", "interpret_escapes", "pem_autogen", "pgp_autogen"):
            if hasattr(asset, flag):
                setattr(asset, flag, False)
        service = apprise.Apprise.instantiate(url, asset=asset)
        if service is None:
            raise _wrong(channel, "Apprise does not understand its URL")
        if not service.verify_certificate:
            raise _wrong(channel, "its URL says verify=no; trust the authority instead")
        schema = url.partition(":")[0].lower()
        open_ = schema in _names(service.protocol) and bool(_names(service.secure_protocol))
        if open_ and not self._plain and not _loopback(str(getattr(service, "host", "") or "")):
            better = _names(service.secure_protocol)[0]
            raise _wrong(channel, f"{schema}:// goes over the network in the clear; use {better}://")
        service.redirects = False
        service.socket_read_timeout = min(float(service.socket_read_timeout), self._timeout_s)
        return service


def _send(service: Any, title: str, text: str, severity: str) -> list[str] | None:
    """Sends one message; None when it was taken, else what the library logged meanwhile."""
    import apprise

    lines: list[str] = []
    mine = threading.get_ident()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == mine and len(lines) < 50:
                lines.append(record.getMessage()[:2000])

    heard = Heard(logging.DEBUG)
    service.logger.addHandler(heard)
    try:
        kind = apprise.NotifyType(_KINDS[severity])
        taken = service.notify(body=text, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    finally:
        service.logger.removeHandler(heard)
    return None if taken else lines


def _hushed() -> None:
    """The library's lines hold addresses, which are secrets: they are heard here (`_send`) and go nowhere else."""
    for name in ("apprise", "urllib3", "requests"):
        quiet = logging.getLogger(name)
        quiet.propagate = False
        if not quiet.handlers:
            quiet.addHandler(logging.NullHandler())
    logging.getLogger("apprise").setLevel(logging.DEBUG)


_MARKUP = str.maketrans({"<": "\u2039", ">": "\u203a", "@": "\uff20"})


def _plain(text: str, limit: int) -> str:
    """A line that calls nobody, links nowhere and is no markup, in whatever a service makes of `<!channel>`, `@everyone` or an
    address: a question may hold what a robot or a stranger wrote."""
    return clean(text, limit).translate(_MARKUP).replace("://", "[:]//")


def _title(notice: Notice) -> str:
    return _plain(notice.title, TITLE)


def _text(notice: Notice) -> str:
    """What is said, line by line, and how to look at it. There is nothing in it to press."""
    lines = [_plain(line, 400) for line in notice.text[:TEXT].splitlines()]
    if notice.link:
        lines += ["", _plain(notice.link, 200)]
    return "\n".join(lines)


def _names(said: Any) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said or ())


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong(channel: str, message: str) -> ActionError:
    return ActionError("NotConfigured", f"channel {channel}: {message}", kind="configuration", retryable=False)


class AppriseConnector:
    """Settings: `secret` for one channel (called `channel`), or `channels` for several."""

    kind = "apprise"
    title = "People (Slack, Teams, e-mail and others)"
    docs = (
        "Apprise 1.9 to 2.x, whose plug-ins speak the services' own APIs. Tested against receivers of its JSON plug-in "
        "and of SMTP on this machine; the hosted services (Slack, Teams and others) were not called."
    )
    capabilities = ("notify",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        "secret": Param(
            type="string", required=False, description="keyring entry of the one channel's URL, e.g. slack://…"
        ),
        "channel": Param(type="string", required=False, description="what the one channel is called (people)"),
        "channels": Param(type="object", required=False, description="several: name -> keyring entry of its URL"),
        "timeout_s": Param(type="number", required=False, description="seconds one message may take (20)"),
        "allow_plaintext": Param(type="boolean", required=False, description="services without TLS on other machines"),
        "dry": Param(type="boolean", required=False, description="messages are logged and refused instead of sent"),
    }
    secrets: dict[str, str] = {}

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        channels = dict(config.get("channels") or {})
        if entry := str(config.get("secret", "")):
            channels.setdefault(str(config.get("channel") or "people"), entry)
        for name, entry in channels.items():
            if not CHANNEL.fullmatch(str(name)) or not isinstance(entry, str) or not entry:
                said = f"apprise: channels: {clean(name, 60)!r}: a short name, and the keyring entry that holds its URL"
                raise ActionError("NotConfigured", said, kind="configuration", retryable=False)
        if not channels:
            said = "apprise: no channel: give `secret` (one) or `channels` (several)"
            raise ActionError("NotConfigured", said, kind="configuration", retryable=False)
        return {
            "notify": Apprise(
                channels,
                secret,
                timeout_s=float(config.get("timeout_s", 20.0)),
                allow_plaintext=config.get("allow_plaintext") is True,
                dry_only=config.get("dry") is True,
            )
        }


connector = AppriseConnector()
