"""Computed views of datasets: what is in a snapshot, what changed, whether it still is what was signed, a training's log."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util

import msgspec

from engine.capabilities.data import manifest
from engine.capabilities.data.training import Status
from engine.capabilities.ports import ActionError
from engine.capabilities.reads import Look, Read
from engine.capabilities.vault import VaultError
from engine.contract.datasets import (
    EpisodePage,
    EpisodeRow,
    SnapshotDiff,
    SnapshotProof,
    SnapshotView,
    TrainingLog,
    TrainingView,
)

MOST = 1_000
PIECE = 64 * 1024
LISTED = 500
"""Sessions of a diff that are named; the counts are whole."""


def episodes(look: Look, at: dict[str, str], query: dict[str, str]) -> EpisodePage | None:
    """Kept and left out, each with its reason; `decision` kept or left-out, `split`, `code`, `text` narrow it."""
    snapshot: SnapshotView | None = look.get("snapshot", at["snapshot"])
    if snapshot is None:
        return None
    splits = {one.session: one for one in _episodes(look, snapshot)}
    rows: list[EpisodeRow] = []
    for row in _decisions(look, snapshot):
        held = splits.get(row.session)
        rows.append(
            msgspec.structs.replace(
                row,
                split=held.split,
                weight=held.weight,
                annotation=held.annotation,
                annotation_rev=held.annotation_rev,
            )
            if held
            else row
        )
    for name in ("split", "code"):
        if wanted := query.get(name):
            rows = [row for row in rows if getattr(row, name) == wanted]
    if wanted := query.get("decision"):
        rows = [row for row in rows if row.decision.replace(" ", "-") == wanted.replace(" ", "-")]
    for word in query.get("text", "").lower().split():
        rows = [
            row
            for row in rows
            if word in f"{row.session} {row.robot} {row.site} {row.task} {row.code} {row.split}".lower()
        ]
    rows.sort(key=lambda row: (row.decision == "kept", row.code, row.session))
    limit = min(MOST, int(query["limit"])) if query.get("limit", "").isdigit() else 200
    start = int(query["cursor"]) if query.get("cursor", "").isdigit() else 0
    end = start + limit
    return EpisodePage(
        snapshot=snapshot.id,
        rows=tuple(rows[start:end]),
        total=len(rows),
        next=str(end) if end < len(rows) else None,
        as_of=look.now(),
    )


def diff(look: Look, at: dict[str, str], query: dict[str, str]) -> SnapshotDiff | None:
    """Against the snapshot it was built after, or against `before`."""
    snapshot: SnapshotView | None = look.get("snapshot", at["snapshot"])
    if snapshot is None:
        return None
    name = query.get("before") or (snapshot.parents[0] if snapshot.parents else "")
    before: SnapshotView | None = look.get("snapshot", name) if name else None
    now = {one.session: one for one in _episodes(look, snapshot)}
    old = {one.session: one for one in _episodes(look, before)} if before else {}
    both = sorted(now.keys() & old.keys())
    cells = {one.key: one.have for one in before.coverage} if before else {}
    return SnapshotDiff(
        snapshot=snapshot.id,
        before=before.id if before else "",
        added=tuple(sorted(now.keys() - old.keys())[:LISTED]),
        removed=tuple(sorted(old.keys() - now.keys())[:LISTED]),
        relabelled=tuple(one for one in both if now[one].labels != old[one].labels)[:LISTED],
        moved=tuple(one for one in both if now[one].split != old[one].split)[:LISTED],
        cells=tuple(
            (one.key, cells.get(one.key, 0), one.have) for one in snapshot.coverage if cells.get(one.key, 0) != one.have
        ),
    )


def proof(look: Look, at: dict[str, str], query: dict[str, str]) -> SnapshotProof | None:
    """Hashes it again."""
    snapshot: SnapshotView | None = look.get("snapshot", at["snapshot"])
    if snapshot is None:
        return None
    if not snapshot.episodes_digest:
        return SnapshotProof(snapshot=snapshot.id, root_digest="", problem="it is not frozen yet")
    try:
        whole = look.vault.verify(snapshot.episodes_digest) and look.vault.verify(snapshot.manifest)
        held = manifest.read(look.vault.read(snapshot.episodes_digest, limit=1 << 32))
    except (VaultError, OSError, msgspec.DecodeError) as error:
        return SnapshotProof(snapshot=snapshot.id, root_digest=snapshot.root_digest, problem=str(error)[:300])
    found = manifest.root_digest(held)
    ok = whole and found == snapshot.root_digest
    return SnapshotProof(
        snapshot=snapshot.id, root_digest=snapshot.root_digest, found=found, ok=ok, episodes=len(held),
        problem="" if ok else "what is kept is not what was signed",
    )  # fmt: skip


def log(look: Look, at: dict[str, str], query: dict[str, str]) -> TrainingLog | None:
    """A piece of the log from byte `offset` (negative: so many from the end), live while it runs."""
    training: TrainingView | None = look.get("training", at["training"])
    if training is None:
        return None
    ended = training.state in ("succeeded", "failed", "cancelled")
    asked = query.get("offset", "0")
    offset = int(asked) if asked.lstrip("-").isdigit() and len(asked) < 19 else 0
    if training.log and ended:
        data = look.vault.read(training.log, limit=1 << 32)
        start = max(0, len(data) + offset) if offset < 0 else offset
        piece = data[start : start + PIECE]
        return TrainingLog(
            training=training.id,
            offset=start,
            next=start + len(piece),
            text=piece.decode("utf-8", "replace"),
            ended=start + len(piece) >= len(data),
        )
    launcher = getattr(look, "ports", {}).get("training")
    if launcher is None or not training.job:
        return TrainingLog(training=training.id, ended=ended)

    async def read() -> tuple[Status, int, bytes]:
        status: Status = await launcher.status(training.job)
        start = max(0, status.log_bytes + offset) if offset < 0 else offset
        return status, start, await launcher.log(training.job, start, PIECE)

    try:
        status, start, piece = asyncio.run(read())
    except ActionError as error:
        return TrainingLog(training=training.id, text=f"the log can't be read: {error.message}", ended=ended)
    return TrainingLog(
        training=training.id, offset=start, next=start + len(piece), text=piece.decode("utf-8", "replace"), ended=ended and not piece,
        live=not ended, done=status.done, of=status.of, unit=status.unit, spent_s=status.spent_s, metrics=status.metrics,
    )  # fmt: skip


def _episodes(look: Look, snapshot: SnapshotView | None) -> list[manifest.Episode]:
    if snapshot is None or not snapshot.episodes_digest:
        return []
    return manifest.read(look.vault.read(snapshot.episodes_digest, limit=1 << 32))


def _decisions(look: Look, snapshot: SnapshotView) -> list[EpisodeRow]:
    if not snapshot.selection:
        return []
    decode = msgspec.json.Decoder(EpisodeRow).decode
    return [decode(line) for line in look.vault.read(snapshot.selection, limit=1 << 32).splitlines() if line]


def _sessions() -> tuple[Read, ...]:
    """Those of recordings stand in a module of their own."""
    name = f"{__package__}.reads_sessions"
    found: tuple[Read, ...] = importlib.import_module(name).READS if importlib.util.find_spec(name) else ()
    return found


READS: tuple[Read, ...] = (
    *_sessions(),
    Read(
        path="/v1/snapshots/{snapshot}/episodes", shape=EpisodePage, says="What is in a snapshot and what was left out.",
        queries=("decision", "split", "code", "text", "cursor", "limit"), give=episodes,
    ),
    Read(path="/v1/snapshots/{snapshot}/diff", shape=SnapshotDiff, says="What changed since the one before.", queries=("before",), give=diff),
    Read(path="/v1/snapshots/{snapshot}/proof", shape=SnapshotProof, says="Whether it still is what was signed.", give=proof),
    Read(path="/v1/trainings/{training}/log", shape=TrainingLog, says="A piece of a training's log.", queries=("offset",), give=log),
)  # fmt: skip
