"""A campaign: one run that builds one snapshot of a dataset. What it begins with, and which sessions it looks at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.capabilities.data import coverage, splitting
from engine.capabilities.data.curation import Rule
from engine.capabilities.data.entities_sessions import USABLE
from engine.capabilities.data.labelling import LabelError, schema_of
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change, RecordError
from engine.contract.datasets import AnnotationView, DatasetView, Funnel, SnapshotView, Stratum
from engine.contract.sessions import SessionView

Json = Any
Input = dict[str, Json]
ALL = 1_000_000
BATCH = 200
"""Changes of one commit: a person's command between two of them does not wait long."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


async def open_campaign(context: Context, given: Input) -> Json:
    """The dataset (made when it is new) and a snapshot that begins to be built."""
    policy = context.policy("data")
    name = str(given["dataset"])
    checked_name(name)
    records = context.records
    dataset: DatasetView | None = await records.get("dataset", name)
    if dataset is not None and dataset.state == "archived":
        raise ActionError(
            "Archived", f"dataset {name} is archived: nothing more is built from it", kind="validation", retryable=False
        )
    if dataset is None:
        dataset = await records.create(
            "dataset", declared(given, policy), key=f"dataset/{name}", id=name, reason=str(given.get("reason") or "")
        )
    elif given.get("strata") or given.get("label_schema") or given.get("consent"):
        wanted = declared(given, policy)
        changed = {n: wanted[n] for n in ("strata", "label_schema") if given.get(n)}
        changed |= {"consent_basis": wanted["consent_basis"]} if given.get("consent") else {}
        dataset = await records.change("dataset", name, set=changed, reason="declared anew by its newest campaign")
    earlier: list[SnapshotView] = await records.find("snapshot", where={"dataset": name}, limit=ALL)
    before = newest(earlier)
    mine = next((one for one in earlier if one.run == context.run and one.state == "building"), None)
    version = max((one.version for one in earlier), default=0) + 1 if mine is None else mine.version
    snapshot: SnapshotView = mine or await records.create(
        "snapshot",
        {
            "title": f"{name} v{version}", "dataset": name, "version": version, "line": dataset.line, "purpose": dataset.purpose,
            "region": dataset.region, "licence": dataset.licence, "consent_basis": dataset.consent_basis, "parents": [before.id] if before else [],
            "schema": dataset.label_schema.digest, "split_seed": int(policy["split"]["seed"]),
        },
        key="snapshot",
        id=f"{name}-v{version}",
        reason=str(given.get("reason") or ""),
    )  # fmt: skip
    labels, cover = policy["labels"], policy["coverage"]
    return {
        "snapshot": snapshot.id, "dataset": name, "version": snapshot.version, "before": before.id if before else "",
        "line": dataset.line, "poll_s": float(labels["poll"]), "label_s": float(labels["wait"]),
        "review_s": float(labels["review"]), "collect_s": float(cover["collect"]), "signoff_s": float(policy["signoff"]),
        "decide_s": float(policy["decide"]),
    }  # fmt: skip


async def admit(context: Context, given: Input) -> Json:
    """Lets sessions named by someone (a person, accepted corrections) join the campaign's dataset."""
    snapshot = await snapshot_of(context, given)
    wanted = [str(one) for one in given.get("sessions") or []]
    # what this run read may have been known before, without a dataset or with another one
    wanted += [
        str(one["session"]) for one in given.get("taken") or [] if isinstance(one, dict) and one.get("state") in USABLE
    ]
    wanted += await _corrected(context, [str(one) for one in given.get("corrections") or []])
    joined: list[str] = []
    refused: list[list[str]] = []
    for name in dict.fromkeys(wanted):
        session: SessionView | None = await context.records.get("session", name)
        if session is None:
            refused.append([name, "there is no such session"])
        elif session.state == "withdrawn":
            refused.append([name, "its consent was withdrawn"])
        elif session.dataset not in ("", snapshot.dataset):
            refused.append([name, f"it belongs to {session.dataset}"])
        else:
            if not session.dataset:
                await context.records.change(
                    "session", name, set={"dataset": snapshot.dataset}, reason=f"joins {snapshot.title}"
                )
            joined.append(name)
    sessions = await sessions_of(context, snapshot)
    if not sessions:
        refused.append(["", "no usable session at all: every recording was refused, or none was given"])
    found_funnel = await funnel(context, snapshot)
    await context.records.change("snapshot", snapshot.id, set={"funnel": msgspec.to_builtins(found_funnel)})
    return {
        "snapshot": snapshot.id, "usable": len(sessions), "joined": joined, "refused": refused[:200],
        "funnel": msgspec.to_builtins(found_funnel),
    }  # fmt: skip


async def _corrected(context: Context, corrections: Sequence[str]) -> list[str]:
    """Sessions of these corrections. Where one of them has no dataset yet, those of all others that wait in the same way
    come along: a campaign is opened by the last of several that were accepted together.
    """
    found = [one for name in corrections if (one := await correction_of(context, name)) is not None and one.session]
    sessions = [await context.records.get("session", one.session) for one in found]
    named = [one.session for one in found]
    if any(one is not None and not one.dataset for one in sessions):
        for other in await context.records.find("correction", state="routed", limit=ALL):
            session = (
                await context.records.get("session", other.session)
                if other.session and other.route == "train"
                else None
            )
            if session is not None and not session.dataset and not other.snapshot:
                named.append(other.session)
    return named


# -- reading ---------------------------------------------------------------------------------------------------------


async def snapshot_of(context: Context, given: Input) -> SnapshotView:
    found: SnapshotView | None = await context.records.get("snapshot", str(given.get("snapshot") or ""))
    if found is None:
        raise ActionError(
            "NoSuchSnapshot",
            f"there is no snapshot {str(given.get('snapshot'))[:60]}",
            kind="validation",
            retryable=False,
        )
    return found


async def dataset_of(context: Context, snapshot: SnapshotView) -> DatasetView:
    found: DatasetView | None = await context.records.get("dataset", snapshot.dataset)
    if found is None:
        raise ActionError(
            "NoSuchDataset", f"there is no dataset {snapshot.dataset}", kind="validation", retryable=False
        )
    return found


async def sessions_of(context: Context, snapshot: SnapshotView) -> list[SessionView]:
    """Every session of the dataset that may be used, those of earlier snapshots included, in order of time.

    A recording that is older than the policy's `late` when it comes in by itself does not join: a person admits it.
    """
    late = float(context.policy("data")["coverage"]["late"])
    found: list[SessionView] = await context.records.find(
        "session", state=(*USABLE, "excluded"), where={"dataset": snapshot.dataset}, limit=ALL
    )
    kept = [one for one in found if not _late(one, snapshot, late)]
    return sorted(kept, key=lambda one: (one.start_ns, one.id))


def _late(session: SessionView, snapshot: SnapshotView, late: float) -> bool:
    """Came by itself (no run of ours took it in) during this campaign, and is older than that."""
    by_itself = session.run not in ("", snapshot.run) and session.created_at > snapshot.created_at
    return by_itself and session.state in ("valid", "repaired") and 0 < session.end < snapshot.created_at - late


async def annotations_of(
    context: Context, dataset: str, purposes: Sequence[str] = ("label",)
) -> dict[str, list[AnnotationView]]:
    """Session -> its current annotations of these purposes, oldest first."""
    found: list[AnnotationView] = await context.records.find(
        "annotation", state="current", where={"dataset": dataset}, limit=ALL, order="created_at"
    )
    every: dict[str, list[AnnotationView]] = {}
    for one in found:
        if one.purpose in purposes:
            every.setdefault(one.session, []).append(one)
    return every


async def labels_of(context: Context, snapshot: SnapshotView) -> dict[str, AnnotationView]:
    """Session -> the annotation that counts: the newest of its label task under the dataset's schema."""
    every = await annotations_of(context, snapshot.dataset)
    return {
        session: fitting[-1]
        for session, each in every.items()
        if (fitting := [one for one in each if one.schema == snapshot.schema])
    }


async def corrections_of(context: Context, sessions: Sequence[SessionView]) -> list[Any]:
    """Accepted corrections of these sessions."""
    names = {one.id for one in sessions}
    try:
        found = await context.records.find("correction", state=("routed", "included"), limit=ALL)
    except (ValueError, RecordError):
        return []  # this installation keeps no corrections
    return [one for one in found if getattr(one, "session", "") in names]


async def correction_of(context: Context, name: str) -> Any | None:
    try:
        return await context.records.get("correction", name)
    except (ValueError, RecordError):
        return None


async def reserved_for_evaluation(context: Context, corrections: Sequence[Any]) -> splitting.Reserved:
    """What evaluation packs and corrections routed to evaluation hold."""
    sessions = {one.session for one in corrections if one.route in ("eval", "safety_case")}
    digests: set[str] = set()
    marks: set[str] = set()
    cases = 0
    try:
        packs = await context.records.find("pack", limit=ALL)
    except (ValueError, RecordError):
        packs = []
    for pack in packs:
        if pack.state == "retired":
            continue
        for case in getattr(pack, "cases", ()):
            cases += 1
            sessions |= {name} if (name := str(getattr(case, "session", ""))) else set()
            digests |= {name} if (name := str(getattr(case, "digest", ""))) else set()
            marks |= {name} if (name := str(getattr(case, "fingerprint", ""))) else set()
        digests |= {str(one) for one in getattr(pack, "session_digests", ())}
        sessions |= {str(one) for one in getattr(pack, "sessions", ())}
    for name in list(sessions):
        session = await context.records.get("session", name)
        if session is not None:
            digests |= {session.digest, session.content} - {""}
            marks |= {session.fingerprint, session.trajectory} - {""}
    return splitting.Reserved(
        sessions=frozenset(sessions), digests=frozenset(digests), marks=frozenset(marks), cases=cases + len(sessions)
    )


async def funnel(context: Context, snapshot: SnapshotView) -> Funnel:
    """How many sessions of the dataset came how far, and why the others did not."""
    every: list[SessionView] = await context.records.find("session", where={"dataset": snapshot.dataset}, limit=ALL)
    reasons: dict[str, int] = {}
    for one in every:
        if one.state in ("quarantined", "excluded") and one.code:
            reasons[one.code] = reasons.get(one.code, 0) + 1
    passed = [one for one in every if one.state in (*USABLE, "excluded")]
    return Funnel(
        found=len(every),
        ingested=sum(one.state not in ("discovered",) for one in every),
        valid=len(passed),
        labelled=sum(one.state in ("labelled", "curated", "excluded") for one in every),
        kept=sum(one.state == "curated" for one in every),
        quarantined=sum(one.state == "quarantined" for one in every),
        repaired=sum(one.repairs > 0 and one.state != "quarantined" for one in every),
        duplicates=sum(bool(one.duplicate_of) for one in every),
        reasons=dict(sorted(reasons.items(), key=lambda each: -each[1])[:20]),
    )


async def in_batches(context: Context, changes: Sequence[Change], what: str) -> list[Any]:
    """Many changes in commits of bounded size, with progress."""
    done: list[Any] = []
    for start in range(0, len(changes), BATCH):
        done += await context.records.change_many(changes[start : start + BATCH])
        context.heartbeat({"done": len(done), "of": len(changes), "unit": "records", "what": what})
    return done


def newest(snapshots: Sequence[SnapshotView]) -> SnapshotView | None:
    """The newest finalized one."""
    done = [one for one in snapshots if one.state == "finalized"]
    return max(done, key=lambda one: one.version) if done else None


def rule_of(policy: Mapping[str, Json]) -> Rule:
    given = policy["curation"]
    return Rule(
        name=str(given["rule"]), min_s=float(given["min_length"]), max_s=float(given["max_length"]),
        drop_below=float(given["drop_below"]), least=int(given["least"]), keep_failures=bool(given["keep_failures"]),
        correction_weight=float(given["correction_weight"]), interventions_per_min=float(given["interventions_per_min"]),
        drop_ratio=float(given["drop_ratio"]),
    )  # fmt: skip


def limits_of(policy: Mapping[str, Json], region: str) -> splitting.Limits:
    allowed = policy["residency"]["regions"].get(region) if region else None
    return splitting.Limits(
        bases=frozenset(str(one) for one in policy["consent"]["bases"]),
        licences=frozenset(str(one) for one in policy["licences"]),
        regions=frozenset(str(one) for one in (allowed if allowed is not None else [region] if region else [])),
    )


def checked_name(name: str) -> None:
    """Raises ActionError `BadDataset`."""
    if not _NAME.fullmatch(name):
        raise ActionError(
            "BadDataset", f"{name[:80]!r} can't name a dataset: small letters, digits, dots, dashes; at most 63", kind="validation",
            retryable=False,
        )  # fmt: skip


def declared(given: Mapping[str, Json], policy: Mapping[str, Json]) -> dict[str, Json]:
    """A dataset as its first campaign describes it. Raises ActionError for what can't be."""
    try:
        schema = schema_of(given.get("label_schema") or policy["label_schema"])
    except LabelError as error:
        raise ActionError("BadSchema", str(error), kind="validation", retryable=False) from error
    need = int(policy["coverage"]["need"])
    strata: list[Stratum] = []
    for one in given.get("strata") or []:
        if not isinstance(one, dict) or not isinstance(one.get("dims"), dict) or not one["dims"]:
            raise ActionError(
                "BadStrata",
                "a stratum has `dims`, such as {task: bin-pick, site: HAM2}, and `need`",
                kind="validation",
                retryable=False,
            )
        strata.append(
            Stratum(
                dims={str(k)[:60]: str(v)[:60] for k, v in one["dims"].items()}, need=max(0, int(one.get("need", need)))
            )
        )
    if len({coverage.key(one.dims) for one in strata}) != len(strata):
        raise ActionError("BadStrata", "a stratum is declared twice", kind="validation", retryable=False)
    name = str(given["dataset"])
    return {
        "title": name, "name": name, "purpose": str(given.get("purpose") or ""), "line": str(given.get("line") or ""),
        "owner": str(given.get("owner") or ""), "licence": str(given.get("licence") or ""), "consent_basis": str(given.get("consent") or ""), "region": str(given.get("region") or ""),
        "label_schema": msgspec.to_builtins(schema), "strata": msgspec.to_builtins(strata), "recipe": dict(given.get("recipe") or {}),
    }  # fmt: skip
