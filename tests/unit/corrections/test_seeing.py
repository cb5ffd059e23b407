"""From an intervention to a kept window: what is opened, what is one case, what is lost and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.capabilities.ports import ActionError, Deferred
from tests.unit.corrections.ground import ROBOT, SITE, START, TASK, VERSION, Ground


async def live(ground: Ground, **more: object) -> str:
    given = {
        "robot": ROBOT,
        "at": START - 60,
        "until": START - 49,
        "site": SITE,
        "task": TASK,
        "version": VERSION,
    } | more
    found = await ground.act("correction.detect", **given)
    return str(found["cases"][0]) if found["cases"] else ""


async def test_a_takeover_is_pinned_on_the_robot_and_kept(ground: Ground) -> None:
    ground.ring(START - 60)
    id_ = await live(ground)
    kept = await ground.act("correction.capture", correction=id_)
    case = ground.case(id_)
    assert kept["state"] == "captured" and case.window is not None and case.window.covered > 0.9
    assert case.window.source == "ring" and case.window.pinned_at and ground.context().vault.verify(case.window.digest)
    assert case.suggested.cause == "policy" and case.group.endswith(f"/{ROBOT}") and case.auto
    assert abs(case.t0 - (START - 60)) < 0.2, "the robot's own record says when"
    assert not list((ground.rings / ROBOT / "pins").glob("*/*")), "the pin is let go once the window is here"
    assert await ground.act("correction.capture", correction=id_) == kept, "asking again changes nothing"


async def test_the_pin_outlives_the_ring(ground: Ground) -> None:
    ground.ring(START - 60)
    recorder = ground.ports["robots_recorder"]
    pin = await recorder.pin(ROBOT, START - 70, START - 40, key="k")
    ground.clock.advance(3 * 3600)
    assert (await recorder.ring(ROBOT)).end == 0.0, "the ring holds nothing of then"
    assert await recorder.pin(ROBOT, START - 70, START - 40, key="k") == pin, "the same key is the same pin"
    for path in (ground.rings / ROBOT).glob("*.mcap"):
        path.unlink()
    assert len(await recorder.fetch(ROBOT, pin.ref)) >= 1


async def test_what_was_overwritten_is_lost_with_the_reason(ground: Ground) -> None:
    ground.ring(START - 60)
    id_ = await live(ground)
    ground.clock.advance(2 * 3600)
    kept = await ground.act("correction.capture", correction=id_)
    assert kept["state"] == "lost" and "ring of 90 min" in kept["why"]
    assert ("qd.correction.lost", {"correction": id_, "robot": ROBOT, "reason": kept["why"]}) in ground.told()


async def test_a_robot_out_of_reach_is_asked_again_until_its_ring_is_over(ground: Ground) -> None:
    ground.ring(START - 60, offline=True)
    id_ = await live(ground)
    with pytest.raises(Deferred):
        await ground.act("correction.capture", correction=id_)
    assert ground.case(id_).state == "detected"
    ground.clock.advance(100 * 60)
    assert (await ground.act("correction.capture", correction=id_))["state"] == "lost"
    assert "out of reach" in ground.case(id_).lost_why


async def test_pinned_but_never_uploaded_is_lost_after_a_day(ground: Ground) -> None:
    ground.ring(START - 60)
    id_ = await live(ground)
    recorder = ground.ports["robots_recorder"]
    fetch = recorder.fetch

    async def away(robot: str, ref: str) -> list[object]:
        raise Deferred("out of reach", 60)

    recorder.fetch = away
    with pytest.raises(Deferred):
        await ground.act("correction.capture", correction=id_)
    assert ground.case(id_).window is not None and ground.case(id_).window.pin  # type: ignore[union-attr]
    ground.clock.advance(20 * 3600)
    recorder.fetch = fetch
    assert (await ground.act("correction.capture", correction=id_))["state"] == "captured", (
        "pinned in time, fetched later"
    )


async def test_an_upload_that_takes_longer_than_a_day_is_lost(ground: Ground) -> None:
    ground.ring(START - 60)
    id_ = await live(ground)

    async def away(robot: str, ref: str) -> list[object]:
        raise Deferred("out of reach", 60)

    ground.ports["robots_recorder"].fetch = away
    with pytest.raises(Deferred):
        await ground.act("correction.capture", correction=id_)
    ground.clock.advance(25 * 3600)
    assert "not uploaded within 24 h" in (await ground.act("correction.capture", correction=id_))["why"]


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "x" * 80, "HAM2\x1b[2J"])
async def test_a_robots_name_never_leaves_the_folder(ground: Ground, name: str) -> None:
    with pytest.raises(ActionError) as error:
        await ground.ports["robots_recorder"].ring(name)
    assert error.value.error == "NoSuchRobot"


async def test_a_ring_that_lies_about_itself_is_read_with_care(ground: Ground) -> None:
    ground.ring(START - 60)
    facts = ground.rings / ROBOT / "ring.json"
    for told in ("[]", "{", json.dumps({"ring_s": -5, "clock_offset_s": 1e99}), json.dumps({"ring_s": "x"})):
        facts.write_text(told)
        ring = await ground.ports["robots_recorder"].ring(ROBOT)
        assert ring.ring_s == 600 and ring.clock_offset_s == 0
    facts.write_text(json.dumps({"online": "yes"}))
    assert not (await ground.ports["robots_recorder"].ring(ROBOT)).online, "only true is true"


async def test_one_robot_within_the_gap_is_one_case(ground: Ground) -> None:
    ground.packs["correction"]["merge_gap"] = 600.0
    first = await live(ground)
    again = await ground.act("correction.detect", "run-2", robot=ROBOT, at=START - 20)
    assert again["cases"] == [] and first in again["says"]
    assert await live(ground, robot="HAM2-AMR-17") not in ("", first)
    assert len(ground.find("correction")) == 2


async def test_the_future_is_no_takeover(ground: Ground) -> None:
    with pytest.raises(ActionError):
        await live(ground, at=START + 3600)
    with pytest.raises(ActionError) as error:
        await ground.act("correction.detect")
    assert error.value.error == "NothingGiven"


async def test_a_session_is_scored_once_and_its_cases_opened_once(ground: Ground) -> None:
    (session,) = await ground.recorded(interventions=3, seconds=60)
    first = await ground.act("correction.detect", session=session)
    assert len(first["cases"]) >= 1 and "3 interventions" in first["says"]
    await ground.act("correction.detect", session=session)
    assert len(ground.find("correction")) == len(first["cases"]) and len(ground.find("session_score")) == 1
    score = ground.find("session_score")[0]
    assert score.flagged and score.interventions == 3 and score.human_share > 0.2 and score.rate
    kept = await ground.act("correction.capture", correction=first["cases"][0])
    assert kept["state"] == "captured" and ground.case(first["cases"][0]).window.source == "session"  # type: ignore[union-attr]


async def test_what_no_rule_flags_is_counted_and_not_opened(ground: Ground) -> None:
    (session,) = await ground.recorded(seconds=70)
    found = await ground.act("correction.detect", session=session)
    assert found["cases"] == [] and not ground.find("correction") and not ground.find("session_score")[0].flagged


async def test_a_spike_is_told_once_and_brings_back_what_no_rule_flagged(ground: Ground) -> None:
    await ground.recorded("before", count=36, robots=4, interventions=0, version="4.7.9", start=START - 90_000, salt=1)
    quiet = await ground.recorded("few", count=1, robots=1, version="4.7.9", start=START - 80_000, salt=2)
    for one in quiet:
        assert not (await ground.act("correction.detect", session=one))["spikes"]
    new = await ground.recorded("new", count=8, robots=4, seconds=70, salt=3)
    spikes = [spike["id"] for one in new for spike in (await ground.act("correction.detect", session=one))["spikes"]]
    assert len(set(spikes)) == 1 and len(ground.find("spike")) == 1
    told = [data for event, data in ground.told() if event == "qd.intervention.spike"]
    assert len(told) == 1 and told[0]["version"] == VERSION and told[0]["k"] >= 3 and told[0]["contrast"] is not None
    again = await ground.act("correction.detect", "run-9", site=SITE, version=VERSION, spike=True)
    opened = {case.session for case in ground.find("correction")}
    assert set(new) <= opened and again["cases"]


async def test_a_session_that_comes_in_late_belongs_to_the_spike_that_was_told(ground: Ground) -> None:
    """What came in between may have made the sum look usual again: the spike's sessions are looked at all the same."""
    await ground.recorded("before", count=24, robots=4, interventions=0, version="4.7.9", start=START - 90_000, salt=1)
    new = await ground.recorded("new", count=7, robots=4, seconds=70, salt=3)
    for one in new[:-1]:
        await ground.act("correction.detect", session=one)
    assert len(ground.find("spike")) == 1
    await ground.recorded(
        "more", count=12, robots=4, seconds=70, interventions=2, version="4.7.9", start=START - 89_700, salt=2
    )
    late = await ground.act("correction.detect", session=new[-1])
    assert [spike["id"] for spike in late["spikes"]] == [ground.find("spike")[0].id] and late["cases"]


async def test_a_recording_that_is_gone_loses_its_windows_only(ground: Ground) -> None:
    (session,) = await ground.recorded(interventions=3, seconds=60)
    found = await ground.act("correction.detect", session=session)
    next((ground.folder / "new").glob("*.mcap")).unlink()
    kept = await ground.act("correction.capture", correction=found["cases"][0])
    assert kept["state"] == "lost" and kept["why"]


async def test_a_window_seen_live_can_be_learnt_from(ground: Ground) -> None:
    from engine.capabilities.corrections.keeping import session_of

    ground.ring(START - 60)
    id_ = await live(ground)
    await ground.act("correction.capture", correction=id_)
    session = await session_of(ground.context(), ground.case(id_), "recoveries")
    made: Any = ground.host.book.reads.get("session", session)
    assert made.state == "valid" and made.robot == ROBOT and made.bill["policy"] == VERSION
    assert await session_of(ground.context(), ground.case(id_), "recoveries") == session
    from engine.capabilities.corrections.evidence_of import sessions

    assert await sessions(ground.context().records) == [], "a window is nobody's operating hours"


async def test_an_episode_of_lerobot_is_a_clip_too(ground: Ground) -> None:
    from connectors.sandbox import recordings
    from engine.capabilities.corrections import clips
    from engine.capabilities.corrections.frames import as_recording

    recordings.make(
        ground.folder / "le", seed=7, count=1, seconds=6, faults=(), lerobot=3, sites=("HAM2",), tasks=("jam-recovery",)
    )  # fmt: skip
    await ground.act("data.intake", "run-0", folder=str(ground.folder / "le"))
    session = next(one for one in ground.find("session") if one.format == "lerobot-v3" and one.interventions)
    target = ground.folder / "x.mcap"
    from engine.capabilities.data.formats import locate

    rows = as_recording(locate(None, session), session, target, 0, 1e12)
    assert rows == session.frames and clips.read(target).intervention
    found = await ground.act("correction.detect", session=session.id)
    assert found["cases"], found["says"]
    assert (await ground.act("correction.capture", correction=found["cases"][0]))["state"] == "captured"


async def test_personal_data_stays_in_its_region_and_says_so(ground: Ground) -> None:
    (session,) = await ground.recorded(interventions=3, seconds=60)
    await ground.context().records.change("session", session, set={"pii": True, "region": "eu"})
    found = await ground.act("correction.detect", session=session)
    case = ground.case(found["cases"][0])
    assert case.region == "eu" and any("personal data" in flag for flag in case.flags)
