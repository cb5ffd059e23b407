"""Systems under names of their own: who is asked, what comes and goes live, and what is said when nobody serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.capabilities import connections as module
from engine.capabilities.connections import Connections, connect, port_of
from engine.capabilities.ports import ActionError, Deferred, Param


class Clock:
    def now(self) -> float:
        return 0.0


class Port:
    def __init__(self, name: str) -> None:
        self.name, self.closed = name, 0

    async def close(self) -> None:
        self.closed += 1

    async def check(self) -> str:
        return f"{self.name} 1.0"


class Fake:
    """A connector that serves several things through one object."""

    def __init__(self, kind: str, *capabilities: str, needs: tuple[str, ...] = ()) -> None:
        self.kind, self.capabilities, self.needs = kind, capabilities, needs
        self.fields = {"url": Param(type="string", required=False), "secret": Param(type="string", required=False)}
        self.made: list[Any] = []
        self.fails = False

    def build(self, config: Any, secret: Any, clock: Any, ports: Any) -> dict[str, Any]:
        if self.fails:
            raise ActionError("NotConfigured", "it is not of this world", kind="configuration", retryable=False)
        port: Any = Port(f"{self.kind} {config.get('url', '')}".strip())
        port.made_of = [ports[need] for need in self.needs]
        self.made.append(port)
        return dict.fromkeys(self.capabilities, port)


def kinds(*fakes: Fake) -> dict[str, Any]:
    return {fake.kind: (lambda fake=fake: fake) for fake in fakes}


TICKETS, BOTH = ("jira", "tickets"), ("both", "tickets", "paging")


def made(settings: dict[str, Any], *fakes: Fake) -> Connections:
    return connect(settings, lambda name: "", Clock(), kinds(*fakes))


def added(connections: Connections, name: str, kind: str, **config: Any) -> None:
    connections.add(connections.plan(name, {"kind": kind, **config}))


def test_the_first_that_serves_it_is_asked_unless_one_bears_its_name_or_one_is_named() -> None:
    found = made(
        {"jira": {"kind": "jira", "url": "a"}, "desk": {"kind": "both", "url": "b"}}, Fake(*TICKETS), Fake(*BOTH)
    )
    assert found.port("tickets").name == "jira a" and found.first("tickets") == "jira"
    assert found.port("tickets@desk").name == found.port("paging").name == "both b"
    added(found, "tickets", "both", url="c")
    assert found.port("tickets").name == "both c" and found.port("tickets@jira").name == "jira a"
    assert "paging@tickets" in found.ports  # it was built, though it is not asked for it here
    assert found.systems["tickets"].serves == ("tickets",) and found.port("paging").name == "both b"


def test_it_serves_what_its_settings_say() -> None:
    found = made({"desk": {"kind": "both", "serves": ["paging"]}}, Fake(*BOTH))
    assert "paging" in found.ports and "tickets" not in found.ports
    with pytest.raises(ActionError, match="serves tickets, paging, not labels"):
        made({"desk": {"kind": "both", "serves": ["labels"]}}, Fake(*BOTH))
    with pytest.raises(ActionError, match="'both' serves tickets, paging, not labels"):
        made({"labels": {"kind": "both"}}, Fake(*BOTH))


async def test_systems_come_and_go_in_the_one_mapping_that_everybody_holds() -> None:
    jira, both = Fake(*TICKETS), Fake(*BOTH)
    found = made({}, jira, both)
    ports, embedded = found.ports, Port("embedded")
    found.embed({"tickets": embedded})
    assert ports["tickets"] is embedded
    added(found, "desk", "both")
    assert ports["tickets"].name == "both" and "paging" in ports
    found.drop("desk")
    assert ports["tickets"] is embedded and "paging" not in ports and "tickets@desk" not in ports
    assert both.made[0].closed == 0  # what is under way may still end
    await found.close()
    assert both.made[0].closed == embedded.closed == 1


async def test_a_dropped_one_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.0)
    jira = Fake(*TICKETS)
    found = made({"jira": {"kind": "jira"}}, jira)
    found.rebuild("jira")
    task = next(iter(found._closing))
    await task
    assert [port.closed for port in jira.made] == [1, 0] and found.port("tickets") is jira.made[1]
    await found.close()


def test_why_nobody_serves_is_said() -> None:
    found = made({"jira": {"kind": "jira"}}, Fake(*TICKETS))
    with pytest.raises(ActionError, match="no connector for 'labels'"):
        found.port("labels")
    with pytest.raises(ActionError, match="no system 'desk' here; there are: jira"):
        found.port("tickets@desk")
    with pytest.raises(ActionError, match="jira serves tickets, not labels"):
        found.port("labels@jira")
    with pytest.raises(ActionError, match="no gateways is configured here"):
        port_of({}, "gateways")


def test_a_step_waits_for_what_is_suspended_and_a_person_is_told() -> None:
    found = made({"jira": {"kind": "jira"}}, Fake(*TICKETS))
    found.suspend("jira", "suspended by ana: they move")
    assert "tickets" not in found.ports and "tickets@jira" not in found.ports
    for asked in ("tickets", "tickets@jira"):
        with pytest.raises(ActionError, match="jira is suspended by ana: they move") as refused:
            port_of(found.ports, asked)
        assert refused.value.error == "Suspended"
        with pytest.raises(Deferred, match="suspended by ana"):
            port_of(found.ports, asked, may_wait=True)
    added(found, "desk", "jira")
    assert found.first("tickets") == "desk"  # another that serves it is asked meanwhile
    found.suspend("jira", "")
    assert found.first("tickets") == "jira"


async def test_the_fleet_is_joined_when_both_owners_are_there_and_anew_when_one_is_another() -> None:
    updates, signals, joined = (
        Fake("u", "updates"),
        Fake("s", "signals"),
        Fake("joined", "fleet", needs=("updates", "signals")),
    )
    found = made({}, updates, signals, joined)
    added(found, "bit", "u")
    assert "fleet" not in found.ports
    added(found, "metrics", "s")
    assert found.ports["fleet"].made_of == [updates.made[0], signals.made[0]] and found.systems["fleet"].implied
    added(found, "more", "s")
    assert len(joined.made) == 1  # the metrics asked are still the same
    found.rebuild("bit")
    assert found.ports["fleet"].made_of == [updates.made[1], signals.made[0]]
    found.suspend("metrics", "suspended")
    assert found.ports["fleet"].made_of[1] is signals.made[1]
    found.drop("more")
    assert "fleet" not in found.ports and "fleet" not in found.systems
    await found.close()


def test_one_that_can_not_be_built_is_kept_with_its_reason() -> None:
    jira = Fake(*TICKETS)
    found = made({}, jira)
    jira.fails = True
    system = found.plan("jira", {"kind": "jira"})
    with pytest.raises(ActionError, match="not of this world"):
        found.add(system)
    assert found.systems == {}
    found.broken(system, "it is not of this world")
    with pytest.raises(ActionError, match="jira: it is not of this world"):
        found.port("tickets")


def test_one_whose_kind_is_gone_says_so_to_who_names_it() -> None:
    found = made({}, Fake(*TICKETS))
    found.lost["desk"] = "no connector 'desk' is installed"
    with pytest.raises(ActionError, match="desk can't be used: no connector 'desk' is installed"):
        found.port("tickets@desk")
    added(found, "desk", "jira")
    assert found.port("tickets@desk") and not found.lost


def test_a_connector_that_can_not_be_imported_is_one_error_and_not_the_end() -> None:
    def load() -> Any:
        raise ImportError("no module named something")

    found = Connections(lambda name: "", Clock(), {"bad": load})  # type: ignore[arg-type]
    with pytest.raises(ActionError, match=r"connectors\.x\.kind: bad can't be loaded \(ImportError"):
        found.plan("x", {"kind": "bad"})


async def test_signs_of_life_are_asked_by_name_and_not_of_those_that_are_suspended() -> None:
    found = made({"jira": {"kind": "jira", "url": "a"}, "desk": {"kind": "both"}}, Fake(*TICKETS), Fake(*BOTH))
    assert await found.check() == {"jira": "jira a 1.0", "desk": "both 1.0"}
    found.suspend("desk", "suspended")
    assert await found.check() == {"jira": "jira a 1.0"}


def test_kinds_described_in_files_are_there_as_soon_as_the_file_is(tmp_path: Path) -> None:
    described = Fake("shop", "tickets")

    class Http(Fake):
        def kinds(self, folder: Path) -> dict[str, Any]:
            return {file.stem: lambda: described for file in folder.glob("*.yaml")}

    found = Connections(lambda name: "", Clock(), kinds(Http("http", "tickets"), Fake(*TICKETS)), tmp_path)
    with pytest.raises(ActionError, match="no connector 'shop'; installed: http, jira"):
        found.plan("x", {"kind": "shop"})
    (tmp_path / "shop.yaml").write_text("{}")
    (tmp_path / "jira.yaml").write_text("{}")
    added(found, "x", "shop")
    assert found.port("tickets") is described.made[0]
    assert set(found.declared()) == {"shop"}, "none takes an installed kind's place"
