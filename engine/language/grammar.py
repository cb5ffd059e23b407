"""The grammar as one table of shapes: what may stand where in a definition. The loader and the JSON Schema are read off it.

Closed everywhere: a key that is not in the table is a finding. What a table can't say (graph, names, types) is in
`graph.py`, `names.py` and `typing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.language import document
from engine.language.document import Node
from engine.language.findings import nearest, quoted
from engine.language.shapes import (
    BAD,
    Any_,
    Boolean,
    Cel,
    Duration,
    Either,
    ListOf,
    MapOf,
    Number,
    Reader,
    Record,
    Shape,
    Text,
    Word,
)

STEP_NAME = r"[a-z][a-z0-9_]{0,62}"
WORKFLOW_NAME = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
DOTTED = r"[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*"
IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"

TARGET = Text("a step's name, done or fail", STEP_NAME)
ERROR = Text("the name of an error", rf"{IDENTIFIER}|\*")
RAISED = Text("the name of an error", IDENTIFIER)
EVENT = Text("the name of an event", DOTTED)
ACTION = Text("the name of an action", DOTTED)
ROLE = Text("the name of a role", DOTTED)
WINDOW = Text("the name of a window", DOTTED)
TITLE = Text("a title", limit=200)
SENTENCE = Text("text", template=True)
VALUES = MapOf(Any_(template=True), IDENTIFIER, "a name")

TYPE = Word(("string", "integer", "number", "boolean", "array", "object"))


class Field(Shape):
    """A typed field in the words of JSON Schema. A form's default may be a template, an input's may not."""

    def __init__(self, *, template: bool) -> None:
        self.keys: dict[str, Shape] = {
            "type": TYPE,
            "title": TITLE,
            "description": Text("a description", limit=2_000),
            "enum": ListOf(Any_(), least=1),
            "pattern": Text("a regular expression", limit=512),
            "minimum": Number(whole=False),
            "maximum": Number(whole=False),
            "default": Any_(template=template),
            "required": Boolean(),
        }
        self.record = Record(self.keys | {"items": self}, required=("type",), what="a field")

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        return self.record.read(node, field, reader)

    def schema(self) -> dict[str, Any]:
        return {"$ref": "#/$defs/field"}

    def definition(self) -> dict[str, Any]:
        return self.record.schema()


INPUT = Field(template=False)
FORM_FIELD = Field(template=True)

RETRY = Record(
    {
        "attempts": Number(1, 1_000),
        "first": Duration(zero=True),
        "factor": Number(1, 100, whole=False),
        "cap": Duration(),
        "jitter": Word(("full", "none")),
        "never": ListOf(RAISED),
    },
    what="retry",
)
ESCALATE = Record(
    {"role": ROLE, "expires": Duration(), "runbook": Text("a runbook")}, required=("role",), what="escalate"
)
CATCH = ListOf(
    Record(
        {
            "error": ListOf(ERROR, least=1, single=True),
            "when": Cel("boolean", ("error",)),
            "goto": TARGET,
            "raise": RAISED,
        },
        required=("error",),
        one_of=("goto", "raise"),
        what="catch",
    )
)
INTERRUPT = ListOf(
    Record(
        {"event": EVENT, "filter": Cel("boolean", ("event",)), "goto": TARGET, "raise": RAISED},
        required=("event",),
        one_of=("goto", "raise"),
        what="interrupt",
    )
)
END = Record({"goto": TARGET, "raise": RAISED}, one_of=("goto", "raise"))
EXPIRY = Record(
    {"goto": TARGET, "raise": RAISED, "escalate": ROLE, "expires": Duration()},
    one_of=("goto", "raise"),
    needs={"escalate": ("expires",), "expires": ("escalate",)},
    what="on_timeout",
)
COMPENSATE = Record(
    {"action": ACTION, "with": VALUES, "retry": RETRY, "timeout": Duration()}, required=("action",), what="compensate"
)
SEAT = Record(
    {
        "role": ROLE,
        "group": Text("the name of a group"),
        "person": Text("the name of a person"),
        "count": Number(1, 50),
        "when": Cel("boolean"),
    },
    one_of=("role", "group", "person"),
    what="a seat",
)
WAIT = Record(
    {
        "for": Duration(template=True),
        "until": Text("a time", template=True, gives="time"),
        "event": EVENT,
        "filter": Cel("boolean", ("event",)),
        "correlate": Cel("any", ("event",)),
    },
    one_of=("for", "until", "event"),
    needs={"filter": ("event",), "correlate": ("event",)},
    what="wait",
)
LIMITS = Record(
    {"fail": Number(0, 10_000), "unsure": Number(0, 10_000), "error_in_a_row": Number(1, 10_000)}, what="limits"
)


class Path(Cel):
    """A plain dotted path, such as steps.preflight.output."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if isinstance(node, document.Scalar) and not re.fullmatch(rf"{IDENTIFIER}(?:\.{IDENTIFIER})+", node.text):
            return reader.bad(node.line, field, f"{quoted(node.text)} is not a path", "such as steps.preflight.output")
        return super().read(node, field, reader)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": rf"^{IDENTIFIER}(?:\.{IDENTIFIER})+$"}


class Steps(Shape):
    """A mapping from step names to steps, in the order they follow each other."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        return _NAMED_STEPS.read(node, field, reader)

    def schema(self) -> dict[str, Any]:
        return {"$ref": "#/$defs/steps"}

    def definition(self) -> dict[str, Any]:
        return _NAMED_STEPS.schema()


class Step(Shape):
    """One step: exactly one of the eight kinds, and the keys that kind knows."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if not isinstance(node, document.Mapping):
            return reader.bad(
                node.line, field, f"a step is a mapping, not {document.kind(node)}", "such as {action: name}"
            )
        kinds = [kind for kind in KINDS if kind in node.entries]
        if len(kinds) != 1:
            told = "a step is exactly one of " + ", ".join(KINDS)
            if kinds:
                return reader.bad(
                    node.line, field, f"{told}; here stand {' and '.join(kinds)}", "split it into two steps"
                )
            near = [
                f"did you mean {word!r}?"
                for key in node.entries
                if key not in ALL_KEYS and (word := nearest(key, KINDS))
            ]
            return reader.bad(node.line, field, f"{told}; here stands none", near[0] if near else "add one")
        before, reader.owner = reader.owner, _id(field)
        try:
            values = KINDS[kinds[0]].read(node, field, reader)
        finally:
            reader.owner = before
        return BAD if values is BAD else {"kind": kinds[0], "line": node.line, "values": values}

    def schema(self) -> dict[str, Any]:
        return {"oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in KINDS]}


def _id(field: str) -> str:
    """The step id of a field path: `steps.stages.do.soak` is `stages.soak`, `on_failure.then.tell` is `on_failure.tell`."""
    parts = field.split(".")
    if parts[0] == "on_failure":
        return ".".join(["on_failure", *parts[2::2]])
    return ".".join(parts[1::2])


def _elsewhere(kind: str) -> Any:
    def hint(key: str) -> str:
        if kind == "emit" and key == "data":
            return "write its data under `with:`"
        homes = [other for other, record in KINDS.items() if key in record.keys]
        return f"it belongs to {', '.join(homes)}" if homes else ""

    return hint


def _kind(kind: str, own: dict[str, Shape], common: str, *, required: tuple[str, ...] = ()) -> Record:
    keys: dict[str, Shape] = dict(own)
    keys |= {name: COMMON[name] for name in ("title", "when", *common.split())}
    return Record(
        keys, required=required, hint=_elsewhere(kind), what=f"{'an' if kind[0] in 'aeo' else 'a'} {kind} step"
    )


class Tolerate(Shape):
    """How many items of a map may fail: a number, or a share such as 10%."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        text = node.text if isinstance(node, document.Scalar) else ""
        share = text.removesuffix("%")
        if share.isascii() and share.isdigit() and len(share) <= 6 and (share == text or int(share) <= 100):
            return int(share) if share == text else text
        return reader.bad(
            node.line, field, f"a number or a share is expected, not {document.kind(node)}", "such as 2 or 10%"
        )

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^(?:100|\d{1,2})%$"}]}


COMMON: dict[str, Shape] = {
    "title": TITLE,
    "when": Cel("boolean"),
    "next": TARGET,
    "with": VALUES,
    "timeout": Duration(template=True),
    "heartbeat": Duration(),
    "retry": RETRY,
    "catch": CATCH,
    "interrupt": INTERRUPT,
    "on_timeout": END,
    "escalate": ESCALATE,
    "compensate": COMPENSATE,
}

KINDS: dict[str, Record] = {}
KINDS["action"] = _kind(
    "action",
    {"action": ACTION, "key": Cel(), "effect": Word(("read", "idempotent", "once"))},
    "next with timeout heartbeat retry catch interrupt on_timeout escalate compensate",
)
KINDS["gate"] = _kind(
    "gate",
    {
        "gate": Text("a question", template=True, limit=2_000),
        "kind": Text("the sort of gate", DOTTED),
        "evidence": Either(VALUES, ListOf(Path())),
        "seats": ListOf(SEAT, least=1),
        "exclude": ListOf(Cel("people")),
        "form": MapOf(FORM_FIELD),
        "remind": ListOf(Duration()),
        "expires": Duration(template=True),
        "on_timeout": EXPIRY,
        "on_reject": END,
    },
    "next catch interrupt",
    required=("seats", "expires", "on_timeout", "on_reject"),
)
KINDS["wait"] = _kind("wait", {"wait": WAIT}, "next timeout catch interrupt on_timeout")
KINDS["observe"] = _kind(
    "observe",
    {
        "observe": ACTION,
        "every": Duration(template=True),
        "for": Duration(template=True),
        "exposure": Cel("boolean", ("sample",)),
        "pass": Cel("boolean", ("sample",)),
        "fail": Cel("boolean", ("sample",)),
        "min_samples": Number(1, 100_000),
        "hold": Boolean(),
        "limits": LIMITS,
    },
    "next with timeout heartbeat retry catch interrupt on_timeout escalate",
    required=("every", "pass"),
)
KINDS["choice"] = _kind(
    "choice",
    {
        "choice": ListOf(
            Record({"when": Cel("boolean"), "goto": TARGET}, required=("when", "goto"), what="a case"), least=1
        ),
        "else": TARGET,
    },
    "catch",
    required=("else",),
)
KINDS["map"] = _kind(
    "map",
    {
        "map": Any_(template=True, gives="list"),
        "as": Text("a name", STEP_NAME),
        "parallel": Number(1, 10_000),
        "tolerate": Tolerate(),
        "do": Steps(),
    },
    "next timeout catch on_timeout",
    required=("do",),
)
KINDS["child"] = _kind(
    "child",
    {
        "child": Text("the name of a workflow", WORKFLOW_NAME),
        "key": Cel(),
        "on_cancel": Word(("wait", "cancel", "leave")),
    },
    "next with timeout heartbeat retry catch on_timeout escalate compensate",
    required=("key",),
)
KINDS["emit"] = _kind("emit", {"emit": EVENT, "subject": SENTENCE}, "next with")


ALL_KEYS = frozenset(key for record in KINDS.values() for key in record.keys)
_NAMED_STEPS = MapOf(Step(), STEP_NAME, "a step's name", least=1)

_WITH = {"with": VALUES}
_FROM_EVENT: dict[str, Shape] = {
    "filter": Cel("boolean", ("event",)),
    "dedupe": Cel("any", ("event",)),
    "debounce": Duration(),
    "correlate": Cel("any", ("event",)),
    "within": Duration(),
    "rate": Record({"limit": Number(1, 1_000_000), "per": Duration()}, required=("limit", "per"), what="a rate"),
    "burst": Record(
        {"count": Number(2, 10_000), "within": Duration(), "of": Cel("any", ("event",))},
        required=("count", "within", "of"),
        what="a burst",
    ),
    "opens": Boolean(),
    "must": Boolean(),
}
_WITHIN = {"within": ("dedupe",), "opens": ("correlate",)}


class Trigger(Shape):
    """One way a run starts; its key tells which."""

    kinds: dict[str, Record] = {
        "event": Record({"event": EVENT, **_FROM_EVENT, **_WITH}, needs=_WITHIN, what="an event trigger"),
        "webhook": Record(
            {"webhook": Text("the name of a source", DOTTED), **_FROM_EVENT, **_WITH},
            needs=_WITHIN,
            what="a webhook trigger",
        ),
        "cron": Record(
            {
                "cron": Text("a cron line"),
                "zone": Text("a time zone"),
                "missed": Word(("skip", "once", "all")),
                **_WITH,
            },
            what="a cron trigger",
        ),
        "manual": Record(
            {"manual": Record({"roles": ListOf(ROLE, least=1)}, required=("roles",))}, what="a manual trigger"
        ),
    }

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        standing = [kind for kind in self.kinds if isinstance(node, document.Mapping) and kind in node.entries]
        if len(standing) != 1:
            told = "a trigger is exactly one of " + ", ".join(self.kinds)
            return reader.bad(node.line, field, told, "such as {manual: {roles: [operator]}}")
        reader.lines[field] = node.line
        return self.kinds[standing[0]].read(node, field, reader)

    def schema(self) -> dict[str, Any]:
        return {"oneOf": [record.schema() | {"required": [kind]} for kind, record in self.kinds.items()]}


class One(Shape):
    """The version of the language itself."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        if isinstance(node, document.Scalar) and node.text == "1":
            return 1
        return reader.bad(
            node.line,
            field,
            f"this engine reads language version 1, not {document.kind(node)}",
            "write `quarterdeck: 1`",
        )

    def schema(self) -> dict[str, Any]:
        return {"const": 1}


WORKFLOW = Record(
    {
        "quarterdeck": One(),
        "workflow": Text("the name of a workflow", WORKFLOW_NAME, limit=80),
        "version": Number(1, 1_000_000_000),
        "title": TITLE,
        "description": Text("a description", limit=4_000),
        "inputs": MapOf(INPUT),
        "triggers": ListOf(Trigger()),
        "concurrency": Record(
            {"key": Cel(), "limit": Number(1, 100_000), "when_full": Word(("queue", "refuse"))},
            required=("key",),
            what="concurrency",
        ),
        "windows": Record(
            {
                "honour": ListOf(WINDOW),
                "override": ROLE,
                "exempt": ListOf(Text("the id of a step", rf"{STEP_NAME}(?:\.{STEP_NAME})*")),
            },
            required=("honour",),
            what="windows",
        ),
        "attributes": VALUES,
        "timeout": Duration(),
        "defaults": Record(
            {"timeout": Duration(), "heartbeat": Duration(), "retry": RETRY, "escalate": ESCALATE}, what="defaults"
        ),
        "steps": Steps(),
        "on_failure": Record({"compensate": Word(("reverse", "none")), "then": Steps()}, what="on_failure"),
    },
    required=("quarterdeck", "workflow", "version", "steps"),
    what="a workflow",
)


def ids(steps: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step as it was read with its full id, in the order of the text; a map before its body."""
    for name, step in steps.items():
        yield prefix + name, step
        if step["kind"] == "map":
            yield from ids(step["values"].get("do", {}), f"{prefix}{name}.")
