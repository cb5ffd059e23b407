"""The label queue: which sessions need labels, and whether what a person hands in is complete and possible."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.contract.datasets import Label, LabelField, LabelSchema
from engine.contract.sessions import SessionView

Json = Any
KINDS = ("span", "value", "number")


class LabelError(Exception):
    """Labels that can't be taken: which, and what would be right. `field` names the place, `labels[3].t1`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def schema_of(given: Mapping[str, Json]) -> LabelSchema:
    """A schema as data, checked and with its digest. Raises LabelError."""
    try:
        schema = msgspec.convert(dict(given), LabelSchema, strict=False)
    except msgspec.ValidationError as error:
        raise LabelError("label_schema", f"not a label schema: {error}") from error
    if not schema.fields:
        raise LabelError("label_schema.fields", "a label schema asks for at least one label")
    seen: set[str] = set()
    for one in schema.fields:
        if one.kind not in KINDS or one.name in seen or not one.name:
            raise LabelError(
                "label_schema.fields", f"{one.name or 'a label'}: a name once, and one of {', '.join(KINDS)}"
            )
        if one.kind != "number" and not one.values:
            raise LabelError("label_schema.fields", f"{one.name}: which values may it have?")
        seen.add(one.name)
    plain = msgspec.json.encode({"name": schema.name, "version": schema.version, "fields": schema.fields})
    return msgspec.structs.replace(schema, digest=f"sha256:{hashlib.sha256(plain).hexdigest()}")


def checked(
    schema: LabelSchema, labels: Sequence[Label], *, duration_s: float, edge: float, most: int
) -> tuple[Label, ...]:
    """The labels in order of time. Raises LabelError for the first thing that is missing or can't be."""
    if len(labels) > most:
        raise LabelError("labels", f"{len(labels)} labels are more than the {most} one session may have")
    known = {one.name: one for one in schema.fields}
    for i, label in enumerate(labels):
        field = known.get(label.name)
        if field is None:
            raise LabelError(f"labels[{i}].name", f"{label.name[:60]!r} is not asked for; {', '.join(known)} are")
        _fits(f"labels[{i}]", field, label, duration_s, edge)
    for field in schema.fields:
        mine = sorted((one for one in labels if one.name == field.name), key=lambda one: one.t0)
        if field.required and not mine:
            raise LabelError("labels", f"{field.title or field.name} is missing, and required")
        if field.kind != "span" and len(mine) > 1:
            raise LabelError("labels", f"{field.name} is said once of a session, here {len(mine)} times")
        if field.kind == "span" and field.covers and mine:
            _covers(field, mine, duration_s, edge)
    return tuple(sorted(labels, key=lambda one: (one.t0, one.name)))


def overlap_of(sessions: Sequence[SessionView], *, share: float, least: int, seed: str) -> frozenset[str]:
    """Which sessions a second person labels, too: a share, at least so many, drawn so that nobody can foresee or steer it
    and a repeat draws the same."""
    wanted = min(len(sessions), max(least, math.ceil(share * len(sessions))))
    return frozenset(one.id for one in sorted(sessions, key=lambda each: _dice(seed, each.id))[:wanted])


def drawn(candidates: Sequence[tuple[str, int]], *, need: int, seed: str) -> list[str]:
    """Annotations to audit, (id, labels in it), at random until `need` labels are covered."""
    found: list[str] = []
    covered = 0
    for name, count in sorted(candidates, key=lambda each: _dice(seed, each[0])):
        if covered >= need:
            break
        found.append(name)
        covered += count
    return found


def pseudonym(person: str, salt: str) -> str:
    """The name an annotator has in a dataset: the same person the same name, and not the person's."""
    return f"annotator-{hashlib.sha256(f'{salt}/{person}'.encode()).hexdigest()[:8]}"


def hints(session: SessionView) -> tuple[Label, ...]:
    """What the recording itself says about phases, for a person to start from."""
    return tuple(
        Label(name="phase", value=mark.text or mark.kind, t0=mark.t0, t1=mark.t1, confidence=0.5)
        for mark in session.marks
        if mark.kind in ("phase", "intervention") and mark.t1 >= mark.t0
    )


def _fits(where: str, field: LabelField, label: Label, duration_s: float, edge: float) -> None:
    if field.kind == "number":
        try:
            number = float(label.value)
        except ValueError as error:
            raise LabelError(f"{where}.value", f"{field.name} is a number, not {label.value[:40]!r}") from error
        low, high = field.minimum, field.maximum
        if not math.isfinite(number) or (low is not None and number < low) or (high is not None and number > high):
            raise LabelError(f"{where}.value", f"{field.name} lies between {low} and {high}")
    elif label.value not in field.values:
        raise LabelError(
            f"{where}.value", f"{field.name} is one of {', '.join(field.values)}, not {label.value[:40]!r}"
        )
    if not (math.isfinite(label.t0) and math.isfinite(label.t1) and 0.0 <= label.confidence <= 1.0):
        raise LabelError(where, "times are numbers, and confidence lies between 0 and 1")
    if field.kind == "span":
        if not 0.0 <= label.t0 < label.t1:
            raise LabelError(
                f"{where}.t1",
                f"{field.name} {label.value}: a span ends after it begins ({label.t0:g} to {label.t1:g} s)",
            )
        if label.t1 > duration_s + edge:
            raise LabelError(
                f"{where}.t1",
                f"{field.name} {label.value} ends at {label.t1:g} s; the session is {duration_s:.1f} s long",
            )
    elif label.t0 >= 0 or label.t1 >= 0:
        raise LabelError(f"{where}.t0", f"{field.name} is said of the whole session: no times")


def _covers(field: LabelField, spans: Sequence[Label], duration_s: float, edge: float) -> None:
    at = 0.0
    for one in spans:
        if one.t0 > at + edge:
            raise LabelError("labels", f"{field.name}: nothing is said of {at:.1f} to {one.t0:.1f} s")
        if one.t0 < at - edge:
            raise LabelError("labels", f"{field.name}: two spans overlap at {one.t0:.1f} s")
        at = one.t1
    if at < duration_s - edge:
        raise LabelError("labels", f"{field.name}: nothing is said of {at:.1f} to {duration_s:.1f} s")


def _dice(seed: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{name}".encode()).digest()
