"""An episode of a LeRobot v3 data set as a recording: its rows between two times, as the topics a clip is read through.

LeRobot's DAgger mode records one flag per frame and no frames while paused: what it leaves out stays a gap. The numbers
are the table's own; pictures stay in the data set's films and are not copied.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError

Json = Any
COLUMNS = ("timestamp", "episode_index", "observation.state", "action", "intervention")
MOST_ROWS = 100_000


def as_recording(folder: Path, session: Any, target: Path, start: float, end: float) -> int:
    """Writes the rows as MCAP; how many. `start` and `end` are UTC epoch seconds. Raises ActionError `BadClip`."""
    from mcap.writer import CompressionType, Writer

    from engine.capabilities.data.lerobot import open_dataset, parquet_file
    from engine.capabilities.data.scanning import Refused

    begin = session.start or session.start_ns / 1e9
    count = 0
    try:
        found = open_dataset(folder, rooted=False)
        episode = next((one for one in found.episodes if one.index == session.episode), None)
        if episode is None:
            raise ActionError(
                "BadClip", f"{session.name} has no episode {session.episode}", kind="validation", retryable=False
            )
        path = folder / found.info.data_path.format(chunk_index=episode.chunk, file_index=episode.file)
        with target.open("wb") as out, parquet_file(path) as table:
            writer = Writer(out, compression=CompressionType.NONE)
            writer.start(profile="", library="quarterdeck")
            channels: dict[str, int] = {}
            known = [name for name in COLUMNS if name in table.schema_arrow.names]
            for batch in table.iter_batches(batch_size=4096, columns=known):
                for row in batch.to_pylist():
                    at = begin + float(row["timestamp"])
                    if row["episode_index"] != session.episode or not start <= at <= end:
                        continue
                    if count >= MOST_ROWS:
                        raise ActionError(
                            "BadClip", f"more than {MOST_ROWS:,} rows in the window", kind="validation", retryable=False
                        )
                    for topic, body in _messages(row):
                        if topic not in channels:
                            channels[topic] = writer.register_channel(topic=topic, message_encoding="json", schema_id=0)
                        ns = int(at * 1e9)
                        writer.add_message(
                            channel_id=channels[topic], log_time=ns, publish_time=ns, data=json.dumps(body).encode()
                        )
                    count += 1
            writer.finish()  # type: ignore[no-untyped-call]
    except (Refused, OSError, KeyError, IndexError, ValueError) as error:
        raise ActionError(
            "BadClip", f"{session.name} can't be read: {error}", kind="validation", retryable=False
        ) from error
    return count


def _messages(row: dict[str, Json]) -> list[tuple[str, dict[str, Json]]]:
    human = bool(row.get("intervention"))
    step = {
        "observation": list(row.get("observation.state") or ()), "action": list(row.get("action") or ()),
        "phase": "intervention" if human else "autonomous",
    }  # fmt: skip
    return [("/policy/step", step), ("/intervention", {"active": human, "by": "human", "operator": "", "link_ms": 0.0})]
