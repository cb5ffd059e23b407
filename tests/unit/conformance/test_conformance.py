"""The conformance suite: a port that keeps its promises passes, each broken promise is the one that is named."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from engine.capabilities.ports import ActionError, Param
from engine.capabilities.systems import conformance
from engine.capabilities.systems.conformance import Broken, CheckReport
from engine.capabilities.systems.ports import BadDelivery, Decision, Incoming
from tests.unit.conformance.desk_of_tickets import NOW, Desk


async def tried(port: Any, capability: str = "tickets", **more: Any) -> CheckReport:
    return await conformance.check({capability: port}, system="desk", now=lambda: NOW, **more)


def broken(report: CheckReport) -> set[str]:
    return {one.name for one in report.results if one.outcome == "broken"}


async def test_by_default_nothing_is_written() -> None:
    desk = Desk()
    before = dict(desk.tickets)
    report = await tried(desk)
    assert not report.broken and not report.left and not report.mark
    assert desk.tickets == before and not desk.calls
    skipped = [one for one in report.results if one.outcome == "skipped"]
    assert {one.write for one in skipped} == {True} and all("--write" in one.reason for one in skipped)
    assert report.kept >= 9


async def test_with_writes_everything_is_kept_and_what_was_made_is_closed_again() -> None:
    desk = Desk()
    report = await tried(desk, write=True)
    assert not broken(report), conformance.sentences(report)
    conformance.assert_kept(report)
    ours = [one for one in desk.tickets.values() if report.mark in one.title]
    assert [one.meaning for one in ours] == ["resolved"]
    declared = next(one for one in report.results if one.name == "attaching-twice-is-no-error")
    assert declared.outcome == "skipped" and "takes no files" in declared.reason


@pytest.mark.parametrize(
    "fault, promise",
    [
        ("nameless", "check-names-the-server"),
        ("circles", "a-full-listing-ends"),
        ("twice", "a-full-listing-ends"),
        ("ms", "objects-are-sound"),
        ("gap", "a-strange-cursor-is-noticed"),
        ("misnamed", "a-missing-ticket-is-said"),
        ("dirty", "mirrored-tickets-can-be-read"),
        ("doubles", "opening-twice-is-one-ticket"),
        ("repeats", "commenting-twice-is-one-comment"),
        ("overwrites", "an-old-version-conflicts"),
        ("crashes", "attaching-twice-is-no-error"),
    ],
)
async def test_a_broken_promise_is_the_one_that_is_named(fault: str, promise: str) -> None:
    report = await tried(Desk(fault), write=True)
    assert promise in broken(report), conformance.sentences(report)
    with pytest.raises(AssertionError, match=promise):
        conformance.assert_kept(report)


async def test_what_does_not_answer_is_asked_once_and_the_rest_is_skipped_with_the_reason() -> None:
    report = await tried(Desk("down"), write=True)
    assert broken(report) == {"check-names-the-server"} and not report.kept
    rest = [one for one in report.results if one.outcome == "skipped"]
    assert all("does not answer" in one.reason for one in rest)


async def test_a_second_ticket_that_came_of_a_broken_promise_is_closed_too() -> None:
    desk = Desk("doubles")
    report = await tried(desk, write=True)
    ours = [one for one in desk.tickets.values() if report.mark in one.title]
    assert len(ours) > 1 and {one.meaning for one in ours} <= {"resolved", "closed"}


async def test_something_it_can_not_do_has_to_be_said_in_traits() -> None:
    desk = Desk()
    desk.traits = {}
    report = await tried(desk, write=True)
    assert broken(report) == {"attaching-twice-is-no-error"}
    assert "no trait says so" in conformance.sentences(report)[0]


async def test_a_port_that_never_answers_does_not_hold_the_check_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from engine.capabilities.systems.conformance import running

    monkeypatch.setattr(running, "PATIENCE_S", 0.05)

    class Silent(Desk):
        async def find(self, key: str) -> None:
            await asyncio.sleep(60)

    began = time.monotonic()
    report = await tried(Silent())
    assert "no end within" in next(one.reason for one in report.results if one.outcome == "broken")
    assert time.monotonic() - began < 5


async def test_a_policy_engine_that_allows_what_nobody_ruled_is_found_out() -> None:
    class Generous:
        traits: Mapping[str, str] = {}

        async def check(self) -> str:
            return "generous 1"

        async def decide(self, path: str, input: Mapping[str, Any]) -> Decision:
            return Decision(allow=True, reason="why not")

    report = await tried(Generous(), "decisions")
    assert broken(report) == {"undefined-is-a-deny", "paths-stay-in-the-policies"}


class Entry:
    kind = "desk"
    capabilities: tuple[str, ...] = ("tickets",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {"url": Param(type="string", description="address")}
    secrets = {"url": "x"}

    def build(self, config: Any, secret: Any, clock: Any, ports: Any) -> dict[str, Any]:
        return {"tickets": Desk()}


def test_an_entry_point_is_checked_without_any_connection() -> None:
    assert "tickets" in conformance.connector(Entry(), {"url": "https://desk.example"})
    unknown = Entry()
    unknown.capabilities = ("tikets",)
    with pytest.raises(Broken, match="tikets"):
        conformance.connector(unknown)


@pytest.mark.parametrize("error", [None, BadDelivery("what is this"), ActionError("Odd", "odd")])
def test_a_receiver_that_reads_what_nobody_signed_is_found_out(error: Exception | None) -> None:
    class Open(Entry):
        def receive(self, headers: Any, body: bytes, secret: str, now: float) -> list[Incoming]:
            if error is not None:
                raise error
            return []

    with pytest.raises(Broken):
        conformance.connector(Open())


def test_every_capability_has_promises_of_its_own() -> None:
    for name in ("updates", "signals", "fleet", "recordings", "training", "tickets", "paging", "alerts", "registry", "labels",
                 "objects", "decisions", "gateways", "notify"):  # fmt: skip
        own = [one for one in conformance.promises(name) if one.capability == name]
        assert own, name
        assert len({one.name for one in conformance.promises(name)}) == len(conformance.promises(name))
