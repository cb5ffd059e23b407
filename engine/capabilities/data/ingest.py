"""Taking recordings in: read, known by their digest, checked, mended or set aside. A file that can't be used becomes a record
that says why; nothing disappears in silence, and nothing is an error only because a file is bad.

Each step can be asked again: an engine that died in the middle reads the file once more and ends at the same record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.capabilities.data import discovery, remote
from engine.capabilities.data.byte_source import NotAFile
from engine.capabilities.data.checks import judge, refused, verdict
from engine.capabilities.data.facts import Facts
from engine.capabilities.data.formats import content_stamp, locate, set_aside
from engine.capabilities.data.identity import Claim, Known, Twin
from engine.capabilities.data.profile import Intake, Profile, intake_of, profile_of, rules_of
from engine.capabilities.data.scanning import Caps, Refused, Rules, Stopped, Watch
from engine.capabilities.data.session_fields import fields_of, measured, place_of
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Emit
from engine.contract.sessions import Finding, SessionReport, SessionView, Topic

if TYPE_CHECKING:
    from engine.capabilities.data.repair import Repaired

Json = Any
Input = dict[str, Json]
SHOWN = 20
TOLD_EVERY = 1.0
"""Seconds between two words about how far a read is."""

_taking: dict[str, asyncio.Lock] = {}


async def discover(context: Context, given: Input) -> Json:
    """What a folder holds."""
    intake = _intake(context)
    uri = str(given.get("folder") or given.get("uri") or "")
    claims = {name: given[name] for name in ("robot", "site") if given.get(name)}
    if remote.is_remote(uri):
        place: Path | str = uri
        found = await remote.discover(context, uri, intake, claims)
    else:
        folder = place = discovery.folder_of(uri, intake)
        found = await asyncio.to_thread(discovery.discover, folder, intake, claims)
    return {
        "found": found.refs, "count": len(found.refs), "bytes": found.bytes, "skipped": [list(pair) for pair in found.skipped[:500]],
        "skipped_count": len(found.skipped), "folder": str(place),
    }  # fmt: skip


async def ingest(context: Context, given: Input) -> Json:
    """Reads one recording: digest, topics, length, bill. Duplicates and what can't be read are set aside with the reason."""
    ref = _checked(given["ref"])
    intake, profile = _intake(context), profile_of(context.policy("data"))
    distant = remote.is_remote(ref["uri"])
    path = Path(ref["uri"])
    if distant:
        stamp = remote.stamp_of(ref)
    else:
        discovery.folder_of(ref["uri"], intake)
        stamp = await asyncio.to_thread(_stamp, path, ref["format"], ref["name"])
    session = await _opened(context, ref, given, stamp)
    if session.state != "discovered":
        return _taken(session, known=True)
    rules, claim = rules_of(profile, intake), _claim(ref)
    size = int(ref["bytes"]) if distant else path.lstat().st_size
    if size > intake.max_file_bytes:
        reason = f"{size} bytes, more than the {intake.max_file_bytes:.3g} that a recording may have"
        return _taken(await _aside(context, session, [refused("too_large", reason)]))
    if distant:
        path = await remote.fetch(context, ref, session.id)
    try:
        facts = await _scan(context, path, ref["episode"], ref["format"], rules)
    except (Refused, NotAFile) as error:
        check = error.check if isinstance(error, Refused) else "not_a_file"
        session = await _aside(context, session, [refused(check, str(error))], set={"bytes": int(ref["bytes"])})
        return _taken(session)
    kept = await asyncio.to_thread(_keep_facts, context, facts, session.id)
    fields = fields_of(facts, claim, ref) | {"facts": kept, "profile": profile.ref, "stamp": stamp}
    fields["bytes"] = fields["bytes"] or int(ref["bytes"])
    async with _taking.setdefault(
        "digests", asyncio.Lock()
    ):  # two copies read at once: the first to be written is the original
        twin = await _twin(context, session.id, facts)
        if twin is not None:
            findings = judge(facts, profile, claim, Known(twins=(twin,), overlap=profile.overlap))
            findings = [f for f in findings if f.check == "duplicate"] + [f for f in findings if f.check != "duplicate"]
            fields |= {"duplicate_of": twin.session}
            return _taken(await _aside(context, session, findings, set=fields, code="duplicate"))
        session = await context.records.change("session", session.id, to="ingested", set=fields)
    return _taken(session)


async def validate(context: Context, given: Input) -> Json:
    """Judges one session against the profile. The content is read again when it may have changed since."""
    session = await _session(context, given["session"])
    if session.state != "ingested":
        return _judged(session)
    intake = _intake(context)
    profile = profile_of(context.policy("data"), str(given.get("profile") or ""))
    path = locate(context.vault, session)
    mended = session.content != session.digest
    facts = await _facts(context, session, path, rules_of(profile, intake))
    if isinstance(facts, Finding):
        return _judged(await _aside(context, session, [facts]))
    known = await _known(context, session, profile)
    claim = Claim(name="" if mended else session.name, robot=session.claimed_robot, site=session.claimed_site)
    findings = judge(facts, profile, claim, known)
    if mended:
        findings.insert(sum(f.severity in ("fail", "repair") for f in findings), _loss(session))
    word = verdict(findings)
    if word == "repair" and session.repairs >= profile.max_repairs:
        findings.insert(
            0, Finding(check="unrepaired", severity="fail", text=f"still not whole after {session.repairs} repairs")
        )
        word = "quarantine"
    if word == "quarantine":
        return _judged(await _aside(context, session, findings, set={"profile": profile.ref}))
    report = await asyncio.to_thread(_report, context, session, word, profile.ref, findings)
    fields: Input = _told(findings) | {"verdict": word, "profile": profile.ref, "report": report, "code": ""}
    if word == "repair":
        return _judged(await context.records.change("session", session.id, set=fields))
    to = "repaired" if session.repairs and mended else "valid"
    said = {
        "session": session.id, "digest": session.content, "robot": session.robot, "site": session.site, "task": session.task,
        "interventions": session.interventions, "bill": dict(session.bill), "state": to, "uri": session.uri,
        "duration_s": session.duration_s, "campaign": session.campaign, "dataset": session.dataset,
    }  # fmt: skip
    session = await context.records.change(
        "session", session.id, to=to, set=fields, emit=(Emit("qd.session.ingested", said),), expect=session.rev
    )
    return _judged(session)


async def repair(context: Context, given: Input) -> Json:
    """Mends what can be mended, and judges again; ends repaired or set aside. The file that came in stays as it is."""
    session = await _session(context, given["session"])
    profile, intake = profile_of(context.policy("data"), str(given.get("profile") or "")), _intake(context)
    while session.state == "ingested" and session.verdict == "repair":
        source = locate(context.vault, session)
        target = _mending_place(context, session)
        try:
            done = await _mended(context, source, target, profile.reorder, intake.caps)
            kept = await asyncio.to_thread(
                context.vault.put_file,
                target,
                media="application/x-mcap",
                source=session.digest,
                name=f"{session.id} mended.mcap",
            )
            facts = await _scan(context, context.vault.path(kept.digest), -1, "mcap", rules_of(profile, intake))
        except Refused as error:
            session = await _aside(context, session, [refused(error.check, error.reason)])
            break
        finally:
            target.unlink(missing_ok=True)
        lost = session.lost_bytes + done.lost_bytes
        rate = session.bytes / session.duration_s if session.duration_s else 0.0
        fields = measured(facts) | {
            "repairs": session.repairs + 1, "lost_bytes": lost, "lost_s": round(lost / rate, 2) if rate else 0.0, "verdict": "",
            "facts": await asyncio.to_thread(_keep_facts, context, facts, session.id), "mended": list(done.sentences),
        }  # fmt: skip
        session = await context.records.change(
            "session", session.id, set=fields, reason="; ".join(done.sentences), expect=session.rev
        )
        await validate(context, {"session": session.id, "profile": given.get("profile") or ""})
        session = await _session(context, session.id)
    return _judged(session)


async def take(context: Context, given: Input) -> Json:
    """One recording from file to verdict."""
    taken = await ingest(context, given)
    judged = taken
    if taken["state"] == "ingested":
        judged = await validate(context, {"session": taken["session"]})
        if judged["verdict"] == "repair":
            judged = await repair(context, {"session": taken["session"]})
    return taken | judged


async def intake(context: Context, given: Input) -> Json:
    """A whole folder, with live progress. Can be asked again: what is known is not read twice."""
    found = await discover(context, given)
    counts = dict.fromkeys(("found", "valid", "repaired", "quarantined", "duplicates"), 0)
    usable: list[str] = []
    aside: list[str] = []
    worst, done, begun = "", 0, time.monotonic()
    for number, ref in enumerate(found["found"], 1):
        context.heartbeat({"done": number - 1, "of": found["count"], "unit": "recordings", "what": ref["name"]})
        one = await take(context, {"ref": ref, **{k: given[k] for k in ("campaign", "dataset") if given.get(k)}})
        done += int(one["bytes"])
        counts["found"] += 1
        if one["state"] in ("quarantined", "withdrawn"):
            aside.append(one["session"])
            counts["quarantined"] += 1
            counts["duplicates"] += bool(one["duplicate_of"])
            worst = worst or f"{ref['name']}: {one['worst']}"
        else:
            usable.append(one["session"])
            counts["repaired" if one["state"] == "repaired" else "valid"] += 1
    return {
        "sessions": usable, "quarantined": aside, "duplicates": counts["duplicates"], "counts": counts, "bytes": done,
        "seconds": round(time.monotonic() - begun, 3), "worst": worst[:300], "skipped": found["skipped"], "folder": found["folder"],
    }  # fmt: skip


async def quarantine(context: Context, given: Input) -> Json:
    """Sets a session aside for a reason that is none of the checks'."""
    session = await _session(context, given["session"])
    if session.state not in ("quarantined", "withdrawn"):
        reason = str(given["reason"])[:500]
        session = await set_aside(context.records, session, reason, code=str(given.get("code") or "by_hand")[:60])
    return {"session": session.id, "state": session.state, "code": session.code}


# -- how it is done ---------------------------------------------------------------------------------------------------


def _intake(context: Context) -> Intake:
    return intake_of(context.policy("data"))


def _checked(ref: Json) -> dict[str, Json]:
    if (
        not isinstance(ref, dict)
        or not isinstance(ref.get("uri"), str)
        or ref.get("format") not in ("mcap", "lerobot-v3")
    ):
        raise ActionError(
            "BadRef",
            "a recording is named by uri and format, as data.discover does",
            kind="validation",
            retryable=False,
        )
    path = Path(ref["uri"])
    return {"episode": -1, "bytes": 0, "name": path.name} | ref


def _first(ref: dict[str, Json], given: Input, stamp: str) -> Input:
    return {
        "title": str(ref["name"])[:200], "uri": ref["uri"], "name": str(ref["name"])[:200], "episode": int(ref["episode"]),
        "format": ref["format"], "bytes": int(ref["bytes"]), "campaign": str(given.get("campaign") or ""),
        "dataset": str(given.get("dataset") or ""), "stamp": stamp, "claimed_robot": str(ref.get("robot") or ""),
        "claimed_site": str(ref.get("site") or ""),
    }  # fmt: skip


def _claim(ref: dict[str, Json]) -> Claim:
    names = ("name", "robot", "site", "sha256", "task", "operator")
    return Claim(**{name: str(ref.get(name) or "")[:300] for name in names})


def _stamp(path: Path, format: str, name: str) -> str:
    try:
        return content_stamp(path, format)
    except OSError as error:
        raise ActionError("SessionGone", f"{name}: {error.strerror}", kind="unavailable") from error


async def _opened(context: Context, ref: dict[str, Json], given: Input, stamp: str) -> SessionView:
    """The record of this file as it stands: the one of an earlier look, whoever took it, else a new one."""
    async with _taking.setdefault("records", asyncio.Lock()):
        where = {"uri": ref["uri"], "episode": ref["episode"]}
        for known in await context.records.find("session", where=where, limit=50, order="created_at"):
            if known.stamp == stamp and known.state != "withdrawn":
                if given.get("dataset") and not known.dataset:
                    known = await context.records.change("session", known.id, set={"dataset": str(given["dataset"])})
                found: SessionView = known
                return found
        key = f"session:{place_of(ref['uri'], ref['episode'])}:{stamp}"
        made: SessionView = await context.records.create(
            "session", _first(ref, given, stamp), key=key, state="discovered"
        )
        return made


async def _session(context: Context, id: Json) -> SessionView:
    session: SessionView | None = await context.records.get("session", str(id))
    if session is None:
        raise ActionError("NoSuchRecord", f"there is no session {str(id)[:60]!r}", kind="validation", retryable=False)
    return session


async def _scan(context: Context, path: Path, episode: int, format: str, rules: Rules) -> Facts:
    """The facts of a file, read in a thread. Raises Refused, NotAFile; ActionError `Cancelled`, `SessionGone`."""

    def read(watch: Watch) -> Facts:
        if format == "lerobot-v3":
            from engine.capabilities.data.lerobot import scan_episode

            return scan_episode(path, episode, rules, watch)
        from engine.capabilities.data.mcap_scan import scan

        return scan(path, rules, watch)

    try:
        found: Facts = await _threaded(context, read, f"reading {path.name}")
    except OSError as error:
        raise ActionError("SessionGone", f"{path.name}: {error.strerror or error}", kind="unavailable") from error
    return found


async def _threaded(context: Context, work: Callable[[Watch], Any], what: str) -> Any:
    """Long work in a thread: progress is told about once a second, and it stops when nobody waits any more."""
    loop, told = asyncio.get_running_loop(), 0.0

    def tell(done: int, of: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= TOLD_EVERY:
            told = now
            progress = {"done": done // 1_000_000, "of": of // 1_000_000, "unit": "MB", "what": what[:100]}
            loop.call_soon_threadsafe(context.heartbeat, progress)

    try:
        return await asyncio.to_thread(work, Watch(tell, context.cancelled))
    except Stopped as error:
        raise ActionError("Cancelled", "stopped while reading", retryable=False) from error


def _mending_place(context: Context, session: SessionView) -> Path:
    """One place per session: what an engine that died left there is written over."""
    folder: Path = context.vault.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f".mending-{session.id}.mcap"


async def _mended(context: Context, source: Path, target: Path, window_s: float, caps: Caps) -> Repaired:
    from engine.capabilities.data.repair import mend

    def work(watch: Watch) -> Repaired:
        return mend(source, target, window_s=window_s, caps=caps, watch=watch)

    done: Repaired = await _threaded(context, work, f"mending {source.name}")
    return done


async def _facts(context: Context, session: SessionView, path: Path, rules: Rules) -> Facts | Finding:
    """What was measured, read again when the profile is another; a finding when the content is no longer what came in."""
    if session.facts and session.profile == rules.profile:
        return msgspec.json.decode(await asyncio.to_thread(context.vault.read, session.facts), type=Facts)
    try:
        facts = await _scan(context, path, session.episode, session.format, rules)
    except (Refused, NotAFile) as error:
        return refused("changed", f"it can no longer be read: {error}")
    if facts.digest != session.content:
        return refused("changed", "its content is no longer what was ingested")
    return facts


async def _twin(context: Context, id: str, facts: Facts) -> Twin | None:
    """A session that holds the same: by its bytes, or by what was recorded when."""
    for column, value, how in (
        ("digest", facts.digest, "same_bytes"),
        ("fingerprint", facts.fingerprint, "same_recording"),
    ):
        if not value:
            continue
        for other in await context.records.find("session", where={column: value}, limit=20, order="created_at"):
            if other.id != id and not other.duplicate_of and other.state != "withdrawn":
                return Twin(session=other.id, name=other.name, how=how)
    return None


async def _known(context: Context, session: SessionView, profile: Profile) -> Known:
    """What the engine knows beside the file: the fleet, and other recordings of this robot at this time."""
    try:
        robots = {robot.id: robot.serial for robot in await context.port("fleet").robots()}
    except ActionError:
        robots = {}  # no fleet is configured, or it does not answer: names can't be compared with it
    twins = []
    if session.format == "mcap" and session.start_ns and session.robot:
        others = await context.records.find(
            "session", where={"robot": session.robot}, state=("valid", "repaired", "labelled", "curated"), limit=500
        )
        for other in others:
            shared = min(other.end_ns, session.end_ns) - max(other.start_ns, session.start_ns)
            length = session.end_ns - session.start_ns
            if other.id != session.id and other.format == "mcap" and shared > 0 and length:
                twins.append(Twin(session=other.id, name=other.name, how="overlap", share=min(1.0, shared / length)))
    return Known(robots=robots, twins=tuple(twins[:5]), now=context.now(), overlap=profile.overlap)


async def _aside(
    context: Context, session: SessionView, findings: list[Finding], *, set: Input | None = None, code: str = ""
) -> SessionView:
    """Quarantines a session with its findings; the first is the reason."""
    report = await asyncio.to_thread(
        _report, context, session, "quarantine", (set or {}).get("profile", session.profile), findings
    )
    first = next((finding for finding in findings if finding.severity == "fail"), findings[0])
    fields = (set or {}) | _told(findings) | {"verdict": "quarantine", "report": report, "code": code or first.check}
    merged = msgspec.structs.asdict(session) | fields
    said = {
        "session": session.id, "digest": merged["digest"], "robot": merged["robot"] or session.claimed_robot, "site": merged["site"],
        "checks": sorted({finding.check for finding in findings if finding.severity == "fail"}), "reason": first.text,
        "dataset": session.dataset, "campaign": session.campaign, "name": session.name,
    }  # fmt: skip
    found: SessionView = await context.records.change(
        "session",
        session.id,
        to="quarantined",
        set=fields,
        reason=first.text,
        emit=(Emit("qd.session.quarantined", said),),
    )
    return found


def _told(findings: list[Finding]) -> Input:
    return {"findings": [msgspec.to_builtins(finding) for finding in findings[:SHOWN]], "finding_count": len(findings)}


def _loss(session: SessionView) -> Finding:
    """What a repair could not save: always said, also of a session that passes."""
    lost = (
        f"{session.lost_bytes} bytes at its end (about {session.lost_s:g} s) are lost"
        if session.lost_bytes
        else "nothing is lost"
    )
    return Finding(
        check="repaired",
        severity="warn",
        text=f"repaired: {lost}; {'; '.join(session.mended)}"[:400],
        value=session.lost_s,
    )


def _keep_facts(context: Context, facts: Facts, session: str) -> str:
    kept = context.vault.put_bytes(
        msgspec.json.encode(facts),
        media="application/vnd.quarterdeck.facts+json",
        source=facts.digest,
        name=f"{session} facts",
    )
    return str(kept.digest)


def _report(context: Context, session: SessionView, word: str, profile: str, findings: list[Finding]) -> str:
    report = SessionReport(
        session=session.id, digest=session.digest, verdict=word, profile=profile, findings=tuple(findings[:2000]),
        topics=tuple(msgspec.convert(topic, Topic) if isinstance(topic, dict) else topic for topic in session.topics),
        repaired=tuple(session.mended),
    )  # fmt: skip
    kept = context.vault.put_bytes(
        msgspec.json.encode(report), media="application/vnd.quarterdeck.session-report+json", source=session.uri,
        name=f"{session.id} report",
    )  # fmt: skip
    return str(kept.digest)


def _taken(session: SessionView, *, known: bool = False) -> Input:
    return _judged(session) | {
        "digest": session.digest, "format": session.format, "duration_s": session.duration_s, "bytes": session.bytes,
        "duplicate_of": session.duplicate_of, "robot": session.robot, "site": session.site, "known": known,
    }  # fmt: skip


def _judged(session: SessionView) -> Input:
    fails = [finding for finding in session.findings if finding.severity == "fail"]
    worst = (fails or list(session.findings))[:1]
    return {
        "session": session.id, "state": session.state, "verdict": session.verdict, "findings": session.finding_count,
        "fails": len(fails), "worst": worst[0].text if worst else "", "code": session.code, "report": session.report,
        "repairs": session.repairs, "lost_s": session.lost_s,
    }  # fmt: skip
