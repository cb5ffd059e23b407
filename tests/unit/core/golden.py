"""Makes golden histories: `python -m tests.unit.core.golden` adds those that are missing and never changes one.

A golden history is what an engine of some day recorded, with the state it folded to. They stay for ever: if a change
makes one fold differently, old runs would change, and the change needs a new event version and an upcaster instead.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine.core.state import CORE_VERSION, encode
from engine.core.versions import encode_event, version_of
from tests.simulation.test_core import live

FOLDER = Path(__file__).parents[2] / "golden"
LIVES = [
    ("kind", 117),  # completed
    ("kind", 31),  # timed out
    ("ordinary", 101),  # completed
    ("ordinary", 54),  # cancelled
    ("ordinary", 89),  # failed
    ("harsh", 48),  # failed
    ("harsh", 63),  # cancelled
    ("harsh", 3),  # timed out
    ("harsh", 98),  # completed
]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for mood, seed in LIVES:
        file = FOLDER / f"core-{CORE_VERSION}-{mood}-{seed}.json"
        if file.exists():
            continue
        shell = live(seed, mood)
        rows = [
            {"type": type(event).__name__, "v": version_of(event), "data": json.loads(encode_event(event))}
            for event in shell.journal
        ]
        state = json.loads(encode(shell.state))
        file.write_text(json.dumps({"run": shell.run, "events": rows, "state": state}, indent=0) + "\n")
        print(file.name, len(rows), shell.state.status)


if __name__ == "__main__":
    main()
