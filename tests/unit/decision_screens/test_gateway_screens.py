"""Gateways, their sessions and recordings, by keyboard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.contract.gateways import CastPage, GatewayPage, GatewayRow, SshSession
from screens.play import PlayScreen, Tape
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At, Desk

KEY = "SHA256:csx0Km6A7YAKq2zkEpxW2JT47sAoah1BitS34oIzbFU"
OPEN = SshSession(
    id="SS-7", kind="ssh_session", rev=2, state="open", title="tom on ham2", gateway="ham2", site="HAM2", person="tom", grant="GR-4",
    account="robot", started_at=BASE - 700, until=BASE + 2600, watchers=("carl",),
)  # fmt: skip
PAST = SshSession(
    id="SS-5", kind="ssh_session", rev=3, state="cut", title="tess on utr1", gateway="utr1", site="UTR1", person="tess", grant="GR-3",
    started_at=BASE - 9000, ended_at=BASE - 8000, recorded_s=1000, ended_why="GR-3 was revoked", recording="sha256:" + "ab" * 32,
)  # fmt: skip
REFUSED = SshSession(
    id="SS-6", kind="ssh_session", rev=1, state="refused", title="eve on ham2", gateway="ham2", site="HAM2", person="eve",
    ended_at=BASE - 900, ended_why="eve has no grant that runs for a shell at HAM2\x1b[2J",
)  # fmt: skip
HAM2 = GatewayRow(
    name="ham2", host="10.1.0.5", account="robot", site="HAM2", region="eu", reachable=True, host_key="trusted", fingerprint=KEY,
    engine_version="0.1.0", looked_at=BASE - 20, sessions=(OPEN,), grant="GR-4", until=BASE + 2600,
)  # fmt: skip
UTR1 = replace(HAM2, name="utr1", site="UTR1", host="10.2.0.5", host_key="changed", sessions=(), grant="", until=0.0,
               error="10.2.0.5:22: it shows SHA256:zzz, which is not the key it is known by", why_not="lena has no grant that runs")  # fmt: skip
LYO1 = replace(HAM2, name="lyo1", site="LYO1", reachable=False, sessions=(), grant="", until=0.0, error="10.3.0.5:22 can't be reached",
               why_not="lena has no grant that runs for a shell at LYO1", looked_at=BASE - 4000)  # fmt: skip
PAGE = GatewayPage(gateways=(HAM2, UTR1, LYO1), ended=(PAST, REFUSED), stale_s=300.0, as_of=BASE)
CAST = CastPage(
    session="SS-5", digest=PAST.recording, header={"version": 2, "width": 80, "height": 24}, size=400, next=400,
    events=((0.1, "o", "$ "), (1.0, "o", "ls\r\n"), (1.2, "o", "\x1b[1mlogs\x1b[0m  robots\r\n$ "), (30.0, "o", "exit\r\n\x1b]52;c;eA==\x07"),
            (31.0, "m", "GR-3 was revoked")), title="tess on utr1",
)  # fmt: skip


def client(page: GatewayPage = PAGE, **casts: CastPage) -> FakeClient:
    made = FakeClient(
        answers_to={
            "/v1/gateways": page,
            **{f"/v1/casts/{name.replace('_', '-')}": cast for name, cast in casts.items()},
        }
    )
    made.held["ssh_session"] = [OPEN, PAST, REFUSED]
    return made


def picture(desk: Desk, name: str) -> None:
    """For looking at: QD_PICTURES names a folder."""
    if folder := os.environ.get("QD_PICTURES"):
        (Path(folder) / f"{name}.svg").write_text(desk.console.export_screenshot(), "utf-8")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_is_wrong_with_gateways_stands_first(at: At, size: tuple[int, int]) -> None:
    async with at("gateways", client=client(), size=size) as desk:
        picture(desk, f"gateways-{size[0]}")
        text = desk.text.replace("\n ", " ")
        assert "3 gateways" in text and "HOST KEY of utr1: nothing is sent there" in text and "1 away (lyo1)" in text
        assert "HOST KEY CHANGED" in text and "away STALE" in text and "1 session open" in text
        assert KEY in text and "S opens a session with GR-4, for at most 43m" in text
        assert "SS-7" in text and "tom" in text and "GR-3 was revoked" in text and "watched by carl" in text
        await desk.press("j")
        assert "which is not the key it is known by" in desk.text
        await desk.press("S")
        assert "host key of utr1 is changed: nothing is sent there" in desk.text
        await desk.press("j", "S")
        assert "no grant that runs for a shell at LYO1" in desk.text


async def test_a_session_is_lent_the_terminal_or_says_how_else(at: At) -> None:
    async with at("gateways", client=client()) as desk:
        lent: list[tuple[str, str]] = []
        await desk.press("S")
        assert "qd access ssh ham2" in desk.text  # this console has no terminal to lend
        desk.console.shell = lambda gateway, system="": lent.append((gateway, system))  # type: ignore[method-assign]
        await desk.press("S")
        assert lent == [("ham2", "")]


async def test_a_session_is_ended_at_once_and_one_that_is_over_is_not(at: At) -> None:
    async with at("gateways", client=client()) as desk:
        await desk.press("K")
        assert [(one.verb, one.target) for one in desk.sent()] == [("gateway.cut", "SS-7")]
        await desk.press("tab", "j", "K")
        assert "SS-5 is over" in desk.text and len(desk.sent()) == 1


async def test_no_gateway_says_what_to_do(at: At) -> None:
    async with at("gateways", client=client(GatewayPage(as_of=BASE))) as desk:
        assert "qd connectors add ssh" in desk.text
        await desk.press("S")
        assert "no gateway is selected" in desk.text


async def test_the_fleet_says_what_is_wrong_with_gateways_and_leads_there(at: At) -> None:
    async with at("fleet", client=client()) as desk:
        assert "Gateways: 1 WRONG HOST KEY, 1 away, 1 session open." in desk.text.replace("\n", "")
        await desk.press("W")
        assert "HOST KEY CHANGED" in desk.text


async def test_a_recording_is_played_in_a_terminal_of_its_own(at: At) -> None:
    async with at("shell SS-5", client=client(SS_5=CAST)) as desk:
        assert isinstance(desk.console.screen, PlayScreen)
        await desk.press("G")
        picture(desk, "play-80")
        assert "logs  robots" in desk.text and "$ exit" in desk.text and "tess on utr1 with GR-3" in desk.text
        assert "0:31 of 0:31" in desk.text and "\x1b" not in desk.text
        await desk.press("g")
        assert "robots" not in desk.text
        await desk.press("space")
        assert "paused" in desk.text
        await desk.press("right")
        assert "0:10 of 0:31" in desk.text and "robots" in desk.text and "exit" not in desk.text
        await desk.press("left", "plus")
        assert "0:00 of" in desk.text
        await desk.press("K")
        assert "it is over" in desk.text and not desk.sent()


async def test_what_is_not_what_was_recorded_says_so(at: At) -> None:
    async with at("shell SS-5", client=client(SS_5=replace(CAST, sound=False)), size=(160, 45)) as desk:
        assert "NOT WHAT WAS RECORDED" in desk.text


async def test_somebody_elses_open_session_is_watched_on_the_record(at: At) -> None:
    live = replace(CAST, session="SS-7", live=True, digest="")
    async with at("shell SS-7", client=client(SS_7=live)) as desk:
        assert [(one.verb, one.target) for one in desk.sent()] == [("gateway.watch", "SS-7")]
        desk.client.held["ssh_session"][0] = replace(OPEN, watchers=("carl", "lena"))
        await desk.press("ctrl+r")
        assert "LIVE" in desk.text and "$ exit" in desk.text
        await desk.press("K")
        assert desk.sent("gateway.cut")


async def test_a_session_that_never_began_says_why(at: At) -> None:
    async with at("shell SS-6", client=client()) as desk:
        assert "eve has no grant that runs" in desk.text and "it never began" in desk.text


def test_a_tape_survives_what_it_is_fed() -> None:
    tape = Tape()
    tape.header({"width": "wide", "height": 10**9})
    junk = (
        "".join(chr(code) for code in range(0, 0x250))
        + "\x1b[99999999;99999999H\x1b[?9999h\x1bP\x1b[1;2;3;4;5;6mx\x1b[-5A"
    )
    tape.add(
        ((0.0, "o", junk), (1.0, "r", "axb"), (2.0, "r", "999999x999999"), (3.0, "o", "\x1b[31mend"), (4.0, "z", "?"))
    )
    tape.seek(4.0)
    tape.seek(1.0)
    tape.seek(10.0)
    assert len(tape.lines(40, 5)) <= 5
