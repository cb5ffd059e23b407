"""Recordings taken in: every broken file ends as a record that says why, and good ones end valid, whatever is asked twice."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import lerobot_files, recordings
from engine.capabilities.ports import ActionError, Robot
from tests.unit.data.conftest import Table

NOW = recordings.START_S + 30 * 86_400


def plans(*, count: int, seconds: float = 6.0, seed: int = 3) -> list[recordings.Plan]:
    return recordings.plans(seed=seed, count=count, seconds=seconds, fleet=recordings.profiles(7, 200))


class FleetOf:
    def __init__(self, robots: dict[str, str]) -> None:
        self._robots = [Robot(id=id, serial=serial) for id, serial in robots.items()]

    async def robots(self) -> list[Robot]:
        return self._robots


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recordings")
    recordings.make(
        place,
        seed=7,
        count=4,
        seconds=5.0,
        faults=list(recordings.FAULTS),
        lerobot=3,
        sites=recordings.SITES,
        tasks=recordings.TASKS,
    )
    return place


@pytest.fixture
def taking(table: Table) -> Table:
    table.clock.at = NOW
    table.ports["fleet"] = FleetOf({p.id: p.serial for p in recordings.profiles(7, 200)})
    return table


async def test_a_folder_of_everything_ends_with_every_file_accounted_for(taking: Table, folder: Path) -> None:
    done = await taking.act("data.intake", folder=str(folder), dataset="bins", campaign="c-1")
    sessions = {one.name: one for one in await taking.find("session")}
    manifest = json.loads((folder / "manifest.json").read_text())["recordings"]
    assert done["counts"]["found"] == len(sessions) == len(manifest) - 1 + 3
    made = plans(count=4, seconds=5.0, seed=7)
    assert {sessions[f"{plan.name}.mcap"].state for plan in made} == {"valid"}
    assert [sessions[f"lerobot-bin-pick#{n}"].state for n in range(3)] == ["valid"] * 3
    broken = [one for one in sessions.values() if one.state == "quarantined"]
    expected = [fault for fault, word in recordings.FAULTS.items() if word == "quarantine"]
    why = {one.name: (one.code, one.findings[0].text) for one in broken}
    assert len(broken) == len(expected), why
    assert done["duplicates"] == 2
    assert all(one.code and one.findings and one.report and taking.host.vault.verify(one.report) for one in broken)
    assert done["counts"] == {
        "found": len(sessions),
        "valid": 7,
        "repaired": 4,
        "quarantined": len(expected),
        "duplicates": 2,
    }


FAULT_CODES = {
    "corrupt": "corrupt", "clock_back": "clock_back", "clock_jump": "clock_jump", "gap": "gap", "drops": "drops", "skew": "skew",
    "nan": "not_finite", "limits": "limits", "zero_actions": "zero_actions", "no_actions": "missing", "mixed_fps": "mixed_rate",
    "camera_swapped": "camera_swapped", "calibration": "calibration", "wrong_robot": "wrong_robot", "look_alike": "look_alike",
    "short": "duration", "not_mcap": "not_mcap", "empty": "not_mcap", "enormous": "truncated", "bomb": "corrupt",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULT_CODES)
async def test_each_fault_is_named_for_what_it_is(taking: Table, tmp_path: Path, fault: str) -> None:
    plan, other = plans(count=2, seconds=5.0)
    broken = recordings.broken(plan, fault, other=other)
    path = recordings.write(broken, tmp_path)
    claim = {"robot": plan.robot} if fault == "wrong_robot" else {}
    ref = {"uri": str(path), "format": "mcap", "bytes": path.stat().st_size, "episode": -1, "name": path.name, **claim}
    taken = await taking.act("data.take", ref=ref)
    assert (taken["state"], taken["verdict"], taken["code"]) == ("quarantined", "quarantine", FAULT_CODES[fault])
    session = await taking.get("session", taken["session"])
    assert session.findings[0].severity == "fail" and taken["worst"]
    assert (await taking.records.history("session", session.id))[-1].reason == session.findings[
        0
    ].text or fault == "gap"


@pytest.mark.parametrize("fault", ["truncated", "no_summary", "shuffled", "repeated"])
async def test_what_is_mended_says_what_was_lost_and_leaves_the_original(
    taking: Table, tmp_path: Path, fault: str
) -> None:
    plan, other = plans(count=2, seconds=5.0)
    path = recordings.write(recordings.broken(plan, fault, other=other), tmp_path)
    before = path.read_bytes()
    ref = {"uri": str(path), "format": "mcap", "name": path.name}
    first = await taking.act("data.ingest", ref=ref)
    judged = await taking.act("data.validate", session=first["session"])
    assert (judged["verdict"], judged["state"]) == ("repair", "ingested")
    mended = await taking.act("data.repair", session=first["session"])
    assert (mended["verdict"], mended["state"], mended["repairs"]) == ("pass", "repaired", 1)
    session = await taking.get("session", first["session"])
    assert session.content != session.digest and path.read_bytes() == before
    assert taking.host.vault.verify(session.content)
    assert session.mended and any(finding.check == "repaired" for finding in session.findings)
    if fault == "truncated":
        assert session.lost_bytes > 0 and session.lost_s > 0 and "lost" in session.findings[0].text
    from mcap.reader import make_reader

    with taking.host.vault.path(session.content).open("rb") as stream:
        counted = make_reader(stream).get_summary().statistics.message_count  # type: ignore[union-attr]
    assert counted == sum(topic.messages for topic in session.topics)


async def test_asking_again_changes_nothing(taking: Table, tmp_path: Path) -> None:
    recordings.write(plans(count=1, seconds=4.0)[0], tmp_path)
    first = await taking.act("data.intake", folder=str(tmp_path), dataset="bins")
    taking.run = "run-2"
    again = await taking.act("data.intake", folder=str(tmp_path), dataset="others")
    assert first["sessions"] == again["sessions"] and len(await taking.find("session")) == 1
    assert (await taking.get("session", first["sessions"][0])).dataset == "bins"


async def test_the_same_bytes_under_a_new_name_are_found_even_when_both_are_read_at_once(
    taking: Table, tmp_path: Path
) -> None:
    plan = plans(count=1, seconds=4.0)[0]
    path = recordings.write(plan, tmp_path)
    (tmp_path / f"{plan.name}-copy.mcap").write_bytes(path.read_bytes())
    found = await taking.act("data.discover", folder=str(tmp_path))
    taken = await asyncio.gather(*(taking.act("data.take", ref=ref) for ref in found["found"]))
    assert sorted(one["state"] for one in taken) == ["quarantined", "valid"]
    lost = next(one for one in taken if one["state"] == "quarantined")
    kept = next(one for one in taken if one["state"] == "valid")
    assert lost["code"] == "duplicate" and lost["duplicate_of"] == kept["session"]


async def test_an_episode_is_known_again_in_another_data_set(taking: Table, tmp_path: Path) -> None:
    plan = plans(count=1)[0]
    lerobot_files.write(tmp_path / "one", plan, episodes=3)
    lerobot_files.write(tmp_path / "two", plan, episodes=2)
    done = await taking.act("data.intake", folder=str(tmp_path))
    assert done["counts"]["valid"] == 3 and done["duplicates"] == 2


@pytest.mark.parametrize("fault", lerobot_files.FAULTS)
async def test_a_lerobot_set_that_contradicts_itself_is_set_aside(taking: Table, tmp_path: Path, fault: str) -> None:
    plan = plans(count=1)[0]
    lerobot_files.write(tmp_path / "set", plan, episodes=3, fault=fault)
    done = await taking.act("data.intake", folder=str(tmp_path))
    assert len(done["quarantined"]) == (3 if fault in ("wrong_total", "lost_file") else 1)
    session = await taking.get("session", done["quarantined"][0])
    assert (
        session.code
        in {
            "video_short": "video_rows",
            "nan": "not_finite",
            "wrong_total": "totals",
            "time_repeats": "time",
            "lost_file": "missing",
            "old_version": "old_version",
        }[fault]
    )


async def test_content_that_changed_after_it_was_read_is_not_used(taking: Table, tmp_path: Path) -> None:
    path = recordings.write(plans(count=1, seconds=4.0)[0], tmp_path)
    taken = await taking.act("data.ingest", ref={"uri": str(path), "format": "mcap", "name": path.name})
    with path.open("r+b") as stream:
        stream.seek(5000)
        byte = stream.read(1)[0]
        stream.seek(5000)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(ActionError) as changed:
        await taking.act("data.validate", session=taken["session"])
    assert changed.value.error == "ContentChanged"


async def test_links_pipes_and_other_formats_are_named_and_not_read(taking: Table, tmp_path: Path) -> None:
    outside = recordings.write(plans(count=1, seconds=4.0)[0], tmp_path)
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "link.mcap").symlink_to(outside)
    os.mkfifo(inside / "pipe.mcap")
    (inside / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    (inside / "manifest.json").write_text("{")
    found = await taking.act("data.discover", folder=str(inside))
    reasons: dict[str, Any] = dict(found["skipped"])
    assert found["count"] == 0 and set(reasons) == {"link.mcap", "pipe.mcap", "old.bag", "manifest.json"}
    taken = await taking.act("data.take", ref={"uri": str(inside / "link.mcap"), "format": "mcap"})
    assert (taken["state"], taken["code"]) == ("quarantined", "not_a_file")


async def test_a_folder_that_may_not_be_read_is_refused(taking: Table, tmp_path: Path) -> None:
    taking.ports["recordings"] = _Missing()
    for bad in ("relative/folder", str(tmp_path / "missing"), "s3://bucket/x"):
        with pytest.raises(ActionError) as refused:
            await taking.act("data.discover", folder=bad)
        assert refused.value.error in ("BadFolder", "NotConfigured") and not refused.value.retryable
    taking.policy["ingest"]["roots"] = [str(tmp_path / "allowed")]
    with pytest.raises(ActionError, match="may be read"):
        await taking.act("data.discover", folder=str(tmp_path))


async def test_set_aside_by_hand_and_looked_at_again(taking: Table, tmp_path: Path) -> None:
    recordings.write(plans(count=1, seconds=4.0)[0], tmp_path)
    done = await taking.act("data.intake", folder=str(tmp_path))
    name = done["sessions"][0]
    await taking.do("lea", "session.quarantine", name, reason="staff moved the robot")
    aside = await taking.get("session", name)
    assert (aside.state, aside.code) == ("quarantined", "by_hand")
    await taking.do("lea", "session.release", name, reason="it was another one")
    assert ("start", "session-recheck", {"session": name, "profile": ""}) in taking.told
    judged = await taking.act("data.validate", session=name)
    assert (judged["state"], judged["verdict"]) == ("valid", "pass")
    assert "it was another one (was set aside for by_hand" in (await taking.records.history("session", name))[-2].reason


async def test_a_finding_is_not_overruled_by_hand(taking: Table, tmp_path: Path) -> None:
    from engine.capabilities.desk import Refusal

    first, second = plans(count=2, seconds=5.0)
    gap = recordings.write(recordings.broken(first, "gap", other=second), tmp_path)
    (tmp_path / "copy.mcap").write_bytes(gap.read_bytes())
    empty = tmp_path / "empty.mcap"
    empty.write_bytes(b"")
    await taking.act("data.intake", folder=str(tmp_path))
    found = {one.name: one for one in await taking.find("session")}
    await taking.do("lea", "session.release", found[gap.name].id, reason="look again")
    judged = await taking.act("data.validate", session=found[gap.name].id)
    assert (judged["state"], judged["code"]) == ("quarantined", "gap")
    with pytest.raises(Refusal, match="never read"):
        await taking.do("lea", "session.release", found["empty.mcap"].id, reason="please")
    with pytest.raises(Refusal, match="no absolute path"):
        await taking.do("lea", "session.add", folder="recordings")


async def test_another_profile_may_judge_otherwise_and_is_named(taking: Table, tmp_path: Path) -> None:
    first, second = plans(count=2, seconds=5.0)
    path = recordings.write(recordings.broken(first, "gap", other=second), tmp_path)
    taking.policy["profiles"] = {"lenient": {"gap_frames": 30, "frame_drop": 0.5}}
    taken = await taking.act("data.ingest", ref={"uri": str(path), "format": "mcap", "name": path.name})
    judged = await taking.act("data.validate", session=taken["session"], profile="lenient")
    session = await taking.get("session", taken["session"])
    assert judged["state"] == "valid" and session.profile.startswith("lenient@")
    with pytest.raises(ActionError) as unknown:
        other = await taking.act("data.ingest", ref={"uri": str(recordings.write(second, tmp_path)), "format": "mcap"})
        await taking.act("data.validate", session=other["session"], profile="nobody's")
    assert unknown.value.error == "NoSuchProfile"


async def test_what_passed_is_told_once_with_its_bill(taking: Table, tmp_path: Path) -> None:
    plan = plans(count=1, seconds=4.0)[0]
    recordings.write(plan, tmp_path)
    await taking.act("data.intake", folder=str(tmp_path), dataset="bins")
    await taking.act("data.intake", folder=str(tmp_path), dataset="bins")
    await asyncio.sleep(0.05)
    told = [
        body
        for event, body in taking.host.loader.rows("select event, body from outbox")
        if event == "qd.session.ingested"
    ]
    session = (await taking.find("session"))[0]
    assert session.robot == plan.robot and set(session.bill) == {"app", "policy", "firmware", "map"}
    assert session.conditions["light"] in ("day", "night") and session.features["lux"] > 0
    assert session.group.startswith(f"{plan.site}/2026-10-") and session.consent_basis == "employment-agreement"
    assert len(told) == 1 and b"firmware" in told[0] and b"bins" in told[0]


async def test_recordings_of_an_object_store_are_kept_and_then_like_any_other(taking: Table, tmp_path: Path) -> None:
    from tests.unit.connectors.test_s3 import Store

    first, second = plans(count=2, seconds=4.0)
    good, cut = (
        recordings.write(first, tmp_path),
        recordings.write(recordings.broken(second, "truncated", other=first), tmp_path),
    )
    told = {
        "recordings": [
            {"file": good.name, "robot": first.robot, "site": first.site},
            {"file": cut.name, "robot": first.robot},
        ]
    }
    store = Store(
        {f"run/{path.name}": path.read_bytes() for path in (good, cut)}
        | {"run/manifest.json": json.dumps(told).encode(), "run/lr/meta/info.json": b"{}", "run/old.bag": b"x"}
    )
    with pytest.raises(ActionError, match="recordings"):
        taking.ports["recordings"] = _Missing()
        await taking.act("data.discover", folder="s3://rec/run/")
    taking.ports["recordings"] = store.client()
    found = await taking.act("data.discover", folder="s3://rec/run/")
    assert found["count"] == 2 and len(found["skipped"]) == 2
    taken = {ref["name"]: await taking.act("data.take", ref=ref) for ref in found["found"]}
    assert taken[good.name]["state"] == "valid"
    assert taken[cut.name]["code"] == "wrong_robot"
    session = await taking.get("session", taken[good.name]["session"])
    assert session.source_system == "object store" and session.uri == f"s3://rec/run/{good.name}"
    from engine.capabilities.data.formats import locate

    assert locate(taking.host.vault, session, verify=True).read_bytes() == good.read_bytes()
    store.objects.clear()
    again = await taking.act("data.take", ref=found["found"][0])
    assert again["known"] and not list(taking.host.vault.folder.glob(".fetching-*"))


class _Missing:
    async def list(self, uri: str, *, limit: int) -> Any:
        raise ActionError(
            "NotConfigured", "nothing is configured for recordings", kind="configuration", retryable=False
        )


async def test_a_recording_cut_out_of_another_is_not_taken_twice(taking: Table, tmp_path: Path) -> None:
    from msgspec.structs import replace

    plan = plans(count=1, seconds=8.0)[0]
    recordings.write(plan, tmp_path)
    clip = tmp_path / "clip.mcap"
    with clip.open("wb") as stream:
        recordings.record(
            replace(plan, start_ns=plan.start_ns + 1_000_000_000, seconds=4.0, seed=plan.seed + 1), stream
        )
    await taking.act("data.intake", folder=str(tmp_path))
    found = {one.name: one for one in await taking.find("session")}
    assert found[f"{plan.name}.mcap"].state == "valid"
    assert (found["clip.mcap"].state, found["clip.mcap"].code) == ("quarantined", "overlap")


async def test_a_recording_from_the_future_had_a_wrong_clock(taking: Table, tmp_path: Path) -> None:
    path = recordings.write(plans(count=1, seconds=4.0)[0], tmp_path)
    taking.clock.at = recordings.START_S - 86_400.0
    taken = await taking.act("data.take", ref={"uri": str(path), "format": "mcap"})
    assert (taken["state"], taken["code"]) == ("quarantined", "future")


async def test_what_a_lerobot_set_holds_is_on_the_record(taking: Table, tmp_path: Path) -> None:
    lerobot_files.write(tmp_path / "set", plans(count=1)[0], episodes=1)
    await taking.act("data.intake", folder=str(tmp_path))
    session = (await taking.find("session"))[0]
    assert "action float32 [2]" in session.columns and "intervention bool [1]" in session.columns
    assert (
        session.format == "lerobot-v3"
        and session.container.startswith("sha256:")
        and session.frames == session.topics[0].messages
    )


async def test_no_numbers_of_a_policy_stand_in_code(taking: Table, tmp_path: Path) -> None:
    """Every limit of the profile moves the verdict."""
    path = recordings.write(plans(count=1, seconds=5.0)[0], tmp_path)
    stricter = {
        "skew": ("skew", 0.001), "duration_min": ("duration", 60.0), "duration_max": ("duration", 1.0),
        "action_high": ("limits", 0.01), "required": ("missing", ["camera", "lidar"]), "mixed_rate": ("mixed_rate", 0.5), "zero_share": ("zero_actions", -1.0),
    }  # fmt: skip
    taken = await taking.act("data.ingest", ref={"uri": str(path), "format": "mcap"})
    base = dict(taking.policy["profile"])
    for number, (name, (check, value)) in enumerate(stricter.items()):
        taking.policy["profile"] = base | {name: value}
        judged = await taking.act("data.validate", session=taken["session"])
        session = await taking.get("session", taken["session"])
        assert judged["state"] == "quarantined" and check in {f.check for f in session.findings}, name
        await taking.records.change(
            "session", session.id, to="ingested", set={"verdict": "", "code": ""}, reason=f"again {number}"
        )
    taking.policy["profile"] = base
    assert (await taking.act("data.validate", session=taken["session"]))["state"] == "valid"


async def test_a_file_larger_than_may_be_read_is_recorded_and_not_read(taking: Table, tmp_path: Path) -> None:
    path = tmp_path / "HAM2-AMR-01.mcap"
    with path.open("wb") as stream:
        stream.truncate(200_000_000_000)  # a hole: no byte of it is on the disk
    done = await taking.act("data.intake", folder=str(tmp_path))
    session = (await taking.find("session"))[0]
    assert done["counts"]["quarantined"] == 1 and (session.state, session.code) == ("quarantined", "too_large")


async def test_an_engine_that_died_while_reading_ends_at_the_same_record(
    taking: Table, tmp_path: Path, monkeypatch: Any
) -> None:
    from engine.capabilities.data import mcap_scan

    path = recordings.write(plans(count=1, seconds=4.0)[0], tmp_path)
    ref = {"uri": str(path), "format": "mcap", "name": path.name}

    def dies(*given: Any) -> Any:
        raise RuntimeError("the engine died here")

    with monkeypatch.context() as patched:
        patched.setattr(mcap_scan, "scan", dies)
        with pytest.raises(RuntimeError):
            await taking.act("data.take", ref=ref)
    assert [one.state for one in await taking.find("session")] == ["discovered"]
    taking.run = "run-2"
    taken = await taking.act("data.take", ref=ref)
    assert taken["state"] == "valid" and len(await taking.find("session")) == 1


async def test_reading_stops_when_nobody_waits_any_more(taking: Table, tmp_path: Path) -> None:
    path = recordings.write(plans(count=1, seconds=4.0)[0], tmp_path)
    taking.cancelled = True
    with pytest.raises(ActionError) as stopped:
        await taking.act("data.take", ref={"uri": str(path), "format": "mcap"})
    assert stopped.value.error == "Cancelled"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data_path": "../../{chunk_index}/etc/passwd"}, "own_paths"),
        ({"video_path": "{video_key.__class__}"}, "own_paths"),
        ({"codebase_version": "v2.1"}, "old_version"),
        ({"features": 7}, "not_lerobot"),
        ({"fps": 0}, "fps"),
        ({"fps": 30}, "mixed_rate"),
    ],
)
async def test_a_lerobot_set_whose_head_lies_is_set_aside(
    taking: Table, tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    folder = lerobot_files.write(tmp_path / "set", plans(count=1)[0], episodes=1)
    info = json.loads((folder / "meta/info.json").read_text())
    (folder / "meta/info.json").write_text(json.dumps(info | change))
    await taking.act("data.intake", folder=str(tmp_path))
    (session,) = await taking.find("session")
    assert session.state == "quarantined" and code in {finding.check for finding in session.findings}


@pytest.mark.parametrize("what", ["link", "garbage", "truncated", "film"])
async def test_a_lerobot_set_with_a_bad_file_is_set_aside(taking: Table, tmp_path: Path, what: str) -> None:
    folder = lerobot_files.write(tmp_path / "set", plans(count=1)[0], episodes=2)
    data, film = folder / "data/chunk-000/file-000.parquet", next(folder.glob("videos/*/*/*.mp4"))
    if what == "link":
        (folder / "notes").symlink_to("/etc/passwd")
    elif what == "garbage":
        data.write_bytes(b"PAR1" + bytes(1000) + b"PAR1")
    elif what == "truncated":
        data.write_bytes(data.read_bytes()[:-200])
    else:
        film.write_bytes(film.read_bytes()[:-500])
    done = await taking.act("data.intake", folder=str(tmp_path))
    assert not done["sessions"] and done["quarantined"]
    codes = {(await taking.get("session", name)).code for name in done["quarantined"]}
    assert codes <= {"link", "table", "film", "missing"}, codes


async def test_a_data_set_that_changed_after_it_was_read_is_not_used(taking: Table, tmp_path: Path) -> None:
    from engine.capabilities.data.formats import locate

    folder = lerobot_files.write(tmp_path / "set", plans(count=1)[0], episodes=2)
    done = await taking.act("data.intake", folder=str(tmp_path))
    session = await taking.get("session", done["sessions"][0])
    assert locate(taking.host.vault, session, verify=True) == folder
    (folder / "meta/stats.json").write_text("{}")
    with pytest.raises(ActionError, match="not what was ingested"):
        locate(taking.host.vault, session)
