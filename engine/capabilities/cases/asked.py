"""What the verbs on cases and problems are given."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from engine.capabilities.desk import Args, Given, Name, Short, Text

Rank = Annotated[int, Meta(ge=0, le=3)]
Words = Annotated[str, Meta(min_length=1, max_length=500)]


class OpenCase(Args, frozen=True, kw_only=True):
    robot: Name
    symptom: Words
    mode: Short = ""
    component: Short = ""
    impact: Rank = 0
    urgency: Rank = 0
    safety_related: bool = False
    source: Short = "operator"
    external_ref: Short = ""


class Nothing(Args, frozen=True, kw_only=True):
    pass


class Because(Args, frozen=True, kw_only=True):
    reason: Given


class Hold(Args, frozen=True, kw_only=True):
    reason: Short
    ref: Given
    hours: Annotated[float, Meta(gt=0, le=10_000)] | None = None


class AddNote(Args, frozen=True, kw_only=True):
    text: Given


class Step(Args, frozen=True, kw_only=True):
    step: Annotated[int, Meta(ge=1, le=100)]
    value: Short = ""


class Coding(Args, frozen=True, kw_only=True):
    mode: Short = ""
    mechanism: Short = ""
    cause: Short = ""
    detection: Short = ""
    item: Short = ""
    resolution: Text = ""
    parts: tuple[str, ...] = ()
    calibration: Short = ""


class Check(Args, frozen=True, kw_only=True):
    done: tuple[str, ...]


class Escalate(Args, frozen=True, kw_only=True):
    level: Short = ""
    reason: Given


class Weigh(Args, frozen=True, kw_only=True):
    impact: Annotated[int, Meta(ge=1, le=3)]
    urgency: Annotated[int, Meta(ge=1, le=3)]
    safety_related: bool | None = None
    reason: Given


class Link(Args, frozen=True, kw_only=True):
    problem: Name


class Merge(Args, frozen=True, kw_only=True):
    into: Name


class KnownError(Args, frozen=True, kw_only=True):
    workaround: Given


class FixIn(Args, frozen=True, kw_only=True):
    fix_in: Name


class Attach(Args, frozen=True, kw_only=True):
    """`content` is base64; what is larger than that is kept where it is and named in a note."""

    name: Name
    content: Annotated[str, Meta(min_length=1, max_length=700_000)]
    media: Short = "application/octet-stream"
