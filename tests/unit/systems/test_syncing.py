"""The mirror keeps its promises: each difference once and in order, nothing lost while away, STALE said and taken back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.capabilities.ports import ActionError
from engine.hosts import mirroring as module
from engine.hosts.clock import VirtualClock
from engine.hosts.mirroring import MANY
from engine.store.errors import StoreError
from tests.unit.systems.owner import NOW, Owner, engine, names, rows, told


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "quarterdeck.db"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


async def pulled(syncing: Any, *, full: bool = False) -> Any:
    (found,) = await syncing.sync("one", full=full)
    return found


async def test_the_first_listing_is_one_event_and_every_difference_after_it_one(
    database: Path, clock: VirtualClock
) -> None:
    owner = Owner(clock, page=3)
    for number in range(10):
        owner.put(f"T-{number}")
    async with engine(database, clock, owner) as (_, syncing):
        first = await pulled(syncing)
        assert (first.objects, first.error) == (10, "")
        assert names(told(database)) == []
        (completed, _) = (each for each in told(database) if each["event"] == "qd.sync.completed")
        assert completed["data"] | {"system": "one", "kind": "issue", "objects": 10, "first": True} == completed["data"]

        clock.advance(60)
        owner.put("T-3", state="closed", priority="P1")
        clock.advance(1)
        owner.put("T-10", name="new")
        clock.advance(1)
        owner.put("T-4", name="another name")
        assert (await pulled(syncing)).changed == 3
        found = [each for each in told(database) if ".remote." in each["event"]]
        assert names(found) == ["changed T-3", "created T-10", "renamed T-4"]
        changed = found[0]
        assert changed["event"] == "qd.remote.issue.changed" and changed["subject"] == "one/T-3"
        said = changed["data"]
        assert (said["state"], said["was"], said["late"]) == ("closed", "open", False)
        assert said["changed"] == ["state", "changed_at", "priority"] and said["data"] == {"priority": "P1"}
        assert found[2]["data"]["was_name"] == "T-4"


async def test_a_page_of_many_differences_is_told_in_parts_and_its_cursor_goes_last(
    database: Path, clock: VirtualClock, monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "TELL", 3)
    owner = Owner(clock)
    owner.put("T-0")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        clock.advance(60)
        for number in range(10):
            owner.put(f"N-{number}", at=clock.now() + number)
        tell, commits = syncing._mirroring.tell, []

        async def watched(job: Any, events: Any, rows: Any = ()) -> None:
            commits.append((len(events), job.state.cursor))
            if len(commits) == 3:
                raise StoreError("the disk is full")
            await tell(job, events, rows)

        monkeypatch.setattr(syncing._mirroring, "tell", watched)
        assert "disk is full" in (await pulled(syncing)).error
        assert commits == [(3, "log:1"), (3, "log:1"), (3, "log:1")]
        monkeypatch.setattr(syncing._mirroring, "tell", tell)
        await pulled(syncing)
        assert names(told(database)) == [f"created N-{number}" for number in range(10)]


async def test_what_did_not_differ_is_not_written_and_not_told(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock, lists_only=True)
    for number in range(5):
        owner.put(f"T-{number}")
    async with engine(database, clock, owner) as (host, syncing):
        await pulled(syncing)
        before, clock_was = rows(database), host.journal.seq
        clock.advance(600)
        assert (await pulled(syncing)).changed == 0
        assert rows(database) == before
        assert host.journal.seq == clock_was + 1  # that it was synced by hand


async def test_deletions_and_returns_are_noticed_by_listing_everything(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock, page=4)
    for number in range(10):
        owner.put(f"T-{number}")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        kept = owner.objects["T-7"]
        owner.drop("T-7")
        clock.advance(60)
        await pulled(syncing)
        assert names(told(database)) == []  # what changed is asked for, and a deletion is no change there
        clock.advance(3600)
        await pulled(syncing)
        assert names(told(database)) == ["deleted T-7"] and rows(database)["T-7"][2] == clock.now()
        owner.objects["T-7"] = kept
        await pulled(syncing, full=True)
        assert names(told(database)) == ["deleted T-7", "restored T-7"] and rows(database)["T-7"][2] == 0


async def test_a_listing_that_lacks_most_of_it_is_not_believed_at_once(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock, lists_only=True)
    for number in range(3 * MANY):
        owner.put(f"T-{number}")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        owner.shown = 5
        await pulled(syncing)
        (feed,) = syncing.feeds("one")
        assert "55 of 60" in feed.doubt and names(told(database)) == []
        owner.shown = None
        await pulled(syncing)
        (feed,) = syncing.feeds("one")
        assert feed.doubt == "" and names(told(database)) == []  # it was an answer that lacked most, and is forgotten
        owner.shown = 5
        await pulled(syncing)
        await pulled(syncing)
        assert len(names(told(database))) == 55  # said twice, it is so


async def test_offline_for_an_hour_nothing_is_lost_and_all_catches_up_in_order(
    database: Path, clock: VirtualClock
) -> None:
    owner = Owner(clock, page=2)
    owner.put("T-0")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        owner.down = ActionError("Unreachable", "cannot be reached (ConnectError)", kind="unavailable")
        for minute in range(60):
            clock.advance(60)
            owner.put(f"T-{minute % 7 + 1}", state=f"s{minute}")
            await syncing.sync("one")
            (feed,) = syncing.feeds("one")
            assert feed.state == ("failing" if minute < 5 else "stale"), minute
        stale = [each for each in told(database) if each["event"] == "qd.sync.stale"]
        assert len(stale) == 1 and stale[0]["data"]["error"].startswith("cannot be reached")
        assert feed.error and feed.failures == 60 and feed.objects == 1

        owner.down = None
        await pulled(syncing)
        (feed,) = syncing.feeds("one")
        assert (feed.state, feed.failures, feed.error, feed.objects) == ("fresh", 0, "", 8)
        found = told(database)
        assert sum(each["event"] == "qd.sync.recovered" for each in found) == 1
        times = [each["data"]["changed_at"] for each in found if ".remote." in each["event"]]
        assert times == sorted(times) and len(times) == 7
        recovered = next(each for each in found if each["event"] == "qd.sync.recovered")
        assert recovered["data"]["away_s"] == 3600.0


async def test_a_forgotten_cursor_is_no_loss(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock)
    owner.put("T-0"), owner.put("T-1")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        owner.put("T-1", state="closed")
        owner.drop("T-0")
        owner.forgets = 100
        owner.log += ["T-1"] * 200
        clock.advance(60)
        await pulled(syncing)
        assert names(told(database)) == ["changed T-1", "deleted T-0"]
        assert owner.pulls[-2:] == ["log:2", ""]


async def test_a_restart_goes_on_where_it_was_and_tells_nothing_twice(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock)
    owner.put("T-0")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
    owner.put("T-1")
    clock.advance(60)
    for _ in range(2):
        async with engine(database, clock, owner) as (_, syncing):
            await pulled(syncing)
    assert names(told(database)) == ["created T-1"]
    assert owner.pulls.count("") == 1


async def test_what_could_not_be_written_is_told_at_the_next_reading(
    database: Path, clock: VirtualClock, monkeypatch: Any
) -> None:
    owner = Owner(clock)
    owner.put("T-0")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        owner.put("T-1")
        clock.advance(60)
        with monkeypatch.context() as patched:

            async def full(*args: Any, **more: Any) -> None:
                raise StoreError("the disk is full")

            patched.setattr(syncing._mirroring, "tell", full)
            patched.setattr(syncing._mirroring, "save", full)
            (found,) = await syncing.sync("one")
            assert "disk is full" in found.error
        assert names(told(database)) == []
        await pulled(syncing)
        assert names(told(database)) == ["created T-1"]


async def test_late_data_is_marked_and_a_wrong_clock_is_no_late_data(database: Path, clock: VirtualClock) -> None:
    owner, wrong = Owner(clock), Owner(clock)
    owner.offset_s, wrong.offset_s = 0.0, -7200.0  # two hours behind
    owner.put("T-0"), wrong.put("W-0")
    async with engine(database, clock, owner, wrong) as (_, syncing):
        await syncing.sync("one"), await syncing.sync("two")
        clock.advance(600)
        await syncing.sync("one"), await syncing.sync("two")
        clock.advance(60)
        owner.put("T-1", at=clock.now() - 300)  # happened before the last reading and was not told then
        owner.put("T-2")
        wrong.put("W-1")
        await syncing.sync("one"), await syncing.sync("two")
        late = {each["data"]["id"]: each["data"]["late"] for each in told(database) if ".remote." in each["event"]}
        assert late == {"T-1": True, "T-2": False, "W-1": False}
        (right,), (off,) = syncing.feeds("one"), syncing.feeds("two")
        assert (right.skew_s, right.late, off.skew_s, off.late) == (0.0, 1, -7200.0, 0)


async def test_changes_in_the_future_show_a_clock_that_is_ahead(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock)
    owner.put("T-0", at=NOW + 3600)
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        (feed,) = syncing.feeds("one")
        assert feed.skew_s == 3600.0


async def test_what_the_owner_itself_says_is_gone_is_gone(database: Path, clock: VirtualClock) -> None:
    from engine.capabilities.systems.ports import Pulled

    owner = Owner(clock)
    owner.put("T-0"), owner.put("T-1")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)

        async def says(feed: str, cursor: str) -> Pulled:
            return Pulled(deleted=("T-0", "T-unknown"), cursor="log:9")

        owner.pull = says  # type: ignore[method-assign]
        await pulled(syncing)
        await pulled(syncing)
        assert names(told(database)) == ["deleted T-0"]


async def test_an_owner_that_says_nothing_changed_costs_one_question(database: Path, clock: VirtualClock) -> None:
    from connectors.listing import listed
    from engine.capabilities.systems.ports import Pulled

    owner = Owner(clock, lists_only=True)
    owner.put("T-0")
    unchanged: list[bool] = []

    async def listing(feed: str, cursor: str) -> Pulled:
        page = listed(list(owner.objects.values()), cursor)
        unchanged.append(page.unchanged)
        return page

    owner.pull = listing  # type: ignore[method-assign]
    async with engine(database, clock, owner) as (_, syncing):
        for _ in range(3):
            await pulled(syncing)
        owner.put("T-1")
        await pulled(syncing)
    assert unchanged == [False, True, True, False]
    assert names(told(database)) == ["created T-1"]


async def test_a_feed_that_hangs_or_fails_in_its_code_does_not_stop_the_others(
    database: Path, clock: VirtualClock
) -> None:
    owner, other = Owner(clock), Owner(clock)
    other.put("T-0")

    async def broken(feed: str, cursor: str) -> Any:
        raise ZeroDivisionError

    owner.pull = broken  # type: ignore[method-assign]
    async with engine(database, clock, owner, other) as (_, syncing):
        (bad,), (good,) = await syncing.sync("one"), await syncing.sync("two")
        assert "ZeroDivisionError" in bad.error and good.objects == 1


async def test_a_forgotten_system_leaves_nothing_and_begins_anew(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock)
    owner.put("T-0")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        await syncing.forget("one")
        assert rows(database) == {} and syncing.feeds("one") == ()
        syncing.follow("one", (owner,))
        owner.put("T-1")
        await pulled(syncing)
        assert names(told(database)) == []  # the first listing again


async def test_a_paused_system_is_not_read_and_not_called_stale(database: Path, clock: VirtualClock) -> None:
    owner = Owner(clock)
    owner.put("T-0")
    async with engine(database, clock, owner) as (_, syncing):
        await pulled(syncing)
        syncing.pause("one")
        clock.advance(7200)
        (feed,) = syncing.feeds("one")
        assert feed.state == "suspended"
        await asyncio.sleep(0)
        assert len(owner.pulls) == 1
