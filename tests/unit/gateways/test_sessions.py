"""Who may open a session, and what ends one: judged without a gateway, run with a terminal of our own."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from engine.capabilities.gateways import sessions as module
from engine.capabilities.gateways.opening import judged
from engine.capabilities.gateways.sessions import Sessions
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import GatewayState
from engine.contract.access import Grant, Used
from engine.contract.gateways import SessionEnd, SshSession

NOW = 1_763_900_000.0
HAM2 = GatewayState(name="ham2-gw", host="h", port=22, user="robot", site="HAM2")
GRANT = Grant(
    id="GR-1", kind="grant", state="active", actor="tom", actions=("shell",), enforced_by="ssh-certificate", site="HAM2",
    principals=("qd-HAM2",), not_before=NOW - 60, expires_at=NOW + 600, serial=1,
)  # fmt: skip
POLICY = load_pack("gateways")


def judge(
    grant: Grant | None = GRANT,
    *,
    person: str = "tom",
    policy: Any = POLICY,
    live: int = 0,
    wanted: str = "",
    now: float = NOW,
) -> Any:
    open_ = [SshSession(id=f"SS-{n}", kind="ssh_session", state="open", person=person) for n in range(live)]
    return judged(
        person, HAM2, [grant] if grant else [], open_, policy, now=now, wanted=wanted, principals=("qd-HAM2",)
    )


def test_a_grant_for_a_shell_there_opens_it_and_no_longer_than_it_lasts() -> None:
    found = judge()
    assert found.grant == GRANT and found.until == NOW + 600 and not found.why_not
    assert judge(replace(GRANT, expires_at=NOW + 90_000)).until == NOW + 7200  # two hours, whatever the grant says


@pytest.mark.parametrize(
    "other",
    [
        {"state": "revoked"}, {"state": "issued"}, {"actor": "tess"}, {"actions": ("view",)}, {"expires_at": NOW}, {"not_before": NOW + 1},
        {"principals": ("qd-UTR1",)}, {"principals": ()}, {"enforced_by": "view-ticket"},
    ],
)  # fmt: skip
def test_any_other_grant_opens_nothing(other: dict[str, Any]) -> None:
    found = judge(replace(GRANT, **other))
    assert found.code == "no_grant" and "HAM2" in found.why_not and "qd access request shell --site HAM2" in found.fix


def test_a_bench_may_be_entered_without_one_and_a_named_grant_is_the_one() -> None:
    bench = {**POLICY, "grant": {"needed": True, "not_at": ["ham2-gw"]}}
    assert judge(None, policy=bench).until == NOW + 7200 and judge(None, policy=bench).grant is None
    assert judge(None, policy={**POLICY, "grant": {"needed": False, "not_at": []}}).why_not == ""
    assert judge(None, policy={**POLICY, "grant": {"needed": True, "not_at": [""]}}).why_not
    assert judge(wanted="GR-1").grant is not None
    assert judge(wanted="GR-9", policy=bench).code == "no_grant"  # what was asked for is not silently something less


def test_one_person_has_a_few_sessions_at_once() -> None:
    assert judge(live=2).grant is not None and judge(live=3).code == "too_many"


# -- open sessions ----------------------------------------------------------------------------------------------------


class Book:
    """Records in memory."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], Any] = {("grant", "GR-1"): GRANT}
        self.told: list[Any] = []

    async def get(self, kind: str, id: str) -> Any:
        return self.held.get((kind, id))

    async def find(self, kind: str, *, state: Any = (), **filters: Any) -> list[Any]:
        return [one for (k, _), one in self.held.items() if k == kind and one.state in state]

    async def change(self, kind: str, id: str, *, to: str = "", set: Any = None, emit: Any = (), **rest: Any) -> Any:
        given = dict(set or {})
        if "used" in given:
            given["used"] = Used(**{k: tuple(v) if isinstance(v, list) else v for k, v in given["used"].items()})
        self.held[kind, id] = replace(self.held[kind, id], **given, **({"state": to} if to else {}))
        self.told += emit
        return self.held[kind, id]


class Terminal:
    """Says what it is given to say."""

    def __init__(self) -> None:
        self.out: asyncio.Queue[bytes] = asyncio.Queue()
        self.typed = b""
        self.sizes: list[tuple[int, int]] = []
        self.exit: int | None = None
        self.fingerprint, self.closed = "SHA256:x", False

    async def read(self) -> bytes:
        return b"" if self.closed else await self.out.get()

    async def write(self, data: bytes) -> None:
        self.typed += data

    def resize(self, cols: int, rows: int) -> None:
        self.sizes.append((cols, rows))

    async def close(self) -> None:
        self.closed = True
        self.out.put_nowait(b"")


class Vault:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put_file(self, path: Path, **rest: Any) -> Any:
        data = path.read_bytes()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.kept[digest] = data
        return SimpleNamespace(digest=digest)


class Room:
    def __init__(self, folder: Path, **policy: dict[str, Any]) -> None:
        self.now, self.book, self.vault, self.terminal = NOW, Book(), Vault(), Terminal()
        self.policy = {
            name: {**part, **policy.get(name, {})} if isinstance(part, dict) else part for name, part in POLICY.items()
        }
        self.sessions = Sessions(folder, SimpleNamespace(now=lambda: self.now))
        self.sessions.bind(self.book, self.vault)  # type: ignore[arg-type]
        self.lines: list[bytes] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def open(self) -> None:
        record = SshSession(
            id="SS-1", kind="ssh_session", state="open", person="tom", gateway="ham2-gw", grant="GR-1", until=NOW + 600
        )
        self.book.held["ssh_session", "SS-1"] = record
        self.sessions.opened(record, self.terminal, self.sessions.cast(record, self.policy), self.policy)
        self.tasks.append(asyncio.create_task(self.sessions.run()))

    def attach(self) -> None:
        self.tasks.append(asyncio.create_task(self._read()))

    async def _read(self) -> None:
        async for data in self.sessions.output("SS-1", owner=True):
            self.lines.append(data)

    @property
    def record(self) -> SshSession:
        found: SshSession = self.book.held["ssh_session", "SS-1"]
        return found

    async def ended(self) -> SshSession:
        await until(lambda: self.record.state != "open")
        return self.record


async def until(look: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Room]]:
    monkeypatch.setattr(module, "EVERY_S", 0.02)
    made: list[Room] = []

    def make(**policy: dict[str, Any]) -> Room:
        made.append(Room(tmp_path / "sessions", **policy))
        return made[-1]

    yield make
    for one in made:
        for task in one.tasks:
            task.cancel()
        await asyncio.gather(*one.tasks, return_exceptions=True)
        with suppress(Exception):
            await one.sessions.close()


async def test_what_is_said_is_recorded_then_seen_and_kept_under_its_digest(room: Any) -> None:
    site = room()
    site.open()
    site.attach()
    site.terminal.out.put_nowait(b"hello\r\n")
    await until(lambda: b"hello" in b"".join(site.lines))
    await site.sessions.typed("SS-1", b"ls\r")
    site.sessions.resized("SS-1", 120, 40)
    assert site.terminal.typed == b"ls\r" and site.terminal.sizes == [(120, 40)]
    site.terminal.exit = 0
    site.terminal.out.put_nowait(b"")
    done = await site.ended()
    assert (done.state, done.exit, done.output_b, done.input_b) == ("ended", 0, 7, 3)
    kept = site.vault.kept[done.recording].decode()
    assert '"hello\\r\\n"' in kept and "120x40" in kept and "ls" not in kept  # what is typed is not kept
    await until(lambda: b'"why"' in b"".join(site.lines))
    last = json.loads(b"".join(site.lines).splitlines()[-1])
    assert last["recording"] == done.recording and not site.sessions.path("SS-1").exists()
    assert site.book.held["grant", "GR-1"].used.recordings == (done.recording,)
    assert site.book.told[-1].event == "qd.gateway.session.ended"
    with pytest.raises(ActionError):
        await site.sessions.typed("SS-1", b"x")


@pytest.mark.parametrize("how", ["revoked", "expired", "gone", "over"])
async def test_the_end_of_the_grant_is_the_end_of_the_session(room: Any, how: str) -> None:
    site = room()
    site.open()
    site.attach()
    await asyncio.sleep(0.05)
    if how == "gone":
        del site.book.held["grant", "GR-1"]
    elif how == "over":
        site.now = NOW + 600
    else:
        site.book.held["grant", "GR-1"] = replace(GRANT, state=how)
    done = await site.ended()
    assert site.terminal.closed and done.state == "cut" and "GR-1" in done.ended_why and done.recording


@pytest.mark.parametrize(
    ("policy", "attached", "why"),
    [
        ({"session": {"idle": 0.05}}, True, "nothing was typed"),
        ({"session": {"detach": 0.05}}, False, "connection of tom ended"),
        ({"recording": {"limit_b": 300}}, True, "what is not recorded does not happen"),
        ({"session": {"idle": "soon"}}, True, "can't be found out"),
    ],
)
async def test_silence_a_lost_person_and_a_full_recording_end_it(
    room: Any, policy: Any, attached: bool, why: str
) -> None:
    site = room(**policy)
    site.open()
    if attached:
        site.attach()
    if "recording" in policy:
        for _ in range(10):
            site.terminal.out.put_nowait(b"x" * 100)
    done = await site.ended()
    assert why in done.ended_why and done.state == "cut" and done.recording


async def test_who_reads_slowly_slows_the_gateway_down(room: Any) -> None:
    site = room(recording={"backlog_b": 2_000})
    site.open()
    for _ in range(50):
        site.terminal.out.put_nowait(b"y" * 500)
    await asyncio.sleep(0.1)
    assert site.terminal.out.qsize() > 40  # nobody reads: the gateway waits
    site.attach()
    await until(site.terminal.out.empty)
    await until(lambda: b"".join(site.lines).count(b"y") == 25_000)


async def test_ending_twice_is_ending_once(room: Any) -> None:
    site = room()
    site.open()
    ends = await asyncio.gather(*(site.sessions.end("SS-1", f"why {n}") for n in range(4)))
    assert len({end.recording for end in ends}) == 1 and isinstance(ends[0], SessionEnd)
    assert site.record.ended_why == "why 0" and len(site.vault.kept) == 1


async def test_what_an_engine_before_left_open_is_lost_and_kept(room: Any) -> None:
    site = room()
    record = SshSession(id="SS-1", kind="ssh_session", state="open", person="tom", gateway="g", grant="GR-1")
    site.book.held["ssh_session", "SS-1"] = record
    path = site.sessions.path("SS-1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"version": 2, "width": 80, "height": 24}\n[2.5, "o", "last words"]\n[3.0, "o", "ha')
    site.tasks.append(asyncio.create_task(site.sessions.run()))
    done = await site.ended()
    assert (done.state, done.recorded_s, done.output_b) == ("lost", 2.5, 10) and done.recording in site.vault.kept
    assert not path.exists() and done.exit is None


async def test_what_can_not_be_recorded_does_not_start(room: Any, tmp_path: Path) -> None:
    site = room()
    (tmp_path / "sessions").write_text("in the way")
    with pytest.raises(ActionError) as refused:
        site.sessions.cast(SshSession(id="SS-1", kind="ssh_session", person="tom"), site.policy)
    assert refused.value.error == "NoRecording"
