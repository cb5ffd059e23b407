"""Recordings of the simulated fleet: MCAP files and LeRobot data sets as robots and operators really leave them behind,
the broken ones included.

    python -m connectors.sandbox.recordings make FOLDER --seed 7 --count 24 --broken all --lerobot 6

prints one JSON document that says what was written and what an honest look at each file should find.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from connectors.sandbox import ros_messages as ros
from connectors.sandbox.pictures import jpeg, scene
from connectors.sandbox.policy_model import demonstration
from connectors.sandbox.sites import Profile, profiles

TASKS = ("bin-pick day", "bin-pick night", "jam-recovery")
SITES = ("HAM2", "HAM5", "UTR1")
OPERATORS = ("op-3f1", "op-7c4", "op-b20")
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3", "gripper")
CAMERAS = ("front", "wrist")
CAMERA_HZ, JOINT_HZ, STEP_HZ = 10, 50, 10
START_S = 1_792_742_400  # 23 October 2026, 08:00 UTC: ten days before the sandbox begins
COMPRESSIONS = ("none", "lz4", "zstd")


class Plan(Struct, frozen=True, kw_only=True):
    """One recording. `fault` names how it is broken; `expect` the verdict it should get."""

    robot: str
    serial: str
    site: str
    region: str
    customer: str
    variant: str
    task: str
    operator: str
    start_ns: int
    seconds: float
    seed: int
    skill: float = 1.0
    version: str = "4.7.9"
    compression: str = "none"
    fault: str = ""
    expect: str = "pass"
    claims: bool = False
    consent: str = "employment-agreement"
    frame_bytes: int = 2000

    @property
    def name(self) -> str:
        return f"{self.robot}_{_clock(self.start_ns)}_{self.task.replace(' ', '-')}"


FAULTS: dict[str, str] = {
    # as a robot leaves it that lost its power, or a recorder that was hurried
    "truncated": "repair",
    "no_summary": "repair",
    "shuffled": "repair",
    "repeated": "repair",
    # what can't be mended
    "corrupt": "quarantine",
    "clock_back": "quarantine",
    "clock_jump": "quarantine",
    "gap": "quarantine",
    "drops": "quarantine",
    "skew": "quarantine",
    "nan": "quarantine",
    "limits": "quarantine",
    "zero_actions": "quarantine",
    "no_actions": "quarantine",
    "mixed_fps": "quarantine",
    "camera_swapped": "quarantine",
    "calibration": "quarantine",
    "wrong_robot": "quarantine",
    "look_alike": "quarantine",
    "short": "quarantine",
    # what is not what it claims
    "not_mcap": "quarantine",
    "empty": "quarantine",
    "enormous": "quarantine",
    "bomb": "quarantine",
    "duplicate": "quarantine",
    "reencoded": "quarantine",
}


class Message(Struct):
    """`at` s from the start. A message that was `lost` on its way to the recorder was counted by its publisher."""

    at: float
    topic: str
    data: bytes
    lost: bool = False


def _clock(ns: int) -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(ns // 1_000_000_000))


def plans(
    *, seed: int, count: int, seconds: float = 6.0, sites: Sequence[str] = SITES, tasks: Sequence[str] = TASKS,
    fleet: Sequence[Profile] | None = None, version: str = "4.7.9",
) -> list[Plan]:  # fmt: skip
    """Good recordings over all cells of site and task; the last cell stays short. Some operators are clumsy now and then."""
    chance = random.Random(f"{seed}:recordings")
    fleet = profiles(seed, 200) if fleet is None else fleet
    at_site = {site: [p for p in fleet if p.site == site][:4] for site in sites}
    cells = [(site, task) for task in tasks for site in sites if at_site[site]]
    found = []
    for number in range(count):
        cell = number % len(cells)
        if cell == len(cells) - 1 and number >= len(cells):
            cell = chance.randrange(len(cells) - 1)
        site, task = cells[cell]
        robot = chance.choice(at_site[site])
        start = START_S + (number // 12) * 86_400 + (number % 12) * 900 + chance.randrange(300)
        plan = Plan(
                robot=robot.id,
                serial=robot.serial,
                site=site,
                region=robot.region,
                customer=robot.customer,
                variant=robot.variant,
                task=task,
                operator=OPERATORS[number % len(OPERATORS)],
                start_ns=start * 1_000_000_000,
                seconds=seconds + chance.uniform(-0.5, 1.5),
                seed=seed * 1000 + number,
                skill=0.45 if chance.random() < 0.08 else 1.0,
                version=version,
                compression=COMPRESSIONS[number % 3] if number % 4 == 3 else "none",
            )  # fmt: skip
        found.append(plan)
    return found


def broken(plan: Plan, fault: str, *, other: Plan) -> Plan:
    """The same, broken. `other` is a recording of another robot."""
    if fault not in FAULTS:
        raise ValueError(f"no such fault: {fault}")
    changed = replace(plan, fault=fault, expect=FAULTS[fault], compression="none", skill=1.0)
    if fault == "short":
        changed = replace(changed, seconds=1.2)
    if fault in ("wrong_robot", "look_alike"):
        changed = replace(changed, claims=True, robot=other.robot, serial=other.serial)
    return changed


def messages(plan: Plan) -> Iterator[Message]:
    """What the robot says while it records, in the order of time."""
    fault = plan.fault
    chance = random.Random(f"{plan.seed}:messages")
    said: list[Message] = []
    base = plan.start_ns
    phase = chance.uniform(0, 6.28)
    for step in range(int(plan.seconds * JOINT_HZ)):
        t = step / JOINT_HZ
        at = base + int(t * 1e9)
        angles = [0.6 * math.sin(0.9 * t + phase + 0.7 * joint) for joint in range(len(JOINTS))]
        speeds = [0.54 * math.cos(0.9 * t + phase + 0.7 * joint) for joint in range(len(JOINTS))]
        if fault == "nan" and 100 <= step < 104:
            angles[2] = math.nan
        said.append(Message(t, "/joint_states", ros.joint_state(at, JOINTS, angles, speeds)))
        command = [angle + 0.02 * speed for angle, speed in zip(angles, speeds, strict=True)]
        if fault == "limits" and 120 <= step < 140:
            command[1] = 9.4
        if fault == "zero_actions":
            command = [0.0] * len(JOINTS)
        if fault != "no_actions":
            said.append(Message(t + 0.001, "/action", ros.joint_command(at, JOINTS, command)))
    frames = [("front", 0.0), ("wrist", 0.045 if fault == "skew" else 0.004)]
    for number, (camera, late) in enumerate(frames):
        shown = CAMERAS[1 - number] if fault == "camera_swapped" else camera
        hz = CAMERA_HZ
        step = 0
        t = late
        while t < plan.seconds:
            picture = jpeg(scene(step, number), max(0, plan.frame_bytes - 500))
            at = base + int(t * 1e9)
            lost = (fault == "drops" and number == 0 and step % 12 in (5, 6)) or (
                fault == "gap" and number == 0 and 2.0 < t < 3.2
            )
            said.append(Message(t, f"/camera/{camera}", ros.image(at, f"camera_{shown}_optical", picture), lost))
            step += 1
            t += 1 / hz if fault != "mixed_fps" or t < plan.seconds / 2 else 2 / hz
    said += list(_steps(plan))
    said.sort(key=lambda message: message.at)
    return iter(said)


def _steps(plan: Plan) -> Iterator[Message]:
    """The policy's own view, and where somebody had to step in."""
    shown: list[dict[str, Any]] = []
    round_ = 0
    while len(shown) < plan.seconds * STEP_HZ:
        shown += demonstration(plan.task, plan.seed * 100 + round_, plan.skill)
        round_ += 1
    before = "autonomous"
    for number, step in enumerate(shown[: int(plan.seconds * STEP_HZ)]):
        at = number / STEP_HZ + 0.002
        if plan.fault == "zero_actions":
            step = step | {"action": [0.0, 0.0]}
        if plan.fault != "no_actions":
            yield Message(at, "/policy/step", json.dumps(step).encode())
        phase = str(step["phase"])
        if phase != before and "intervention" in (phase, before):
            word = "begin" if phase == "intervention" else "end"
            said = {"event": "intervention", "phase": word, "text": "part jammed at the lip"}
            yield Message(at, "/events", json.dumps(said).encode())
        before = phase


def record(plan: Plan, stream: BinaryIO) -> None:
    """Writes the recording of a plan."""
    from mcap.writer import CompressionType, IndexType, Writer

    kinds = {"none": CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}
    bare = plan.fault == "no_summary"
    writer = Writer(
        stream, chunk_size=64 * 1024, compression=kinds[plan.compression],
        index_types=IndexType.NONE if bare else IndexType.ALL, use_statistics=not bare, use_summary_offsets=not bare,
        repeat_channels=not bare, repeat_schemas=not bare,
    )  # fmt: skip
    writer.start(profile="ros2", library="sandbox-recorder 1.3")
    schemas = {
        topic: (writer.register_schema(kind[0], "ros2msg", kind[1].encode()), "cdr")
        for topic, kind in (("/joint_states", ros.JOINT_STATE), ("/action", ros.JOINT_COMMAND), ("image", ros.IMAGE))
    }
    channels: dict[str, int] = {}
    _metadata(plan, writer.add_metadata)
    for message, at, number in _timed(plan):
        topic = message.topic
        if topic not in channels:
            schema, encoding = schemas.get("image" if topic.startswith("/camera/") else topic, (0, "json"))
            channels[topic] = writer.register_channel(topic, encoding, schema)
        writer.add_message(channels[topic], at, message.data, at, number)
    writer.finish()  # type: ignore[no-untyped-call]


def _timed(plan: Plan) -> Iterator[tuple[Message, int, int]]:
    """Message, recording time (ns), the publisher's counter, in the order in which the recorder wrote them."""
    numbers: dict[str, int] = {}
    written: list[tuple[Message, int, int]] = []
    for message in messages(plan):
        shift = 0.0
        if message.at > plan.seconds / 2:
            shift = {"clock_back": -2.0, "clock_jump": 40.0}.get(plan.fault, 0.0)
        number = numbers[message.topic] = numbers.get(message.topic, 0) + 1
        if message.lost:
            continue
        entry = (message, plan.start_ns + int((message.at + shift) * 1e9), number)
        written.append(entry)
        if plan.fault == "repeated" and number % 40 == 0:
            written.append(entry)
    if (
        plan.fault == "shuffled"
    ):  # a recorder with two buffers, flushed in the wrong order now and then; the counters tell
        blocks = [written[at : at + 40] for at in range(0, len(written), 40)]
        for pair in range(0, len(blocks) - 1, 6):
            blocks[pair], blocks[pair + 1] = blocks[pair + 1], blocks[pair]
        written = [entry for block in blocks for entry in block]
    return iter(written)


def _metadata(plan: Plan, add: Callable[[str, dict[str, str]], None]) -> None:
    clumsy = plan.skill < 0.9
    add(
        "session",
        {
            "robot": plan.robot, "serial": plan.serial, "site": plan.site, "region": plan.region, "customer": plan.customer,
            "variant": plan.variant, "task": plan.task, "operator": plan.operator, "outcome": "failure" if clumsy else "success",
            "consent_basis": plan.consent, "consent_subjects": f"{plan.operator}", "pii": "false", "licence": "proprietary",
            "distance_m": f"{plan.seconds * 0.35:.1f}",
        },
    )  # fmt: skip
    night = "night" in plan.task
    scene_ = plan.task.rsplit(" ", 1)[0] if plan.task.endswith(("day", "night")) else plan.task
    add("conditions", {"light": "night" if night else "day", "scene": scene_, "lux": "35" if night else "420"})
    add("bill", {name: _digest(f"{name} {plan.version}") for name in ("app", "policy", "firmware", "map")})
    add("calibration", {
        "robot": plan.robot if plan.fault != "calibration" else f"{plan.robot[:-2]}00",
        "digest": _digest(f"calibration {plan.serial}"),
        **{f"camera.{camera}": f"camera_{camera}_optical" for camera in CAMERAS},
    })  # fmt: skip


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def write(plan: Plan, folder: Path) -> Path:
    """Writes a plan's file, and breaks it the way its fault says."""
    path = folder / f"{plan.name}.mcap"
    if plan.fault == "look_alike":
        path = folder / f"{_look_alike(plan.robot)}_{_clock(plan.start_ns)}_{plan.task.replace(' ', '-')}.mcap"
    with path.open("wb") as stream:
        record(plan, stream)
    size = path.stat().st_size
    if plan.fault == "truncated":
        with path.open("r+b") as stream:
            stream.truncate(int(size * 0.8))
    elif plan.fault == "corrupt":
        with path.open("r+b") as stream:
            for place in (0.45, 0.46, 0.6):
                stream.seek(int(size * place))
                byte = stream.read(1)[0]
                stream.seek(-1, 1)
                stream.write(bytes([byte ^ 0x10]))
    elif plan.fault == "not_mcap":
        path.write_bytes(b"PK\x03\x04" + b"not a recording, whatever its name says\n" * 100)
    elif plan.fault == "empty":
        path.write_bytes(b"")
    elif plan.fault == "enormous":
        path.write_bytes(path.read_bytes()[:2000] + b"\x06" + (1 << 50).to_bytes(8, "little") + bytes(64))
    elif plan.fault == "bomb":
        _bomb(path)
    return path


def _look_alike(robot: str) -> str:
    """A name one slip away: the last two digits the other way round."""
    swapped = robot[:-2] + robot[-1] + robot[-2]
    return swapped if swapped != robot else robot[:-1] + ("8" if robot[-1] != "8" else "3")


def _bomb(path: Path) -> None:
    """A chunk of a few kB that says it is small and unpacks to a gigabyte."""
    import zstandard
    from mcap.writer import Writer

    packed = zstandard.ZstdCompressor(write_content_size=False)
    parts = packed.compressobj()
    body = b"".join(parts.compress(bytes(1 << 20)) for _ in range(1024)) + parts.flush()
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        content = (0).to_bytes(8, "little") * 2 + (4096).to_bytes(8, "little") + bytes(4)
        content += (4).to_bytes(4, "little") + b"zstd" + len(body).to_bytes(8, "little") + body
        stream.write(b"\x06" + len(content).to_bytes(8, "little") + content)
        writer.finish()  # type: ignore[no-untyped-call]


def make(
    folder: Path, *, seed: int, count: int, seconds: float, faults: Sequence[str], lerobot: int, sites: Sequence[str],
    tasks: Sequence[str], version: str = "4.7.9", fleet: Sequence[Profile] | None = None, start: float = START_S,
) -> dict[str, Any]:  # fmt: skip
    """A folder of recordings with its manifest: what the uploader says of each file."""
    from connectors.sandbox import lerobot_files

    folder.mkdir(parents=True, exist_ok=True)
    fleet = profiles(seed, 200) if fleet is None else fleet
    good = plans(seed=seed, count=count, seconds=seconds, sites=sites, tasks=tasks, version=version, fleet=fleet)
    shift = int((start - START_S) * 1e9)
    good = [replace(plan, start_ns=plan.start_ns + shift) for plan in good]
    written: list[dict[str, Any]] = []

    def note(path: Path, plan: Plan, **more: Any) -> None:
        written.append(
            {"file": path.name, "robot": plan.robot, "site": plan.site, "task": plan.task, "fault": plan.fault,
             "expect": plan.expect} | more
        )  # fmt: skip

    for plan in good:
        note(write(plan, folder), plan)
    more = plans(
        seed=seed + 1,
        count=max(len(faults), 1),
        seconds=seconds,
        sites=sites,
        tasks=tasks,
        version=version,
        fleet=fleet,
    )
    for number, fault in enumerate(faults):
        mine = replace(more[number], start_ns=more[number].start_ns + shift + 43_200_000_000_000)
        if fault in ("duplicate", "reencoded"):
            source = next(plan for plan in good if plan.compression == "none")
            path = folder / f"{mine.name}.mcap"
            if fault == "duplicate":
                shutil.copyfile(folder / f"{source.name}.mcap", path)
            else:
                with path.open("wb") as stream:
                    record(replace(source, compression="zstd"), stream)
            note(path, replace(source, fault=fault, expect=FAULTS[fault]))
            continue
        others = [plan for plan in good if plan.robot != mine.robot] or good
        plan = broken(mine, fault, other=others[number % len(others)])
        said = {"robot": mine.robot} if fault == "wrong_robot" else {}
        note(write(plan, folder), plan, **said)
    if lerobot:
        plan = good[0]
        path = folder / "lerobot-bin-pick"
        lerobot_files.write(path, plan, episodes=lerobot)
        note(path, plan, episodes=lerobot)
    manifest = {
        "recordings": [
            {key: entry[key] for key in ("file", "robot", "site")}
            | (
                {"sha256": _sha256(folder / entry["file"])}
                if (folder / entry["file"]).is_file()
                else {"operator": OPERATORS[0]}
            )
            for entry in written
        ]
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return {"folder": str(folder.resolve()), "recordings": written, "seed": seed}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m connectors.sandbox.recordings", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write a folder of recordings")
    making.add_argument("folder", type=Path)
    making.add_argument("--seed", type=int, default=7)
    making.add_argument("--count", type=int, default=24, help="good MCAP recordings")
    making.add_argument("--seconds", type=float, default=6.0, help="about how long each is")
    making.add_argument("--broken", default="none", help=f"none, all, or of {','.join(FAULTS)}")
    making.add_argument("--lerobot", type=int, default=0, metavar="EPISODES", help="a LeRobot v3 data set beside them")
    making.add_argument("--sites", default=",".join(SITES))
    making.add_argument("--tasks", default=",".join(TASKS))
    making.add_argument("--version", default="4.7.9", help="what the robots ran")
    making.add_argument("--start", type=float, default=START_S, help="UTC epoch s of the first")
    making.add_argument("--robots", type=int, default=200, help="size of the fleet the robots are taken from")
    options = parser.parse_args(arguments)
    faults = {"none": [], "all": list(FAULTS)}.get(options.broken, options.broken.split(","))
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}")
    made = make(
        options.folder, seed=options.seed, count=options.count, seconds=options.seconds, faults=faults,
        lerobot=options.lerobot, sites=options.sites.split(","), tasks=options.tasks.split(","), version=options.version,
        fleet=profiles(options.seed, options.robots), start=options.start,
    )  # fmt: skip
    sys.stdout.write(json.dumps(made) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
