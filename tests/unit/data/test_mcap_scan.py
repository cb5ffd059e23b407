"""Our one-pass reading of MCAP against the `mcap` library: the same messages, times and findings, whatever the file is like."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, IndexType, Writer

from connectors.sandbox import recordings
from connectors.sandbox import ros_messages as ros
from engine.capabilities.data import checks, mp4, streams
from engine.capabilities.data.facts import Facts, TopicFacts
from engine.capabilities.data.identity import Claim, Known, named_robot
from engine.capabilities.data.mcap_scan import scan
from engine.capabilities.data.profile import Profile, intake_of, profile_of, rules_of
from engine.capabilities.data.repair import mend
from engine.capabilities.data.scanning import Caps, Refused, Rules, Stopped, Watch
from engine.capabilities.packs import load_pack

PACK = load_pack("data")
PROFILE: Profile = profile_of(PACK)
RULES: Rules = rules_of(PROFILE, intake_of(PACK))
COMPRESSIONS = (CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD)
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(messages: list[tuple[int, int, bytes]], **options: Any) -> bytes:
    """Messages (channel 0..3, time ns, payload) as a file."""
    stream = io.BytesIO()
    writer = Writer(stream, **options)
    writer.start()
    schema = writer.register_schema("x", "jsonschema", b"{}")
    channels = [writer.register_channel(f"/topic/{n}", "json", schema) for n in range(4)]
    counters: Counter[int] = Counter()
    for channel, at, data in messages:
        counters[channel] += 1
        writer.add_message(channels[channel], at, data, at, counters[channel])
    writer.add_metadata("session", {"robot": "r-1"})
    writer.add_attachment(1, 2, "notes.txt", "text/plain", b"smooth run")
    writer.finish()
    return stream.getvalue()


def by_library(data: bytes) -> dict[str, tuple[int, int, int, int]]:
    """Per topic: messages, bytes, first and last time."""
    found: dict[str, tuple[int, int, int, int]] = {}
    for _, channel, message in make_reader(io.BytesIO(data)).iter_messages(log_time_order=False):
        n, size, first, last = found.get(channel.topic, (0, 0, 2**63, 0))
        found[channel.topic] = (
            n + 1, size + len(message.data), min(first, message.log_time), max(last, message.log_time),
        )  # fmt: skip
    return found


@QUIET
@given(
    messages=st.lists(
        st.tuples(st.integers(0, 3), st.integers(10**18, 10**18 + 10**11), st.binary(max_size=200)),
        min_size=1,
        max_size=300,
    ),
    options=st.fixed_dictionaries(
        {
            "compression": st.sampled_from(COMPRESSIONS),
            "chunk_size": st.sampled_from([100, 5_000, 1 << 20]),
            "use_chunking": st.booleans(),
            "enable_data_crcs": st.booleans(),
            "index_types": st.sampled_from([IndexType.ALL, IndexType.NONE, IndexType.CHUNK]),
        }
    ),
)
def test_the_same_messages_as_the_library_reads(tmp_path: Path, messages: Any, options: dict[str, Any]) -> None:
    data = written(messages, **options)
    path = tmp_path / "x.mcap"
    path.write_bytes(data)
    facts = scan(path, RULES)
    assert facts.digest == f"sha256:{hashlib.sha256(data).hexdigest()}" and facts.bytes == len(data)
    ours = {t.name: (t.messages, t.bytes, t.first, t.last) for t in facts.topics if t.messages}
    assert ours == by_library(data)
    damage = facts.damage
    assert (damage.truncated_at, damage.bad_chunk_count, damage.bad_data_crc, damage.index_wrong) == (-1, 0, False, 0)
    assert not damage.summary_wrong and not damage.unreadable and not damage.trailing_bytes
    assert facts.metadata["session"] == {"robot": "r-1"} and facts.attachments == [("notes.txt", "text/plain", 10)]


def test_what_a_recording_is_does_not_depend_on_its_container(tmp_path: Path) -> None:
    plan = recordings.plans(seed=5, count=1, seconds=4.0)[0]
    marks = set()
    for compression in recordings.COMPRESSIONS:
        from msgspec.structs import replace

        path = tmp_path / f"{compression}.mcap"
        with path.open("wb") as stream:
            recordings.record(replace(plan, compression=compression), stream)
        facts = scan(path, RULES)
        marks.add((facts.fingerprint, facts.trajectory, facts.messages, tuple(t.hz for t in facts.topics)))
    assert len(marks) == 1


@QUIET
@given(seed=st.integers(0, 10**9), cuts=st.integers(0, 3), flips=st.integers(0, 20))
def test_no_damage_makes_it_fail_otherwise_than_by_saying_so(tmp_path: Path, seed: int, cuts: int, flips: int) -> None:
    chance = random.Random(seed)
    messages = [(chance.randrange(4), 10**18 + n * 10**7, chance.randbytes(40)) for n in range(200)]
    data = bytearray(written(messages, compression=chance.choice(COMPRESSIONS), chunk_size=2000))
    for _ in range(flips):
        data[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
    if cuts:
        del data[chance.randrange(8, len(data)) :]
    if cuts == 2:
        at = chance.randrange(8, len(data))
        data[at:at] = chance.randbytes(30)
    path = tmp_path / "x.mcap"
    path.write_bytes(bytes(data))
    small = Rules(caps=Caps(chunk_bytes=1 << 20, record_bytes=1 << 20, topics=50))
    try:
        facts = scan(path, small)
    except Refused:
        return
    findings = checks.judge(facts, PROFILE, Claim(robot="r-1"), Known())
    whole = [(t.messages, t.bytes) for t in facts.topics]
    if not findings or checks.verdict(findings) == "pass":
        assert sum(n for n, _ in whole) == 200
    try:
        mend(path, tmp_path / "mended.mcap", window_s=1.0, caps=small.caps)
    except Refused:
        return
    assert not scan(tmp_path / "mended.mcap", small).damage.summary_wrong


def test_what_is_saved_of_a_cut_file_is_what_the_library_would_and_the_open_chunk(tmp_path: Path) -> None:
    data = written(
        [(n % 4, 10**18 + n * 10**7, bytes(50)) for n in range(1000)], compression=CompressionType.NONE, chunk_size=8000
    )
    for cut in range(len(data) // 3, len(data) - 40, 997):
        path, mended = tmp_path / "cut.mcap", tmp_path / "mended.mcap"
        path.write_bytes(data[:cut])
        library = 0
        try:
            for record in StreamReader(io.BytesIO(data[:cut])).records:
                library += type(record).__name__ == "Message"
        except Exception:
            pass
        facts = scan(path, RULES)
        assert facts.messages == library and facts.damage.truncated_at >= 0
        done = mend(path, mended, window_s=1.0, caps=RULES.caps)
        assert done.kept == library + done.salvaged and done.salvaged == facts.damage.salvage
        with mended.open("rb") as stream:
            assert make_reader(stream).get_summary().statistics.message_count == done.kept  # type: ignore[union-attr]


@pytest.mark.parametrize("compressed", [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, compressed: bool) -> None:
    peaks = []
    for seconds in (20, 120):
        path = tmp_path / f"{seconds}.mcap"
        plan = recordings.plans(seed=5, count=1)[0]
        from msgspec.structs import replace

        with path.open("wb") as stream:
            recordings.record(
                replace(plan, seconds=float(seconds), compression="zstd" if compressed else "none"), stream
            )
        scan(path, RULES)
        tracemalloc.start()
        scan(path, RULES)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 2_000_000, peaks


def test_an_index_that_lies_is_found_and_the_records_themselves_are_believed(tmp_path: Path) -> None:
    data = bytearray(written([(0, 10**18 + n * 10**7, b"{}") for n in range(50)], compression=CompressionType.NONE))
    place = _message_index(data)
    data[place + 15 : place + 23] = (10**18 + 1).to_bytes(8, "little")
    path = tmp_path / "x.mcap"
    path.write_bytes(bytes(data))
    facts = scan(path, RULES)
    assert facts.damage.index_wrong == 1 and facts.messages == 50


def _message_index(data: bytearray) -> int:
    """Where the first index record of a chunk stands."""
    at = 8
    while True:
        opcode, length = struct.unpack_from("<BQ", data, at)
        if opcode == 7:
            return at
        at += 9 + length


def test_a_file_that_is_stopped_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    path.write_bytes(written([(0, 10**18 + n, bytes(1000)) for n in range(2000)], compression=CompressionType.NONE))
    told: list[int] = []
    with pytest.raises(Stopped):
        scan(path, RULES, Watch(lambda done, of: told.append(done), lambda: len(told) > 0))
    assert told


def test_claims_beyond_the_caps_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.start()
    for n in range(60):
        writer.register_channel(f"/t/{n}", "json", 0)
    writer.finish()
    path = tmp_path / "x.mcap"
    path.write_bytes(stream.getvalue())
    with pytest.raises(Refused) as refused:
        scan(path, Rules(caps=Caps(topics=50)))
    assert refused.value.check == "too_many_topics"


def test_bytes_behind_the_end_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"
    path.write_bytes(written([(0, 10**18, b"{}")]) + b"#!/bin/sh\n")
    assert scan(path, RULES).damage.trailing_bytes == 10


# -- streams against the definition ---------------------------------------------------------------------------------


@QUIET
@given(seed=st.integers(0, 10**9), hz=st.sampled_from([5.0, 10.0, 29.97, 200.0]), cut=st.integers(1, 50))
def test_rates_and_drops_are_those_of_the_definition_however_the_file_is_cut(seed: int, hz: float, cut: int) -> None:
    chance = np.random.default_rng(seed)
    period = 1e9 / hz
    due = 400
    kept = np.sort(chance.choice(due, size=360, replace=False))
    times = (kept * period + chance.uniform(-0.05, 0.05, 360) * period).astype(np.int64) + 10**18
    stream = streams.Stream(TopicFacts(name="/x"))
    for start in range(0, 360, cut):
        part = times[start : start + cut]
        stream.take(part, kept[start : start + cut].astype(np.int64), np.full(len(part), 10))
    facts = stream.finish()
    assert facts.messages == 360 and abs(facts.hz / hz - 1) < 0.03
    assert facts.missing == int(kept[-1] - kept[0] + 1 - 360)
    gaps = np.diff(times)
    assert facts.gaps[0].length == int(gaps.max())


def test_cameras_are_as_far_apart_as_they_are() -> None:
    frames = streams.Frames(held=64)
    reference = np.arange(0, 100) * 100_000_000
    for start in range(0, 100, 7):
        frames.take("/a", reference[start : start + 7])
        frames.take("/b", reference[start : start + 7] + 30_000_000)
        frames.match()
    ((first, second, count, p95, worst, _),) = frames.finish()
    assert (first, second, count) == ("/a", "/b", 100)
    assert p95 == pytest.approx(0.03, rel=0.01) and worst == pytest.approx(0.03, rel=0.01)


def test_a_camera_that_stops_does_not_make_the_other_wait_for_ever() -> None:
    frames = streams.Frames(held=64)
    frames.take("/b", np.array([0, 1]))
    for n in range(1000):
        frames.take("/a", np.arange(n * 10, n * 10 + 10) * 1_000_000)
        frames.match()
        assert all(len(waiting) <= 200 for waiting in frames._waiting.values())


# -- whose it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "robot", "named"),
    [
        ("HAM2-AMR-17_x.mcap", "HAM2-AMR-17", "HAM2-AMR-17"),
        ("HAM2-AMR-71_x.mcap", "HAM2-AMR-17", "HAM2-AMR-71"),
        ("HAM2-AMR-170.mcap", "HAM2-AMR-17", "HAM2-AMR-170"),
        ("episode_0001.mcap", "HAM2-AMR-17", ""),
        ("atlas-3.mcap", "HAM2-AMR-17", "atlas-3"),
        ("", "HAM2-AMR-17", ""),
    ],
)
def test_the_robot_in_a_name_is_seen(name: str, robot: str, named: str) -> None:
    assert named_robot(name, robot, ["atlas-3", "HAM2-AMR-17"]) == named


def test_findings_name_the_time_in_the_recording() -> None:
    facts = Facts(format="mcap", digest="", bytes=1, start=10**18, end=10**18 + 5 * 10**9, messages=10)
    assert checks._span(facts, 10**18 + 10**9, 10**18 + 2 * 10**9) == {"t_from": 1.0, "t_to": 2.0}


# -- films ----------------------------------------------------------------------------------------------------------


def test_a_film_has_the_frames_that_were_put_into_it(tmp_path: Path) -> None:
    from connectors.sandbox.pictures import jpeg, scene
    from connectors.sandbox.pictures import mp4 as make

    pictures = [jpeg(scene(n, 0)) for n in range(25)]
    path = tmp_path / "x.mp4"
    path.write_bytes(make(pictures, 10))
    found = mp4.film(path)
    assert (found.frames, found.seconds, found.width, found.height, found.codec) == (25, 2.5, 64, 48, "jpeg")
    data = path.read_bytes()
    assert [data[p : p + s] for p, s in zip(found.places, found.sizes, strict=True)] == pictures
    assert mp4.digest(path, found, 3, 2) == f"sha256:{hashlib.sha256(pictures[3] + pictures[4]).hexdigest()}"


@QUIET
@given(seed=st.integers(0, 10**9))
def test_a_damaged_film_is_said_to_be_none(tmp_path: Path, seed: int) -> None:
    from connectors.sandbox.pictures import jpeg, scene
    from connectors.sandbox.pictures import mp4 as make

    chance = random.Random(seed)
    data = bytearray(make([jpeg(scene(n, 0)) for n in range(5)], 10))
    for _ in range(chance.randrange(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path = tmp_path / "x.mp4"
    path.write_bytes(bytes(data[: chance.randrange(20, len(data))]) if seed % 2 else bytes(data))
    try:
        assert mp4.film(path).frames >= 0
    except mp4.NotAFilm as error:
        assert str(error)


def test_layouts_are_read_as_the_messages_were_written(tmp_path: Path) -> None:
    """Names of different lengths in one topic: laid out differently, read alike."""
    stream = io.BytesIO()
    writer = Writer(stream, compression=CompressionType.NONE)
    writer.start()
    schema = writer.register_schema(ros.JOINT_COMMAND[0], "ros2msg", ros.JOINT_COMMAND[1].encode())
    channel = writer.register_channel("/action", "cdr", schema)
    values = []
    for n in range(200):
        names = ["a", "bb" if n % 3 else "longer name", "c"]
        numbers = [n / 10, -n / 7, float(n % 5)]
        values.append(numbers)
        at = 10**18 + n * 10**7
        writer.add_message(channel, at, ros.joint_command(at, names, numbers), at, n + 1)
    writer.finish()
    path = tmp_path / "x.mcap"
    path.write_bytes(stream.getvalue())
    found = scan(path, RULES).topics[0].values
    assert found is not None and found.messages == 200 and found.undecoded == 0
    expected = np.array(values)
    assert found.mean == pytest.approx(expected.mean(axis=0), rel=1e-5)
    assert found.low == pytest.approx(expected.min(axis=0), rel=1e-5)
    assert found.beyond == int((np.abs(expected) > 6.3).any(axis=1).sum())


def test_json_numbers_are_read_and_nan_is_found(tmp_path: Path) -> None:
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.start()
    channel = writer.register_channel("/policy/step", "json", 0)
    for n in range(20):
        at = 10**18 + n * 10**8
        text = json.dumps({"action": [0.1 * n, 1.0]}) if n != 7 else '{"action": [NaN, 1.0]}'
        writer.add_message(channel, at, text.encode(), at, n + 1)
    writer.finish()
    path = tmp_path / "x.mcap"
    path.write_bytes(stream.getvalue())
    found = scan(path, RULES).topics[0].values
    assert found is not None and (found.messages, found.not_finite, found.undecoded) == (20, 1, 0)
    assert found.not_finite_at == 10**18 + 7 * 10**8
