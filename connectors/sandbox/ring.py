"""What robots of the simulated fleet recorded when somebody took over: whole sessions, and the ring buffer's last minutes.

    python -m connectors.sandbox.ring sessions FOLDER --seed 7 --site HAM2 --version 4.8.1 --count 6 --interventions 1
    python -m connectors.sandbox.ring ring FOLDER --robot HAM2-0417 --at EPOCH --cause policy

Each prints one JSON document of what was written and what really happened, so that a reader can be held to it. A takeover
has the parts it has in the field: the robot slows and its own detector rises, a person takes over, nothing moves for a
moment (handover), the arm is backed out along the way it came (recovery), the part is put where it belongs (correction).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from connectors.sandbox.policy_model import demonstration
from connectors.sandbox.recordings import CAMERAS, Message, Plan, messages
from connectors.sandbox.sites import profiles

CAUSES = ("policy", "network", "hardware", "site_staff", "stuck", "flicker", "clock")
STATE_HZ, FLAG_HZ, STEP_HZ = 10, 10, 10
SEGMENT_S = 60.0
HANDOVER_S, RECOVERY_S, CORRECTION_S = 1.3, 4.2, 5.5
START, LIP, BIN = (0.10, 0.00, 0.40), (0.60, 0.08, 0.30), (0.72, 0.24, 0.22)
OPERATORS = ("op-3f1", "op-7c4", "op-b20")


class Takeover(Struct, frozen=True, kw_only=True):
    """One intervention, in seconds from the recording's start."""

    at: float
    cause: str = "policy"
    operator: str = "op-7c4"

    @property
    def release(self) -> float:
        if self.cause == "stuck":
            return self.at + 900.0
        return self.at + (0.15 if self.cause == "flicker" else HANDOVER_S + RECOVERY_S + CORRECTION_S)


def place(t: float, takeovers: Sequence[Takeover], chance: random.Random) -> tuple[float, float, float]:
    """Where the gripper is, metres: on its way to the lip, or wherever the person has it."""
    shake = tuple(chance.gauss(0, 0.0008) for _ in range(3))
    point = _way(START, LIP, (t % 16.0) / 16.0)
    for one in takeovers:
        if one.cause == "flicker" or not one.at - 8 <= t <= one.release + 4:
            continue
        into = t - one.at
        if into < -2:  # on its way to the lip
            point = _way(START, LIP, (into + 8) / 6)
            continue
        if into < HANDOVER_S:  # it presses against the lip, then stands
            point = LIP
        elif into < HANDOVER_S + RECOVERY_S:
            point = _way(LIP, _way(START, LIP, 0.45), (into - HANDOVER_S) / RECOVERY_S)
        elif t < one.release:
            point = _way(_way(START, LIP, 0.45), BIN, (into - HANDOVER_S - RECOVERY_S) / CORRECTION_S)
        else:
            point = _way(BIN, START, min(1.0, (t - one.release) / 4))
    return tuple(a + b for a, b in zip(point, shake, strict=True))  # type: ignore[return-value]


def _way(a: Sequence[float], b: Sequence[float], share: float) -> tuple[float, float, float]:
    s = 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, share)))
    return (a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1]), a[2] + s * (b[2] - a[2]))


def said(plan: Plan, takeovers: Sequence[Takeover], zone: str) -> Iterator[Message]:
    """Everything the recorder wrote, in the order of time: the robot's own topics, and who drove."""
    chance = random.Random(f"{plan.seed}:ring")
    found = [
        one for one in messages(plan)
        if not one.topic.startswith(("/policy/", "/events"))
    ]  # fmt: skip
    shown: list[dict[str, Any]] = []
    round_ = 0
    while len(shown) < plan.seconds * STEP_HZ:
        shown += demonstration(plan.task, plan.seed * 100 + round_, plan.skill)
        round_ += 1
    for n in range(int(plan.seconds * STATE_HZ)):
        t = n / STATE_HZ
        now = next((one for one in takeovers if one.at <= t < one.release), None)
        near = next((one for one in takeovers if one.cause == "policy" and one.at - 2.5 <= t < one.at), None)
        at = place(t, takeovers, chance)
        found.append(_json(t + 0.003, "/robot/state", {"p": [round(v, 5) for v in at], "gripper": 0.4}))
        score = 0.08 + 0.04 * chance.random() + (0.7 * (1 - (near.at - t) / 2.5) if near else 0.0)
        found.append(_json(t + 0.004, "/anomaly", {"score": round(score, 4)}))
        link = 420.0 if now and now.cause == "network" else 38.0 + 20 * chance.random()
        late = 2.0 if now and now.cause == "clock" else 0.0
        flag = {
            "active": bool(now and t >= now.at + late), "by": "site_staff" if now and now.cause == "site_staff" else "human",
            "operator": now.operator if now else "", "link_ms": round(link, 1),
        }  # fmt: skip
        found.append(_json(t + 0.005, "/intervention", flag))
        phase = "autonomous"
        if now is not None:
            into = t - now.at
            phase = "recovery" if HANDOVER_S <= into < HANDOVER_S + RECOVERY_S else "intervention"
        found.append(_json(t + 0.006, "/policy/step", shown[n] | {"phase": phase, "task": plan.task}))
        if n % STATE_HZ == 0 or (now and t - now.at < 0.1) or any(0 <= t - one.release < 0.1 for one in takeovers):
            found.append(_json(t + 0.001, "/operating_mode", {"mode": _mode(now)}))
    for one in takeovers:
        if one.cause == "hardware":
            trouble = {"level": 2, "name": "gripper", "message": "vacuum below limit"}
            found.append(_json(one.at - 0.8, "/diagnostics", trouble))
        if one.cause != "flicker":
            begin = {
                "event": "intervention",
                "phase": "begin",
                "text": f"part jammed at the {zone}",
                "operator": one.operator,
            }
            found.append(_json(one.at, "/events", begin))
            found.append(
                _json(min(one.release, plan.seconds - 0.05), "/events", {"event": "intervention", "phase": "end"})
            )
    found.append(_json(0.01, "/task", {"task": plan.task, "zone": zone, "outcome": "success"}))
    return iter(sorted((one for one in found if 0 <= one.at < plan.seconds), key=lambda message: message.at))


def _mode(now: Takeover | None) -> str:
    if now is None or now.cause == "flicker":
        return "AUTOMATIC"
    return "MANUAL" if now.cause == "site_staff" else "INTERVENED"


def _json(at: float, topic: str, value: dict[str, Any]) -> Message:
    return Message(round(at, 6), topic, json.dumps(value).encode())


def write(stream: BinaryIO, plan: Plan, told: Iterator[Message], *, zone: str, bill: dict[str, str]) -> int:
    """An MCAP file of these messages; how many."""
    from mcap.writer import CompressionType, Writer

    from connectors.sandbox import ros_messages as ros

    writer = Writer(stream, chunk_size=64 * 1024, compression=CompressionType.NONE)
    writer.start(profile="ros2", library="sandbox-recorder 1.3")
    kinds = {"/joint_states": ros.JOINT_STATE, "/action": ros.JOINT_COMMAND, "image": ros.IMAGE}
    schemas = {name: writer.register_schema(kind[0], "ros2msg", kind[1].encode()) for name, kind in kinds.items()}
    writer.add_metadata(
        "session",
        {
            "robot": plan.robot, "serial": plan.serial, "site": plan.site, "region": plan.region, "customer": plan.customer,
            "variant": plan.variant, "task": plan.task, "operator": plan.operator, "outcome": "success",
            "consent_basis": plan.consent, "consent_subjects": plan.operator, "pii": "false", "licence": "proprietary",
            "distance_m": f"{plan.seconds * 0.35:.1f}",
        },
    )  # fmt: skip
    writer.add_metadata("conditions", {"light": "day", "scene": plan.task, "lux": "420", "zone": zone})
    writer.add_metadata("bill", bill)
    writer.add_metadata(
        "calibration",
        {"robot": plan.robot, "digest": _digest(f"calibration {plan.serial}"), **{f"camera.{c}": f"camera_{c}_optical" for c in CAMERAS}},
    )  # fmt: skip
    channels: dict[str, int] = {}
    numbers: dict[str, int] = {}
    count = 0
    for one in told:
        if one.topic not in channels:
            schema = schemas.get("image" if one.topic.startswith("/camera/") else one.topic, 0)
            channels[one.topic] = writer.register_channel(one.topic, "cdr" if schema else "json", schema)
        numbers[one.topic] = numbers.get(one.topic, 0) + 1
        at = plan.start_ns + int(one.at * 1e9)
        writer.add_message(channels[one.topic], at, one.data, at, numbers[one.topic])
        count += 1
    writer.finish()  # type: ignore[no-untyped-call]
    return count


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def bill_of(version: str) -> dict[str, str]:
    """A software bill in which `version` (a name, or an artifact's digest) is what drives the arm."""
    return {"policy": version, **{name: _digest(f"{name} 4.7.9") for name in ("app", "firmware", "map")}}


def _plan(seed: int, number: int, robot: Any, *, task: str, start: float, seconds: float) -> Plan:
    return Plan(
        robot=robot.id, serial=robot.serial, site=robot.site, region=robot.region, customer=robot.customer,
        variant=robot.variant, task=task, operator=OPERATORS[number % len(OPERATORS)], start_ns=int(start * 1e9),
        seconds=seconds, seed=seed * 1000 + number, frame_bytes=1200,
    )  # fmt: skip


def sessions(options: argparse.Namespace) -> dict[str, Any]:
    """Recordings of robots at a site, each with so many interventions of the given causes in turn."""
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    fleet = [one for one in profiles(options.seed, options.fleet) if one.site == options.site][: options.robots]
    if not fleet:
        raise SystemExit(f"nobody stands at {options.site} in this fleet")
    causes = [word for word in options.causes.split(",") if word] or ["policy"]
    chance = random.Random(f"{options.seed}:{options.version}:{options.start}")
    written = []
    turn = 0
    for number in range(options.count):
        robot = fleet[number % len(fleet)]
        start = options.start + (number // len(fleet)) * options.every + (number % len(fleet)) * 7
        plan = _plan(
            options.seed + options.salt, number, robot, task=options.task, start=start, seconds=options.seconds
        )
        room = (options.seconds - 8) / max(1, options.interventions)
        takeovers = []
        for each in range(options.interventions):
            cause = causes[turn % len(causes)]
            turn += 1
            at = 6 + each * room + chance.uniform(0, 1.5)
            takeovers.append(Takeover(at=round(at, 1), cause=cause, operator=plan.operator))
        path = folder / f"{plan.robot}_{int(start)}_{options.task.replace(' ', '-')}.mcap"
        with path.open("wb") as stream:
            write(stream, plan, said(plan, takeovers, options.zone), zone=options.zone, bill=bill_of(options.version))
        truth = [
            {"t0": plan.start_ns / 1e9 + one.at, "t1": plan.start_ns / 1e9 + one.release, "cause": one.cause}
            for one in takeovers
        ]
        written.append(
            {"file": path.name, "robot": plan.robot, "start": start, "seconds": options.seconds, "interventions": truth}
        )
    manifest = [{"file": one["file"], "robot": one["robot"], "site": options.site} for one in written]
    (folder / "manifest.json").write_text(json.dumps({"recordings": manifest}, indent=1), encoding="utf-8")
    return {"folder": str(folder.resolve()), "recordings": written, "site": options.site, "version": options.version}


def ring(options: argparse.Namespace) -> dict[str, Any]:
    """One robot's ring: a recording a minute up to `--end`, with a takeover at `--at`."""
    home: Path = options.folder / options.robot
    home.mkdir(parents=True, exist_ok=True)
    known = next((one for one in profiles(options.seed, options.fleet) if one.id == options.robot), None)
    if known is None:
        raise SystemExit(f"{options.robot} is not in this fleet")
    end = options.end or options.at + 60
    first = math.floor((end - options.minutes * 60) / SEGMENT_S) * SEGMENT_S
    files = []
    start, number = first, 0
    while start < end:
        seconds = min(SEGMENT_S, end - start)
        plan = replace(
            _plan(options.seed, number, known, task=options.task, start=start, seconds=seconds),
            seed=options.seed * 77 + number,
        )
        offset = options.at - start
        takeovers = [Takeover(at=round(offset, 1), cause=options.cause)] if -20 < offset < seconds else []
        path = home / f"{int(start * 1000)}-{int((start + seconds) * 1000)}.mcap"
        with path.open("wb") as stream:
            write(
                stream,
                plan,
                said(plan, takeovers, options.zone),
                zone=options.zone,
                bill=bill_of(options.version),
            )
        files.append(path.name)
        start, number = start + SEGMENT_S, number + 1
    facts = {
        "ring_s": (options.ring_minutes or options.minutes) * 60,
        "online": not options.offline,
        "clock_offset_s": 2.0 if options.cause == "clock" else 0.0,
    }
    (home / "ring.json").write_text(json.dumps(facts), encoding="utf-8")
    return {"robot": options.robot, "files": files, "at": options.at, "online": not options.offline}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m connectors.sandbox.ring", description=(__doc__ or "").split("\n")[0]
    )
    kinds = parser.add_subparsers(dest="what", required=True)
    for name in ("sessions", "ring"):
        one = kinds.add_parser(name)
        one.add_argument("folder", type=Path)
        one.add_argument("--seed", type=int, default=7)
        one.add_argument("--fleet", type=int, default=200, help="robots in the fleet")
        one.add_argument("--task", default="jam-recovery")
        one.add_argument("--zone", default="tote lip")
        one.add_argument("--version", default="4.8.1")
    made = kinds.choices["sessions"]
    made.add_argument("--site", default="HAM2")
    made.add_argument("--count", type=int, default=6)
    made.add_argument("--robots", type=int, default=3)
    made.add_argument("--interventions", type=int, default=1, help="in each session")
    made.add_argument("--causes", default="policy", help=f"of {', '.join(CAUSES)}, in turn")
    made.add_argument("--seconds", type=float, default=40.0)
    made.add_argument("--start", type=float, default=1_792_742_400.0)
    made.add_argument("--every", type=float, default=900.0, help="seconds between sessions of a robot")
    made.add_argument("--salt", type=int, default=0, help="another day's noise on the same fleet")
    last = kinds.choices["ring"]
    last.add_argument("--robot", required=True)
    last.add_argument("--at", type=float, required=True)
    last.add_argument("--end", type=float, default=0.0)
    last.add_argument("--minutes", type=int, default=10, help="recorded before the end")
    last.add_argument("--ring-minutes", type=int, default=0, help="how long the ring is (default: as recorded)")
    last.add_argument("--cause", choices=CAUSES, default="policy")
    last.add_argument("--offline", action="store_true")
    options = parser.parse_args(words)
    sys.stdout.write(json.dumps(sessions(options) if options.what == "sessions" else ring(options)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
