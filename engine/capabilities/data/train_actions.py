"""Training a finalized snapshot: submitted once, followed to its end, gone on with after a preemption.

Rules: nothing is trained on that was not finalized; every episode's content is hashed again before it is used; the same
snapshot, recipe and seed with a checkpoint already there is not trained twice; a checkpoint counts by the digest of its
bytes, and is kept in the vault before anyone is told of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.data import manifest
from engine.capabilities.data.campaign import Input, correction_of, dataset_of, snapshot_of
from engine.capabilities.data.training import ENDED, Spec, Status, Training, Written
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Emit
from engine.capabilities.vault import Kept, VaultError
from engine.contract.datasets import SnapshotView, TrainingView
from engine.contract.sessions import SessionView

Json = Any
SESSIONS_TOLD = 2_000
"""Digests of training sessions that the event carries; the snapshot has all."""
LOG_TAIL = 4_000
RESUME_S = 1.0


async def submit(context: Context, given: Input) -> Json:
    """Prepares the data, makes the record, and hands the job to the launcher."""
    snapshot = await snapshot_of(context, given)
    if snapshot.state not in ("finalized",):
        raise ActionError(
            "NotFinalized",
            f"{snapshot.title} is {snapshot.state}: only a finalized snapshot is trained on",
            kind="conflict",
            retryable=False,
        )
    rules = context.policy("data")["training"]
    dataset = await dataset_of(context, snapshot)
    recipe = {**rules["recipe"], **(given.get("recipe") or dataset.recipe)}
    recipe.setdefault("line", snapshot.line or snapshot.dataset)
    begins = str(
        given.get("base") or recipe.pop("base", "") or ""
    )  # a digest: what stands behind it is the vault's to know
    recipe.pop("base", None)
    version = str(recipe.pop("version", ""))  # what the model will be part of; no setting of the program
    program = str(recipe.pop("program", "") or rules["program"])
    allowed: Mapping[str, Json] = rules["programs"]
    if program not in allowed:
        known = ", ".join(sorted(allowed)) or "none"
        raise ActionError(
            "NoSuchProgram",
            f"no training program {program!r}; the policy pack `data` allows {known}",
            kind="configuration",
            retryable=False,
        )
    digest = recipe_digest(program, recipe)
    seed = int(given.get("seed") or 0)
    pool = str(given.get("pool") or rules["pool"])
    if int(given.get("attempt") or 1) == 1 and (same := await _same(context, snapshot, digest, seed, begins)):
        return _said(same)
    training: TrainingView = await context.records.create(
        "training",
        {
            "title": f"{snapshot.title} seed {seed}", "snapshot": snapshot.id, "root_digest": snapshot.root_digest,
            "dataset": snapshot.dataset, "line": str(recipe["line"]), "program": program, "version": version, "recipe": recipe, "recipe_digest": digest,
            "base_digest": begins, "seed": seed, "pool": pool, "budget_s": float(given.get("budget_s") or rules["budget"]),
            "launcher": pool, "tries": int(given.get("attempt") or 1),
        },
        key=f"training/{context.key}",
        reason=str(given.get("reason") or ""),
    )  # fmt: skip
    if training.job or training.state != "submitted":
        return _said(training)
    launcher: Training = context.port("training")
    with tempfile.TemporaryDirectory(prefix="qd-training-") as folder:
        try:
            count = await _prepared(
                context,
                snapshot,
                Path(folder),
                rehash=bool(rules["rehash"]),
                weight=float(context.policy("data")["curation"]["correction_weight"]),
            )
            base = await asyncio.to_thread(context.vault.path, training.base_digest) if training.base_digest else ""
            spec = Spec(
                training=training.id, argv=tuple(allowed[program]["argv"]), resume=tuple(allowed[program].get("resume", ())),
                data=folder, recipe=recipe, seed=seed, root_digest=snapshot.root_digest, base=str(base), pool=pool,
                budget_s=training.budget_s, grace_s=float(rules["grace"]), max_log=int(rules["max_log"]),
                max_checkpoint=int(rules["max_checkpoint"]),
            )  # fmt: skip
            job = await launcher.submit(spec, key=_key(context, training))
        except (ActionError, VaultError, OSError) as error:
            name, why = (error.error, error.message) if isinstance(error, ActionError) else ("NotPrepared", str(error))
            if isinstance(error, ActionError) and error.retryable:
                raise
            await context.records.change(
                "training", training.id, to="failed", set={"error": name, "message": why[:500]}, reason=why
            )
            raise ActionError(name, why, kind="validation", retryable=False) from error
    training = await context.records.change(
        "training", training.id, set={"job": job, "of": 0}, reason=f"{count} episodes handed over"
    )
    return _said(training)


async def follow(context: Context, given: Input) -> Json:
    """Watches a training to its end. Preempted, it goes on from its newest checkpoint, at most as often as the policy says."""
    training = await training_of(context, given)
    rules = context.policy("data")["training"]
    launcher: Training = context.port("training")
    most, poll = int(rules["preemptions"]), float(rules["poll"])
    while training.state not in ("succeeded", "failed", "cancelled"):
        status = await launcher.status(training.job)
        if context.cancelled() and status.state not in ENDED:
            await launcher.cancel(training.job)
        context.heartbeat(
            {"done": status.done, "of": status.of, "unit": status.unit or "steps", "what": f"{training.id} {status.what}".strip(),
             "loss": status.metrics.get("loss"), "spent_s": status.spent_s, "training": training.id}
        )  # fmt: skip
        training = await _noted(context, training, status)
        if status.state == "preempted":
            if context.cancelled():
                await launcher.cancel(training.job)
            elif training.preemptions > most:
                why = f"preempted {training.preemptions} times; the policy allows {most}"
                await launcher.cancel(training.job)
                training = await _ended(context, training, status, "failed", "PreemptedTooOften", why)
            else:
                await asyncio.sleep(RESUME_S)
                await launcher.resume(training.job)
        elif status.state == "succeeded":
            training = await _succeeded(context, launcher, training, status)
        elif status.state in ("failed", "cancelled"):
            training = await _ended(context, training, status, status.state, status.error, status.message)
        else:
            await asyncio.sleep(poll)
    if training.state == "succeeded":
        return _said(training)
    error = "TrainingCancelled" if training.state == "cancelled" else "TrainingFailed"
    raise ActionError(
        error,
        f"{training.id} {training.state}: {training.error or training.state}: {training.message}",
        retryable=False,
        detail=_said(training),
    )


async def stop(context: Context, given: Input) -> Json:
    """Ends what this run still trains: nothing goes on computing for a run that is over."""
    launcher: Training = context.port("training")
    stopped = []
    for training in await context.records.find("training", state=("submitted", "running", "preempted"), limit=1_000):
        if training.run == context.run:
            try:
                # The job may be there without our knowing: whoever handed it over died, or was not answered.
                await launcher.cancel(training.job or launcher.job_of(_key(context, training)))
            except ActionError as error:
                if error.error != "NoSuchJob":
                    raise
            why = str(given.get("reason") or "the run ended")[:500]
            await context.records.change(
                "training", training.id, to="cancelled", set={"error": "Cancelled", "message": why}, reason=why
            )
            stopped.append(training.id)
    return {"stopped": stopped}


def _key(context: Context, training: TrainingView) -> str:
    """What a job is asked for with. Hosts and clusters are shared, and each installation counts its runs from one."""
    return f"{context.installation}/{context.run}/{training.id}"


def recipe_digest(program: str, recipe: Mapping[str, Json]) -> str:
    plain = msgspec.json.encode({"program": program, "recipe": recipe}, order="sorted")
    return f"sha256:{hashlib.sha256(plain).hexdigest()}"


async def training_of(context: Context, given: Input) -> TrainingView:
    found: TrainingView | None = await context.records.get("training", str(given.get("training") or ""))
    if found is None:
        raise ActionError(
            "NoSuchTraining",
            f"there is no training {str(given.get('training'))[:60]}",
            kind="validation",
            retryable=False,
        )
    return found


# -- before ------------------------------------------------------------------------------------------------------------


async def _prepared(context: Context, snapshot: SnapshotView, folder: Path, *, rehash: bool, weight: float) -> int:
    """Writes `episodes.jsonl`: where each episode lies, its split and weight. Contents are hashed again on the way."""
    from engine.capabilities.data.formats import locate

    data = await asyncio.to_thread(context.vault.read, snapshot.episodes_digest, limit=1 << 32)
    episodes = manifest.read(data)
    if manifest.root_digest(episodes) != snapshot.root_digest:
        raise ActionError(
            "SnapshotChanged",
            f"{snapshot.title} no longer hashes to {snapshot.root_digest}",
            kind="conflict",
            retryable=False,
        )
    lines: list[bytes] = []
    checked: set[str] = set()
    for number, one in enumerate(episodes):
        session: SessionView | None = await context.records.get("session", one.session)
        if session is None or session.state == "withdrawn":
            raise ActionError(
                "SessionWithdrawn", f"{one.session} may no longer be used", kind="conflict", retryable=False
            )
        verify = rehash and (one.container or one.content) not in checked
        path = await asyncio.to_thread(locate, context.vault, session, verify=verify)
        checked.add(one.container or one.content)
        if one.episode >= 0:
            path = await asyncio.to_thread(_table, path, one.episode)
        line: dict[str, Json] = {
            "episode": one.session,
            "split": one.split,
            "task": one.task,
            "weight": one.weight,
            "file": str(path),
        }
        if one.episode >= 0:
            line["episode_index"] = one.episode
        lines.append(msgspec.json.encode(line))
        for name in one.corrections:
            window = await _window(context, name)
            if window is not None:
                lines.append(
                    msgspec.json.encode(
                        {"episode": name, "split": one.split, "task": one.task, "weight": weight, "file": str(window)}
                    )
                )
        context.heartbeat(
            {"done": number + 1, "of": len(episodes), "unit": "episodes", "what": "checking contents before training"}
        )
    await asyncio.to_thread((folder / "episodes.jsonl").write_bytes, b"\n".join(lines) + b"\n")
    return len(episodes)


def _table(folder: Path, episode: int) -> Path:
    """The table of a LeRobot data set that holds an episode's rows."""
    from engine.capabilities.data.lerobot import DATA_PATH, open_dataset

    held = next(one for one in open_dataset(folder, rooted=False).episodes if one.index == episode)
    return folder / DATA_PATH.format(chunk_index=held.chunk, file_index=held.file)


async def _same(context: Context, snapshot: SnapshotView, recipe: str, seed: int, base: str) -> TrainingView | None:
    """A training of the same content, recipe, seed and beginning that succeeded, and whose checkpoint still is here."""
    found: list[TrainingView] = await context.records.find(
        "training", state="succeeded", where={"recipe_digest": recipe, "seed": seed}, limit=1_000
    )
    for one in found:
        mark = one.checkpoint
        if (
            (one.root_digest, one.base_digest) == (snapshot.root_digest, base)
            and mark
            and context.vault.has(mark.digest)
        ):
            return one
    return None


async def _window(context: Context, correction: str) -> Path | None:
    """The clip of a correction, as it was cut out and kept."""
    found = await correction_of(context, correction)
    digest = getattr(getattr(found, "window", None), "digest", "")
    return context.vault.path(digest) if digest and context.vault.has(digest) else None


# -- while it runs -----------------------------------------------------------------------------------------------------


async def _noted(context: Context, training: TrainingView, status: Status) -> TrainingView:
    """What changed is kept: that it began, was preempted, wrote a checkpoint. Progress alone is shown, not recorded."""
    seen = {
        "done": status.done,
        "of": status.of,
        "unit": status.unit,
        "spent_s": status.spent_s,
        "metrics": status.metrics,
    }
    marks = [_mark(one) for one in status.checkpoints]
    if training.state == "submitted":
        data = {
            "training": training.id,
            "snapshot": training.snapshot,
            "seed": training.seed,
            "recipe_digest": training.recipe_digest,
        }
        training = await context.records.change(
            "training",
            training.id,
            to="running",
            set=seen,
            reason=f"job {training.job}",
            emit=(Emit("qd.training.started", data),),
        )
    if status.state == "preempted" and training.state == "running":
        more = {**seen, "checkpoints": marks, "preemptions": training.preemptions + 1, "message": status.message}
        training = await context.records.change(
            "training", training.id, to="preempted", set=more, reason=status.message
        )
    if status.state == "running" and training.state == "preempted":
        said = f"resumed after {training.preemptions} preemptions"
        training = await context.records.change("training", training.id, to="running", set=seen, reason=said)
    if status.state == "succeeded" and training.state == "preempted":
        training = await context.records.change("training", training.id, to="running", set=seen, reason="resumed")
    if marks != msgspec.to_builtins(training.checkpoints) and status.state == "running":
        training = await context.records.change("training", training.id, set={**seen, "checkpoints": marks})
    return training


async def _succeeded(context: Context, launcher: Training, training: TrainingView, status: Status) -> TrainingView:
    result = status.result
    if result is None:
        return await _ended(context, training, status, "failed", "NoCheckpoint", "it succeeded without a checkpoint")
    path = await launcher.fetch(training.job, result.name)
    name = f"{training.line}-{training.id}{path.suffix}"
    kept = await asyncio.to_thread(
        context.vault.put_file, path, media="application/octet-stream", source=f"training/{training.id}", name=name
    )
    if kept.digest != result.digest:
        why = f"the checkpoint that came is {kept.digest}, the launcher said {result.digest}"
        return await _ended(context, training, status, "failed", "CheckpointMismatch", why)
    log = await _kept_log(context, launcher, training, status)
    snapshot = await snapshot_of(context, {"snapshot": training.snapshot})
    episodes = manifest.read(await asyncio.to_thread(context.vault.read, snapshot.episodes_digest, limit=1 << 32))
    data = {
        "training": training.id, "checkpoint": {"digest": kept.digest, "size": kept.size}, "snapshot": training.snapshot,
        "root_digest": training.root_digest, "recipe_digest": training.recipe_digest, "seed": training.seed, "line": training.line, "version": training.version,
        "base_digest": training.base_digest, "metrics": status.metrics, "corrections": list(snapshot.corrections),
        "sessions": [one.digest for one in episodes if one.split == "train"][:SESSIONS_TOLD],
    }  # fmt: skip
    fields = {
        "checkpoint": {"digest": kept.digest, "size": kept.size, "step": result.step, "name": name}, "spent_s": status.spent_s,
        "checkpoints": [_mark(one) for one in status.checkpoints], "metrics": status.metrics, "done": status.done, "of": status.of,
        "unit": status.unit, "log": log, "message": "",
    }  # fmt: skip
    done: TrainingView = await context.records.change(
        "training",
        training.id,
        to="succeeded",
        set=fields,
        reason=f"checkpoint {kept.digest}",
        emit=(Emit("qd.training.completed", data),),
    )
    await launcher.forget(training.job)
    return done


async def _ended(  # noqa: PLR0917
    context: Context, training: TrainingView, status: Status, state: str, error: str, message: str
) -> TrainingView:
    launcher: Training = context.port("training")
    log = await _kept_log(context, launcher, training, status)
    fields = {
        "error": error, "message": message[:500], "spent_s": status.spent_s, "log": log, "metrics": status.metrics,
        "checkpoints": [_mark(one) for one in status.checkpoints], "done": status.done, "of": status.of, "unit": status.unit,
    }  # fmt: skip
    data = {
        "training": training.id,
        "snapshot": training.snapshot,
        "error": error,
        "message": message[:500],
        "seed": training.seed,
    }
    done: TrainingView = await context.records.change(
        "training", training.id, to=state, set=fields, reason=message or error,
        emit=(Emit("qd.training.failed", data),) if state == "failed" else (),
    )  # fmt: skip
    return done


async def _kept_log(context: Context, launcher: Training, training: TrainingView, status: Status) -> str:
    """The whole log, as evidence."""
    pieces, at = [], 0
    while at < status.log_bytes and (piece := await launcher.log(training.job, at, 1 << 20)):
        pieces.append(piece)
        at += len(piece)
    if not pieces:
        return ""
    kept: Kept = await asyncio.to_thread(
        context.vault.put_bytes,
        b"".join(pieces),
        media="text/plain",
        source=f"training/{training.id}",
        name=f"{training.id}.log",
    )
    return kept.digest


def _mark(one: Written) -> dict[str, Json]:
    return {
        "digest": one.digest,
        **({"size": one.size} if one.size else {}),
        **({"step": one.step} if one.step else {}),
        "name": one.name,
    }


def _said(training: TrainingView) -> Json:
    checkpoint = training.checkpoint
    return {
        "training": training.id, "state": training.state, "recipe_digest": training.recipe_digest, "seed": training.seed,
        "checkpoint": {"digest": checkpoint.digest, "size": checkpoint.size} if checkpoint else {}, "spent_s": training.spent_s,
        "metrics": training.metrics, "preemptions": training.preemptions, "error": training.error, "line": training.line,
    }  # fmt: skip
