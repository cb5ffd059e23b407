"""Facts judged against a profile: findings, and a verdict. Pure; every sentence is for the person who has to decide.

A finding of severity `fail` quarantines the session, `repair` can be mended without inventing anything, `warn` is shown. What
could not be looked at is a finding too: silence is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.capabilities.data.facts import Facts, Span, TopicFacts
from engine.capabilities.data.identity import Claim, Known, identity
from engine.capabilities.data.profile import Profile
from engine.contract.sessions import Finding

JUDGED = ("camera", "action", "state")
"""Roles whose rate matters: other topics speak when they have something to say."""
ORDER = {"fail": 0, "repair": 1, "warn": 2, "note": 3}


def judge(facts: Facts, profile: Profile, claim: Claim, known: Known) -> list[Finding]:
    """All findings, worst first, and what explains the others before them."""
    found = [
        *_container(facts),
        *identity(facts, claim, known),
        *_presence(facts, profile),
        *_length(facts, profile, known),
        *_order(facts, profile),
        *_rates(facts, profile),
        *_cameras(facts, profile),
        *_values(facts, profile),
        *_tables(facts),
    ]
    return sorted(found, key=lambda finding: ORDER[finding.severity])


def verdict(findings: Iterable[Finding]) -> str:
    """quarantine, repair or pass."""
    severities = {finding.severity for finding in findings}
    return "quarantine" if "fail" in severities else "repair" if "repair" in severities else "pass"


def refused(check: str, reason: str) -> Finding:
    """Why a file was not even read."""
    return Finding(check=check, severity="fail", text=reason)


def _span(facts: Facts, t0: int, t1: int) -> dict[str, Any]:
    return {"t_from": round((t0 - facts.start) / 1e9, 3), "t_to": round((t1 - facts.start) / 1e9, 3)}


def _container(facts: Facts) -> Iterable[Finding]:
    damage = facts.damage
    if damage.truncated_at >= 0:
        lost = f"cut off at byte {damage.truncated_at} of {facts.bytes}"
        if facts.messages or damage.salvage:
            tail = f", {damage.salvage} messages of its last chunk can be saved" if damage.salvage else ""
            yield Finding(
                check="truncated", severity="repair", text=f"{lost}: no end, no summary{tail}",
                value=float(damage.lost_bytes), limit=0.0,
            )  # fmt: skip
        else:
            yield Finding(check="truncated", severity="fail", text=f"{lost}, and nothing before it can be saved")
    for span in damage.bad_chunks:
        yield Finding(
            check="corrupt", severity="fail", text="a chunk is damaged: its messages are lost",
            **(_span(facts, span.t0, span.t1) if span.t0 else {}),
        )  # fmt: skip
    if damage.bad_data_crc:
        yield Finding(check="corrupt", severity="fail", text="the checksum of its data does not match")
    if damage.unreadable:
        yield Finding(check="unreadable", severity="fail", text=damage.unreadable)
    if damage.unknown_channels:
        yield Finding(
            check="unknown_channel", severity="fail", value=float(damage.unknown_channels), limit=0.0,
            text=f"{damage.unknown_channels} messages belong to no channel that it declares",
        )  # fmt: skip
    if damage.truncated_at < 0 and facts.format == "mcap":
        if damage.no_summary:
            yield Finding(check="no_summary", severity="repair", text="it has no summary: the recorder did not finish")
        elif damage.summary_wrong and not damage.bad_chunk_count:
            yield Finding(check="summary", severity="repair", text=damage.summary_wrong)
    if damage.index_wrong:
        yield Finding(
            check="index",
            severity="repair",
            text=f"the index of {damage.index_wrong} chunks does not name its messages",
        )
    if damage.trailing_bytes:
        yield Finding(
            check="trailing", severity="repair", value=float(damage.trailing_bytes), limit=0.0,
            text=f"{damage.trailing_bytes} bytes stand behind its end",
        )  # fmt: skip
    if damage.unknown_records:
        yield Finding(
            check="unknown_record", severity="note", text=f"{damage.unknown_records} records of unknown kinds"
        )


def _presence(facts: Facts, profile: Profile) -> Iterable[Finding]:
    if not facts.messages:
        yield Finding(check="empty", severity="fail", text="it holds no messages")
        return
    for role in profile.required:
        topics = [topic for topic in facts.topics if topic.role == role and topic.messages]
        if not topics:
            yield Finding(check="missing", severity="fail", text=f"it has no {role} topic with messages")


def _length(facts: Facts, profile: Profile, known: Known) -> Iterable[Finding]:
    if not facts.messages:
        return
    length = facts.duration_s
    if length < profile.duration_min:
        yield Finding(
            check="duration", severity="fail", text=f"{length:.1f} s long, shorter than {profile.duration_min:g} s",
            value=round(length, 3), limit=profile.duration_min,
        )  # fmt: skip
    elif length > profile.duration_max and not _clock_jumps(facts):
        yield Finding(
            check="duration", severity="fail", text=f"{length:.0f} s long, longer than {profile.duration_max:g} s",
            value=round(length, 3), limit=profile.duration_max,
        )  # fmt: skip
    ahead = facts.end / 1e9 - known.now
    if facts.format == "mcap" and known.now and ahead > profile.future:
        yield Finding(
            check="future", severity="fail", text=f"it ends {ahead / 3600:.1f} h from now: its clock was wrong",
            value=round(ahead, 1), limit=profile.future,
        )  # fmt: skip


def _order(facts: Facts, profile: Profile) -> Iterable[Finding]:
    """Strictly increasing time. The publisher's counter tells a late write from a clock that stepped."""
    stepped = [topic for topic in facts.topics if topic.backwards_count > topic.shuffled or _too_late(topic, profile)]
    if stepped:
        worst = max((span for topic in stepped for span in topic.backwards), key=lambda span: span.length)
        all_of_them = len(stepped) > 1
        yield Finding(
            check="clock_back" if all_of_them else "time", severity="fail", topic="" if all_of_them else stepped[0].name,
            text=f"time goes back by {worst.length / 1e9:.3f} s on {len(stepped)} topics"
            + (": the clock was set" if all_of_them else ""),
            value=round(worst.length / 1e9, 3), limit=0.0, **_span(facts, worst.t0, worst.t1),
        )  # fmt: skip
    late = [topic for topic in facts.topics if topic.shuffled and topic not in stepped]
    if late:
        count = sum(topic.shuffled for topic in late)
        worst = max((span for topic in late for span in topic.backwards), key=lambda span: span.length)
        yield Finding(
            check="order", severity="repair", value=round(worst.length / 1e9, 3), limit=profile.reorder,
            text=f"{count} times messages were written late, by up to {worst.length / 1e9:.2f} s: they are sorted in",
            **_span(facts, worst.t0, worst.t1),
        )  # fmt: skip
    for topic in facts.topics:
        if topic.repeated:
            yield Finding(
                check="repeated", severity="repair", topic=topic.name, value=float(topic.repeated), limit=0.0,
                text=f"{topic.repeated} messages stand twice",
            )  # fmt: skip
        if topic.frozen:
            yield Finding(
                check="time", severity="fail" if topic.role in JUDGED else "warn", topic=topic.name,
                text=f"time stands still {topic.frozen} times", value=float(topic.frozen), limit=0.0,
            )  # fmt: skip


def _too_late(topic: TopicFacts, profile: Profile) -> bool:
    return any(span.length > profile.reorder * 1e9 for span in topic.backwards)


def _clock_jumps(facts: Facts) -> Span | None:
    """A silence over which no publisher missed a message, on several topics at once: the clock stepped forward."""
    at: list[Span] = []
    judged = [topic for topic in facts.topics if topic.role in JUDGED and topic.counted and topic.messages > 2]
    for topic in judged:
        silent = [gap for gap in topic.gaps if gap.counted == 1 and gap.length > 5e9 * topic.period_s]
        at += silent[:1]
    if len(at) < 2 or len(at) < len(judged):
        return None
    first = at[0]
    same = all(span.t0 < first.t1 and first.t0 < span.t1 for span in at)
    return max(at, key=lambda span: span.length) if same else None


def _rates(facts: Facts, profile: Profile) -> Iterable[Finding]:
    if any(topic.backwards_count for topic in facts.topics):
        return  # out of order, silences and drops can't be told; they are looked at again after the repair
    jump = _clock_jumps(facts)
    if jump is not None:
        yield Finding(
            check="clock_jump", severity="fail", text=f"the clock jumps forward by {jump.length / 1e9:.1f} s on all topics at once",
            value=round(jump.length / 1e9, 3), limit=0.0, **_span(facts, jump.t0, jump.t1),
        )  # fmt: skip
        return
    for topic in facts.topics:
        if topic.role not in JUDGED or topic.messages < 3:
            continue
        limit = profile.gap_frames * topic.period_s
        mixed = topic.fastest_s > 0 and topic.slowest_s > profile.mixed_rate * topic.fastest_s
        if mixed:
            yield Finding(
                check="mixed_rate", severity="fail", topic=topic.name, value=round(1 / topic.slowest_s, 3),
                limit=round(1 / topic.fastest_s, 3),
                text=f"its rate changes: {1 / topic.fastest_s:.3g} Hz here, {1 / topic.slowest_s:.3g} Hz there",
            )  # fmt: skip
            continue
        long = [gap for gap in topic.gaps if gap.length > 1.005 * limit * 1e9]  # a clock has its grain
        for gap in long[:3]:
            why = "nothing was published" if topic.counted and gap.counted == 1 else "messages are missing"
            yield Finding(
                check="gap", severity="fail", topic=topic.name, value=round(gap.length / 1e9, 3), limit=round(limit, 4),
                text=f"silent for {gap.length / 1e9:.2f} s, more than {profile.gap_frames:g} periods: {why}",
                **_span(facts, gap.t0, gap.t1),
            )  # fmt: skip
        if topic.drop_ratio > profile.frame_drop:
            yield Finding(
                check="drops", severity="fail", topic=topic.name, value=round(topic.drop_ratio, 4), limit=profile.frame_drop,
                text=f"{topic.missing} of {topic.messages + topic.missing} messages are missing ({topic.drop_ratio:.1%})",
            )  # fmt: skip


def _cameras(facts: Facts, profile: Profile) -> Iterable[Finding]:
    for skew in facts.skews:
        if skew.p95_s > profile.skew:
            yield Finding(
                check="skew", severity="fail", topic=skew.other, value=round(skew.p95_s, 4), limit=profile.skew,
                text=f"{skew.p95_s * 1000:.0f} ms from {skew.reference} (95 of 100 frames are closer)",
                **_span(facts, skew.worst_at, skew.worst_at + int(skew.worst_s * 1e9)),
            )  # fmt: skip
    expected = {
        name.removeprefix("camera."): frame
        for name, frame in facts.metadata.get("calibration", {}).items()
        if name.startswith("camera.")
    }
    swapped = []
    for topic in facts.topics:
        if topic.role != "camera":
            continue
        if topic.broken_frames:
            yield Finding(
                check="picture", severity="fail", topic=topic.name, value=float(topic.broken_frames), limit=0.0,
                text=f"{topic.broken_frames} pictures are not whole",
            )  # fmt: skip
        if len(topic.frame_ids) > 1:
            names = ", ".join(sorted(topic.frame_ids)[:4])
            yield Finding(
                check="camera", severity="fail", topic=topic.name, text=f"pictures of several cameras: {names}"
            )
            continue
        frame = next(iter(topic.frame_ids), "")
        wanted = expected.get(topic.name.rsplit("/", 1)[-1], "")
        if frame and wanted and frame != wanted:
            swapped.append((topic.name, frame, wanted))
    for name, frame, wanted in swapped:
        taken = frame in expected.values()
        yield Finding(
            check="camera_swapped" if taken else "camera", severity="fail", topic=name,
            text=f"its pictures come from {frame}, the calibration says {wanted}" + (": cameras are swapped" if taken else ""),
        )  # fmt: skip


def _values(facts: Facts, profile: Profile) -> Iterable[Finding]:
    for topic in facts.topics:
        values = topic.values
        if values is None or not topic.messages:
            continue
        if values.not_finite:
            yield Finding(
                check="not_finite", severity="fail", topic=topic.name, value=float(values.not_finite), limit=0.0,
                text=f"{values.not_finite} messages hold NaN or infinity", **_span(facts, values.not_finite_at, values.not_finite_at),
            )  # fmt: skip
        if values.beyond:
            name = (
                values.names[values.beyond_dim]
                if 0 <= values.beyond_dim < len(values.names)
                else f"[{values.beyond_dim}]"
            )
            yield Finding(
                check="limits", severity="fail", topic=topic.name, value=values.beyond_worst,
                limit=profile.action_high if values.beyond_worst > 0 else profile.action_low,
                text=f"{values.beyond} actions are outside the limits, {name} up to {values.beyond_worst:.3g}",
                **_span(facts, values.beyond_from, values.beyond_to),
            )  # fmt: skip
        if values.undecoded == topic.messages:
            yield Finding(
                check="unread", severity="warn", topic=topic.name,
                text=f"its numbers were not looked at: {topic.encoding or 'no encoding'}, {topic.type or 'no schema'}",
            )  # fmt: skip
        elif values.undecoded:
            yield Finding(
                check="unread", severity="fail", topic=topic.name, value=float(values.undecoded), limit=0.0,
                text=f"{values.undecoded} of {topic.messages} messages do not fit their schema",
            )  # fmt: skip
        if topic.role == "action" and values.messages:
            share = (values.zero + values.empty) / values.messages
            if share > profile.zero_share:
                yield Finding(
                    check="zero_actions", severity="fail", topic=topic.name, value=round(share, 3), limit=profile.zero_share,
                    text=f"{share:.0%} of its actions are zero or empty",
                )  # fmt: skip
            elif values.constant and values.messages > 10:
                yield Finding(check="constant", severity="fail", topic=topic.name, text="its actions never change")


def _tables(facts: Facts) -> Iterable[Finding]:
    """What only data sets of the LeRobot kind can have wrong."""
    for camera, frames, rows in facts.rows_of_video:
        if frames != rows:
            yield Finding(
                check="video_rows", severity="fail", topic=camera, value=float(frames), limit=float(rows),
                text=f"the film has {frames} frames, the table {rows} rows",
            )  # fmt: skip
    for name, size, limit in facts.sizes:
        yield Finding(
            check="shard_size", severity="warn", value=float(size), limit=float(limit),
            text=f"{name} is larger than the format's limit ({size} bytes, {limit})",
        )  # fmt: skip
    for check, text in facts.problems:
        yield Finding(check=check, severity="fail", text=text)
