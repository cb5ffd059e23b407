"""Reading and cutting recordings around an intervention. MCAP by its library; whatever can't be read is counted, not guessed.

A clip is read through one table of topics (`TOPICS`): the messages are JSON (what the recorder's bridge writes), times are
the message's log time as UTC epoch seconds. A recording made by other hands may lack any of them.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from engine.capabilities.ports import ActionError

Json = Any

TOPICS = {
    "intervention": ("/intervention", "/teleop/intervention"),
    "mode": ("/operating_mode", "/vda5050/operating_mode"),
    "state": ("/robot/state",),
    "step": ("/policy/step",),
    "anomaly": ("/anomaly", "/policy/anomaly"),
    "task": ("/task",),
    "trouble": ("/diagnostics",),
    "event": ("/events",),
}
ROLE = {name: role for role, names in TOPICS.items() for name in names}
MAX_MESSAGES = 200_000
"""Of a clip: more is no clip of a minute, and is refused before memory is spent on it."""
MAX_BODY = 64 * 1024
AUTONOMOUS = ("AUTOMATIC", "SEMIAUTOMATIC", "")
MEDIA = "application/x-mcap"


class Point(Struct, frozen=True):
    """Something a recording says at `t` (UTC epoch s)."""

    t: float
    value: Json


class Signals(Struct, kw_only=True):
    """What was read. `positions` are metres; `unreadable` counts messages that were not what they claim."""

    start: float = 0.0
    end: float = 0.0
    messages: int = 0
    unreadable: int = 0
    topics: list[str] = []
    times: list[float] = []
    intervention: list[tuple[float, bool, str, str, float]] = []
    """t, active, by, operator, link latency ms."""
    modes: list[tuple[float, str]] = []
    positions: list[tuple[float, tuple[float, float, float]]] = []
    human: list[tuple[float, bool, float]] = []
    """t, whether a person drives, speed of the command."""
    anomaly: list[tuple[float, float]] = []
    troubles: list[tuple[float, str, str]] = []
    events: list[tuple[float, bool, str, str, float]] = []
    """The same from the event log, for recordings without a flag."""
    task: str = ""
    zone: str = ""
    outcome: str = ""
    truncated: bool = False


def read(path: Path, start: float = -math.inf, end: float = math.inf) -> Signals:
    """The signals between two times. Raises ActionError `BadClip` when the file is no recording at all."""
    found = Signals()
    seen: set[str] = set()
    for name, at, body in _messages(path, tuple(ROLE), start, end, found):
        found.messages += 1
        if found.messages > MAX_MESSAGES:
            raise ActionError(
                "BadClip",
                f"more than {MAX_MESSAGES:,} messages in the window of {path.name}",
                kind="validation",
                retryable=False,
            )
        found.start = at if not found.start else min(found.start, at)
        found.end = max(found.end, at)
        seen.add(name)
        role = ROLE.get(name)
        if role is None:
            continue
        if len(body) > MAX_BODY:
            found.unreadable += 1
            continue
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            found.unreadable += 1
            continue
        if not isinstance(value, dict) or not _take(found, role, at, value):
            found.unreadable += 1
    found.topics = sorted(seen)
    found.intervention = found.intervention or found.events
    return found


def _take(found: Signals, role: str, at: float, value: dict[str, Json]) -> bool:
    if role == "intervention":
        if not isinstance(value.get("active"), bool):
            return False
        found.intervention.append(
            (
                at,
                value["active"],
                _word(value.get("by")) or "human",
                _word(value.get("operator")),
                _number(value.get("link_ms")),
            )
        )
    elif role == "mode":
        found.modes.append((at, _word(value.get("mode")).upper()))
    elif role == "state":
        place = value.get("p")
        if not isinstance(place, list) or len(place) < 3:
            return False
        found.positions.append((at, (_number(place[0]), _number(place[1]), _number(place[2]))))
        found.times.append(at)
    elif role == "step":
        action = value.get("action")
        speed = math.hypot(*(_number(each) for each in action[:3])) if isinstance(action, list) and action else 0.0
        found.human.append((at, _word(value.get("phase")) in ("intervention", "recovery", "correction"), speed))
        if not found.task:
            found.task = _word(value.get("task"))
    elif role == "event":
        _take_event(found, at, value)
    elif role == "anomaly":
        found.anomaly.append((at, _number(value.get("score"))))
    elif role == "task":
        found.task, found.zone = _word(value.get("task")) or found.task, _word(value.get("zone")) or found.zone
        found.outcome = _word(value.get("outcome")) or found.outcome
    elif role == "trouble" and _number(value.get("level")) >= 2:
        found.troubles.append((at, _word(value.get("name")), _word(value.get("message"))))
    return True


def _take_event(found: Signals, at: float, value: dict[str, Json]) -> None:
    """An event log's intervention, for recordings without a flag: begin and end, or a begin with its length."""
    if _word(value.get("event") or value.get("kind")) != "intervention":
        return
    who, operator, link = _word(value.get("by")) or "human", _word(value.get("operator")), _number(value.get("link_ms"))
    length = _number(value.get("duration_s"))
    if value.get("phase") == "end":
        found.events.append((at, False, who, operator, link))
        return
    found.events.append((at, True, who, operator, link))
    if length > 0:
        found.events.append((at + length, False, who, operator, link))


def _word(value: Json) -> str:
    return value[:120] if isinstance(value, str) else ""


def _number(value: Json) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else 0.0


def _messages(
    path: Path, topics: Sequence[str], start: float, end: float, found: Signals
) -> Iterator[tuple[str, float, bytes]]:
    """Topic, time, body in time order. A file that breaks off gives what stands before the break, and says so."""
    from mcap.exceptions import McapError
    from mcap.reader import make_reader

    low = None if start == -math.inf else max(0, int(start * 1e9))
    high = None if end == math.inf else max(1, int(end * 1e9))
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ActionError("BadClip", f"{path.name} can't be read: {error.strerror}", kind="unavailable") from error
    with stream:
        read_any = False
        try:
            reader = make_reader(stream)
            for _, channel, message in reader.iter_messages(topics=topics, starting_at=low, ending_before=high):
                read_any = True
                yield channel.topic, message.log_time / 1e9, message.data
        except (McapError, ValueError, EOFError, KeyError, OverflowError, MemoryError) as error:
            if not read_any:
                raise ActionError(
                    "BadClip", f"{path.name} is no readable recording: {error}", kind="validation", retryable=False
                ) from error
            found.truncated = True


class Cut(Struct, frozen=True, kw_only=True):
    """A window that was written. `covered` is the share of the wanted time between the first and the last message."""

    path: Path
    start: float
    end: float
    messages: int
    topics: tuple[str, ...]


@contextmanager
def scratch(suffix: str = ".mcap") -> Iterator[Path]:
    """A file of our own that is gone afterwards, whatever happens."""
    handle, name = tempfile.mkstemp(prefix="qd-window-", suffix=suffix)
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def cut(sources: Sequence[Path], target: Path, start: float, end: float) -> Cut:
    """Copies every message of the window, raw and with its schema, from one or several recordings into a new one.

    Cutting the same window again gives the same bytes: nothing but the sources goes into it. Raises ActionError `BadClip`.
    """
    from mcap.exceptions import McapError
    from mcap.reader import make_reader
    from mcap.writer import CompressionType, Writer

    count, first, last = 0, math.inf, -math.inf
    names: set[str] = set()
    with target.open("wb") as out:
        writer = Writer(out, compression=CompressionType.NONE)
        writer.start(profile="", library="quarterdeck")
        channels: dict[tuple[int, int], int] = {}
        for name, values in _metadata(sources[:1]):
            writer.add_metadata(name, values)
        for number, source in enumerate(sources):
            schemas: dict[int, int] = {}
            try:
                with source.open("rb") as stream:
                    reader = make_reader(stream)
                    for schema, channel, message in reader.iter_messages(
                        starting_at=max(0, int(start * 1e9)), ending_before=max(1, int(end * 1e9))
                    ):
                        key = (number, channel.id)
                        if key not in channels:
                            schema_id = 0
                            if schema is not None:
                                if schema.id not in schemas:
                                    schemas[schema.id] = writer.register_schema(
                                        name=schema.name, encoding=schema.encoding, data=schema.data
                                    )
                                schema_id = schemas[schema.id]
                            channels[key] = writer.register_channel(
                                topic=channel.topic, message_encoding=channel.message_encoding, schema_id=schema_id
                            )
                        writer.add_message(
                            channel_id=channels[key],
                            log_time=message.log_time,
                            publish_time=message.publish_time,
                            sequence=message.sequence,
                            data=message.data,
                        )
                        count += 1
                        names.add(channel.topic)
                        first, last = min(first, message.log_time / 1e9), max(last, message.log_time / 1e9)
                        if count > MAX_MESSAGES:
                            raise ActionError(
                                "BadClip",
                                f"more than {MAX_MESSAGES:,} messages in the window",
                                kind="validation",
                                retryable=False,
                            )
            except (McapError, EOFError, ValueError, KeyError, OverflowError) as error:
                if not count:
                    raise ActionError(
                        "BadClip", f"{source.name} can't be cut: {error}", kind="validation", retryable=False
                    ) from error
        writer.finish()  # type: ignore[no-untyped-call]
    if not count:
        raise ActionError(
            "EmptyWindow",
            "nothing was recorded in the window: the data was overwritten",
            kind="domain",
            retryable=False,
        )
    return Cut(path=target, start=first, end=last, messages=count, topics=tuple(sorted(names)))


def _metadata(sources: Sequence[Path]) -> Iterator[tuple[str, dict[str, str]]]:
    """Whose recording it is, its software bill and conditions, as the recorder wrote them: the window keeps them."""
    from mcap.exceptions import McapError
    from mcap.reader import make_reader

    left = MAX_BODY
    for source in sources:
        try:
            with source.open("rb") as stream:
                for record in make_reader(stream).iter_metadata():
                    left -= sum(len(key) + len(value) for key, value in record.metadata.items())
                    if left < 0:
                        return
                    yield record.name, record.metadata
        except (McapError, EOFError, ValueError, KeyError, OverflowError):
            return


def covered(found: Cut, start: float, end: float) -> float:
    """Share of the wanted time that the window holds."""
    wanted = max(1e-6, end - start)
    return round(max(0.0, min(found.end, end) - max(found.start, start)) / wanted, 3)


def window(t0: float, t1: float, policy: Mapping[str, Json]) -> tuple[float, float]:
    """-30/+30 s around the takeover, longer when the person drove longer."""
    return t0 - float(policy["window_before"]), max(t0, t1) + float(policy["window_after"])
