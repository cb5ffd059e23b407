"""Reading and checking recordings without compression: megabytes a second of one core, and the memory it takes.

Each file is read by a process of its own, so that its peak memory is the file's; the long recording is several times the
short one, and the peak must not grow with it. `signals` is the hard case: small messages only, every number looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, BinaryIO

from tests.benchmarks.harness_engine import scratch

OPTIONS = {"megabytes": 1000, "runs": 3}
START_NS = 1_792_742_400_000_000_000
READER = """
import json, resource, sys, time
from pathlib import Path
from engine.capabilities.data import checks, mcap_scan
from engine.capabilities.data.identity import Claim, Known
from engine.capabilities.data.profile import intake_of, profile_of, rules_of
from engine.capabilities.packs import load_pack
pack = load_pack("data")
profile = profile_of(pack)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cpu, wall = time.process_time(), time.perf_counter()
facts = mcap_scan.scan(Path(sys.argv[1]), rules_of(profile, intake_of(pack)))
findings = checks.judge(facts, profile, Claim(robot="r-1"), Known())
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"bytes": facts.bytes, "messages": facts.messages, "cpu_s": cpu, "wall_s": wall, "peak_mb": peak / 1000,
                  "before_mb": before / 1000, "checks": sorted({f.check for f in findings if f.severity != "warn"})}))
"""


def write(stream: BinaryIO, megabytes: float, *, picture: int, joint_hz: int = 200, camera_hz: int = 30) -> None:
    """A recording of an arm: joint states and commands, and two cameras when `picture` (bytes) is not zero."""
    from mcap.writer import CompressionType, Writer

    from connectors.sandbox import ros_messages as ros
    from connectors.sandbox.pictures import jpeg, scene

    writer = Writer(stream, compression=CompressionType.NONE)
    writer.start(profile="ros2", library="benchmark")
    state = writer.register_schema(ros.JOINT_STATE[0], "ros2msg", ros.JOINT_STATE[1].encode())
    command = writer.register_schema(ros.JOINT_COMMAND[0], "ros2msg", ros.JOINT_COMMAND[1].encode())
    image = writer.register_schema(ros.IMAGE[0], "ros2msg", ros.IMAGE[1].encode())
    topics = [
        writer.register_channel("/joint_states", "cdr", state),
        writer.register_channel("/action", "cdr", command),
    ]
    cameras = (
        [writer.register_channel(f"/camera/{name}", "cdr", image) for name in ("front", "wrist")] if picture else []
    )
    pictures = [jpeg(scene(n, 0), picture) for n in range(8)] if picture else []
    names = [f"joint_{n}" for n in range(7)]
    every, number, written = joint_hz // camera_hz, 0, 0
    while written < megabytes * 1e6:
        at = START_NS + number * (1_000_000_000 // joint_hz)
        angles = [0.001 * ((number * 7 + joint) % 1000) for joint in range(7)]
        for topic, data in (
            (topics[0], ros.joint_state(at, names, angles, angles)),
            (topics[1], ros.joint_command(at, names, angles)),
        ):
            writer.add_message(topic, at, data, at, number + 1)
            written += len(data)
        if cameras and number % every == 0:
            for camera in cameras:
                data = ros.image(at, "optical", pictures[number % 8])
                writer.add_message(camera, at, data, at, number // every + 1)
                written += len(data)
        number += 1
    writer.finish()


def run(options: Namespace) -> dict[str, Any]:
    with scratch() as folder:
        long, short = (
            _file(folder, "long", options.megabytes, 100_000),
            _file(folder, "short", options.megabytes / 5, 100_000),
        )
        signals = _file(folder, "signals", options.megabytes / 5, 0)
        found = {path.stem: _read(path, options.runs) for path in (long, short, signals)}
    return {
        "camera_mb_per_core_s": found["long"]["mb_per_core_s"],
        "signals_mb_per_core_s": found["signals"]["mb_per_core_s"],
        "camera_mb_per_s": found["long"]["mb_per_s"],
        "peak_mb_short": found["short"]["peak_mb"],
        "peak_mb_long": found["long"]["peak_mb"],
        "peak_mb_signals": found["signals"]["peak_mb"],
        "messages_per_s_signals": found["signals"]["messages_per_s"],
        "files": found,
    }


def _file(folder: Path, name: str, megabytes: float, picture: int) -> Path:
    path = folder / f"{name}.mcap"
    with path.open("wb") as stream:
        write(stream, megabytes, picture=picture)
    return path


def _read(path: Path, runs: int) -> dict[str, Any]:
    """The best of several reads, each in a fresh process."""
    every = [
        json.loads(subprocess.run([sys.executable, "-c", READER, str(path)], check=True, capture_output=True).stdout)
        for _ in range(runs)
    ]
    best = min(every, key=lambda one: one["cpu_s"])
    return {
        "megabytes": round(best["bytes"] / 1e6),
        "messages": best["messages"],
        "mb_per_core_s": round(best["bytes"] / 1e6 / best["cpu_s"]),
        "mb_per_s": round(best["bytes"] / 1e6 / min(one["wall_s"] for one in every)),
        "messages_per_s": round(best["messages"] / best["cpu_s"]),
        "peak_mb": round(max(one["peak_mb"] for one in every), 1),
        "before_mb": round(best["before_mb"], 1),
        "checks": best["checks"],
    }
