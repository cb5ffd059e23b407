"""People are told once, over TLS, without an address ever leaving the keyring; what was perhaps sent is not sent again."""

from __future__ import annotations

import asyncio
import email.policy
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connectors.apprise_notify import Apprise, connector
from engine.capabilities import dry
from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.systems import conformance
from engine.capabilities.systems.ports import Notice

NOTICE = Notice(title="A decision is asked", text="Roll out 1.1?\n\x1b[2Jgate run-1.7", link="qd gates show run-1.7")


class Service:
    """What Apprise's JSON plug-in posts to. `mode` is how it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.mode = "ok"
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.got.append({"path": self.path, **said})
                if service.mode == "cut":
                    self.connection.close()
                    return
                if service.mode == "slow":
                    time.sleep(1.5)
                status = int(service.mode) if service.mode.isdigit() else 200
                self.send_response(status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None  # type: ignore[method-assign]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, query: str = "") -> str:
        return f"json://127.0.0.1:{self.server.server_port}/T0KEN-in-path{query}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


def notify(url: str, **more: Any) -> Apprise:
    return Apprise({"ops": "ops-url"}, {"ops-url": url}.__getitem__, **more)


async def test_a_message_says_what_it_is_about_and_has_nothing_to_press(service: Service) -> None:
    port = notify(service.url())
    await port.tell("ops", NOTICE, key="k1")
    await port.tell("ops", NOTICE, key="k1")
    await port.tell("ops", NOTICE, key="k2")
    assert len(service.got) == 2
    said = service.got[0]
    assert said["title"] == "A decision is asked"
    assert said["message"] == "Roll out 1.1?\n␛[2Jgate run-1.7\n\nqd gates show run-1.7"
    assert "http" not in said["message"]
    assert [entry.path for entry in port.http.log] == ["ops", "ops"]


@pytest.mark.parametrize(
    ("mode", "error", "kind", "again"),
    [
        ("500", "NotTold", "unavailable", True),
        ("429", "NotTold", "unavailable", True),
        ("404", "NotTold", "unavailable", False),
        ("401", "NotTold", "authorization", False),
        ("302", "NotTold", "unavailable", False),
        ("cut", "Unanswered", "unknown", True),
        ("slow", "Unanswered", "unknown", True),
    ],
)
async def test_a_no_is_told_apart_from_perhaps(service: Service, mode: str, error: str, kind: str, again: bool) -> None:
    service.mode = mode
    port = notify(service.url("?rto=0.5"))
    heard = io.StringIO()  # what an engine at its most talkative would write (pytest's own handler is everywhere)
    handler, root = logging.StreamHandler(heard), logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with pytest.raises(ActionError) as raised:
            await port.tell("ops", NOTICE, key="k1")
    finally:
        root.removeHandler(handler)
        root.setLevel(logging.WARNING)
    assert (raised.value.error, raised.value.kind, raised.value.retryable) == (error, kind, again)
    assert isinstance(raised.value, InDoubt) == (error == "Unanswered")
    assert "T0KEN" not in raised.value.message + heard.getvalue()
    assert len(service.got) == 1, "a redirect is not followed, nothing is tried again underneath"
    service.mode = "ok"
    await port.tell("ops", NOTICE, key="k1")
    assert len(service.got) == (1 if error == "Unanswered" else 2), "what was perhaps sent is not sent again"


async def test_what_a_robot_wrote_calls_nobody_and_links_nowhere(service: Service) -> None:
    text = "<!channel> @everyone press https://evil.example/approve\n[here](https://evil.example) <b>now</b>"
    await notify(service.url()).tell("ops", Notice(title="<!here> https://x", text=text), key="k1")
    said = service.got[0]["title"] + service.got[0]["message"]
    assert not any(mark in said for mark in ("<", ">", "@", "://"))
    assert "evil.example" in said, "it is still told what was written"


class Mail(threading.Thread):
    """As much of SMTP (RFC 5321) as a client needs to hand over one message."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.said: list[str] = []

    def run(self) -> None:
        client, _ = self.sock.accept()
        with client, client.makefile("rwb") as wire:

            def say(text: str) -> None:
                wire.write(text.encode() + b"\r\n")
                wire.flush()

            say("220 mail.test ESMTP")
            data = False
            for raw in wire:
                line = raw.decode().rstrip()
                self.said.append(line)
                if data:
                    if line == ".":
                        data = False
                        say("250 taken")
                    continue
                word = line[:4].upper()
                if word == "DATA":
                    data = True
                say(
                    {
                        "DATA": "354 go on",
                        "QUIT": "221 bye",
                        "AUTH": "235 ok",
                        "EHLO": "250-mail.test\r\n250 AUTH PLAIN",
                    }.get(word, "250 ok")
                )
                if word == "QUIT":
                    return


async def test_mail_is_a_channel_too() -> None:
    mail = Mail()
    mail.start()
    port = notify(
        f"mailto://user:T0KEN@127.0.0.1:{mail.port}?from=qd@site.test&to=ops@site.test&mode=insecure&format=text"
    )
    await port.tell("ops", NOTICE, key="k1")
    start = mail.said.index("DATA" if "DATA" in mail.said else "data") + 1
    message = email.message_from_string("\n".join(mail.said[start:]), policy=email.policy.default)
    assert "rcpt to:<ops@site.test>" in "\n".join(mail.said).lower()
    assert message["subject"] == "A decision is asked"
    assert "qd gates show run-1.7" in message.get_content()
    mail.sock.close()


async def test_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = notify(f"json://127.0.0.1:{sock.getsockname()[1]}/T0KEN")
        with pytest.raises(ActionError) as raised:
            await port.tell("ops", NOTICE, key="k1")
    assert (raised.value.error, raised.value.retryable) == ("NotTold", True)
    assert "cannot be reached" in raised.value.message and not isinstance(raised.value, InDoubt)


async def test_a_service_that_hangs_holds_up_its_own_channel_alone(service: Service) -> None:
    service.mode = "slow"
    port = notify(service.url("?rto=10"), timeout_s=0.3)
    began = time.monotonic()
    with pytest.raises(InDoubt):
        await port.tell("ops", NOTICE, key="k1")
    assert time.monotonic() - began < 1
    await port.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("json://hooks.example.com/x", "jsons://"),
        ("ntfy://ntfy.example.com/topic", "ntfys://"),
        ("jsons://hooks.example.com/x?verify=no", "verify=no"),
        ("nonsense://x", "does not understand"),
        ("jsons://a.example.com jsons://b.example.com", "one URL"),
        ("", "one URL"),
    ],
)
async def test_an_address_that_is_not_safe_is_not_used(url: str, says: str) -> None:
    port = notify(url)
    with pytest.raises(ActionError, match=says) as raised:
        await port.tell("ops", NOTICE, key="k1")
    assert (raised.value.kind, raised.value.retryable) == ("configuration", False)
    with pytest.raises(ActionError, match=says):
        await port.check()


async def test_dry_mode_tells_nobody(service: Service) -> None:
    port = notify(service.url())
    with dry.recording() as would, pytest.raises(dry.NotSent):
        await port.tell("ops", NOTICE, key="k1")
    assert service.got == [] and would[0].url == "ops" and "T0KEN" not in str(would)
    with pytest.raises(dry.NotSent):
        await notify(service.url(), dry_only=True).tell("ops", NOTICE, key="k1")


async def test_the_port_keeps_its_promises(service: Service) -> None:
    conformance.connector(connector, {"secret": "ops-url"})
    port = notify(service.url())
    report = await conformance.check(
        {"notify": port}, system="people", now=time.time, write=True, given={"channel": "ops"}
    )
    assert (report.broken, report.kept) == (0, 6), conformance.sentences(report)
    assert len(service.got) == 1 and "\x1b" not in service.got[0]["message"]
    assert await port.check() == "Apprise (JSON)"


@pytest.mark.parametrize("config", [{}, {"channels": {"a b": "x"}}, {"channels": {"ops": ""}}])
def test_settings_name_channels_and_entries(config: dict[str, Any]) -> None:
    with pytest.raises(ActionError):
        connector.build(config, lambda name: "", None, {})  # type: ignore[arg-type]


async def test_many_at_once_are_told_apart(service: Service) -> None:
    port = Apprise({f"c{n}": "good" if n % 2 else "bad" for n in range(8)},
                   {"good": service.url(), "bad": "json://127.0.0.1:1/x"}.__getitem__)  # fmt: skip
    found = await asyncio.gather(*(port.tell(f"c{n}", NOTICE, key=f"k{n}") for n in range(8)), return_exceptions=True)
    assert [isinstance(one, ActionError) for one in found] == [n % 2 == 0 for n in range(8)]
    assert len(service.got) == 4
