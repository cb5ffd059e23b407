"""The grammar of a declared connector: a remote system over HTTP, told in YAML instead of code.

Strict like a workflow: an unknown key, an expression that names something not there, a call without what makes it safe to
repeat are findings with line, field and fix, all of them at once. What a definition may say, and what is known where:

- everywhere: `config` (the system's settings);
- in a call: what its method is given (`id`, `new`, `text`, `changes`, …), `key` and `marker` (short, made of the key);
- in `item`, `items` and a paging token: `answer`; in mappings: `it`, one object of the owner's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.contract.tickets import MEANINGS, PRIORITIES
from engine.language import ExpressionError, document
from engine.language.expressions import check, parse, template_parts
from engine.language.findings import DefinitionError, Findings, did_you_mean
from engine.language.shapes import (
    Any_,
    Boolean,
    Cel,
    Duration,
    MapOf,
    Number,
    Reader,
    Record,
    Text,
    Word,
)

Json = Any
METHODS = ("get", "post", "put", "patch", "delete")
TEMPLATE = Text("text", template=True)
_HEADER = r"[A-Za-z][A-Za-z0-9-]{0,60}"
_WORDS = r"[^\x00-\x1f]{1,60}"

PAGING = Record(
    {
        "link": Boolean(),
        "offset": Record({"offset": Text(), "limit": Text(), "size": Number(1, 10_000), "total": Cel()}),
        "page": Record(
            {"page": Text(), "per_page": Text(), "size": Number(1, 10_000), "first": Number(0, 1), "total": Cel()}
        ),
        "token": Record({"param": Text(), "from": Cel(), "in": Word(("query", "json"))}, required=("param", "from")),
    },
    one_of=("link", "offset", "page", "token"),
    what="paging",
)
_CALL = {
    **{method: Text("a path such as /tickets/${id}", template=True) for method in METHODS},
    "query": MapOf(Any_(template=True), r"[^\x00-\x20]{1,60}", "a query parameter"),
    "headers": MapOf(TEMPLATE, _HEADER, "a header"),
    "json": Any_(template=True),
    "form": MapOf(Any_(template=True), r"[^\x00-\x20]{1,60}", "a form field"),
    "file": Text("the multipart field that takes the file"),
    "item": Cel(),
    "items": Cel(),
    "paging": PAGING,
    "once": Word(("key", "marker")),
    "settle": Duration(),
    "reads": Boolean(),
    "if_match": Boolean(),
}


def _call(**more: Any) -> Record:
    return Record({**_CALL, **more}, one_of=METHODS, what="a call")


CALL = _call()
_MAPPED = {"id": Cel(), "name": Cel(), "state": Cel(), "changed_at": Cel(), "etag": Cel(), "url": Cel()}
OBJECT = Record({**_MAPPED, "data": MapOf(Cel())}, required=("id",), what="an object")
TICKETS = Record(
    {
        "ticket": Record(
            {k: Cel() for k in ("id", "title", "state", "meaning", "body", "priority", "assignee", "url", "version", "changed_at")},
            required=("id", "title", "state"),
            what="a ticket",
        ),
        "comment": Record({k: Cel() for k in ("id", "text", "author", "at")}, required=("id", "text"), what="a comment"),
        "meanings": MapOf(Word(MEANINGS), _WORDS, "the owner's word for a state", 1),
        "priorities": MapOf(Word(PRIORITIES), _WORDS, "the owner's word for a priority"),
        "open": CALL,
        "find": CALL,
        "read": CALL,
        "update": _call(set=MapOf(Any_(template=True), "title|body|priority|assignee|meaning", "a field of a ticket")),
        "move": CALL,
        "comments": CALL,
        "add_comment": CALL,
        "attach": CALL,
        "attachments": _call(name=Cel()),
        "list": CALL,
        "changes": CALL,
        "every": Duration(),
        "full_every": Duration(),
    },
    required=("ticket", "meanings", "open", "read"),
    needs={"add_comment": ("comments", "comment"), "comments": ("comment",), "attach": ("attachments",), "changes": ("list",)},
    what="tickets",
)  # fmt: skip
NOTIFY = Record(
    {"channels": MapOf(Any_(template=True), r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,60}", "a channel", 1), "tell": CALL},
    required=("channels", "tell"),
    what="notify",
)
ALERTS = Record(
    {
        "firing": CALL,
        "alert": OBJECT,
        "silence": CALL,
        "silences": CALL,
        "a_silence": Record(
            {k: Cel() for k in ("id", "state", "matchers", "starts_at", "ends_at", "by", "comment")},
            required=("id", "state", "ends_at", "comment"),
            what="a silence",
        ),
        "unsilence": CALL,
        "every": Duration(),
    },
    required=("firing", "alert"),
    needs={"silence": ("silences", "a_silence", "unsilence"), "silences": ("a_silence",)},
    what="alerts",
)
FEED = Record(
    {
        "title": Text(),
        "every": Duration(),
        "full_every": Duration(),
        "stale": Duration(),
        "list": CALL,
        "changes": CALL,
        "object": OBJECT,
    },
    required=("list", "object"),
    what="a feed",
)
PROOF = Record(
    {
        "hmac": Record(
            {
                "header": Text("a header", _HEADER),
                "prefix": Text(),
                "encoding": Word(("hex", "base64")),
                "timestamp": Text("a header", _HEADER),
                "id": Text("a header", _HEADER),
                "signed": Text("what is signed, such as {timestamp}.{body}", r"(?:\{(?:id|timestamp|body)\}|[^{}]){1,200}"),
                "window": Duration(),
            },
            required=("header",),
        ),
        "bearer": Boolean(),
        "header": Text("a header", _HEADER),
    },
    one_of=("hmac", "bearer", "header"),
    what="proof",
)  # fmt: skip
WEBHOOK = Record(
    {
        "proof": PROOF,
        "items": Cel(),
        "event": Text("an event's name", template=True),
        "id": Cel(),
        "subject": Cel(),
        "at": Cel(),
        "data": MapOf(Cel()),
    },
    required=("proof", "event", "id"),
    what="webhook",
)
AUTH = Record(
    {
        "bearer": Record({"scheme": Text()}),
        "basic": Record({"username": TEMPLATE}, required=("username",)),
        "header": Record({"name": Text("a header", _HEADER), "prefix": Text()}, required=("name",)),
        "oauth2": Record(
            {"token": TEMPLATE, "client_id": TEMPLATE, "scope": TEMPLATE, "style": Word(("basic", "form"))},
            required=("token", "client_id"),
        ),
    },
    one_of=("bearer", "basic", "header", "oauth2"),
    what="auth",
)
GRAMMAR = Record(
    {
        "connector": Number(1, 1),
        "title": Text(),
        "docs": Text(),
        "base": Text("an http or https URL", r"https?://\S+"),
        "options": MapOf(
            Record(
                {
                    "type": Word(("string", "integer", "number", "boolean", "array", "object")),
                    "required": Boolean(),
                    "description": Text(),
                },
                required=("description",),
            )
        ),
        "auth": AUTH,
        "headers": MapOf(TEMPLATE, _HEADER, "a header"),
        "idempotency_header": Text("a header", _HEADER),
        "check": _call(says=TEMPLATE),
        "traits": MapOf(Text()),
        "tickets": TICKETS,
        "notify": NOTIFY,
        "alerts": ALERTS,
        "feeds": MapOf(FEED, r"[a-z][a-z0-9_]{0,40}", "a kind of object", 1),
        "webhook": WEBHOOK,
    },
    required=("connector", "title", "check"),
    what="a connector",
)

# What may be named, by where it stands: the longest prefix of the field that is here.
_TEXT, _ANY = "string", "any"
_KEYED = {"key": _TEXT, "marker": _TEXT}
_NEW = {"new.title": _TEXT, "new.body": _TEXT, "new.priority": _TEXT, "new.labels": "array"}
_NOTICE = {"notice.title": _TEXT, "notice.text": _TEXT, "notice.severity": _TEXT, "notice.link": _TEXT}
NAMES: dict[str, dict[str, str]] = {
    "tickets.ticket": {"it": _ANY},
    "tickets.comment": {"it": _ANY},
    "tickets.open": _NEW | _KEYED,
    "tickets.find": _KEYED,
    "tickets.read": {"id": _TEXT},
    "tickets.update": {"id": _TEXT, "value": _TEXT, "version": _TEXT} | _KEYED,
    "tickets.move": {"id": _TEXT, "value": _TEXT, "version": _TEXT} | _KEYED,
    "tickets.comments": {"id": _TEXT},
    "tickets.add_comment": {"id": _TEXT, "text": _TEXT} | _KEYED,
    "tickets.attach": {"id": _TEXT, "name": _TEXT, "media": _TEXT} | _KEYED,
    "tickets.attachments": {"id": _TEXT, "it": _ANY},
    "tickets.changes": {"since": "number"},
    "notify.channels": {},
    "notify.tell": {"channel": _ANY} | _NOTICE | _KEYED,
    "alerts.alert": {"it": _ANY},
    "alerts.a_silence": {"it": _ANY},
    "alerts.silence": {"matchers": _ANY, "now": "number", "until": "number", "by": _TEXT, "comment": _TEXT} | _KEYED,
    "alerts.unsilence": {"id": _TEXT},
    "feeds.changes": {"since": "number"},
    "feeds.object": {"it": _ANY},
    "webhook": {"it": _ANY, "headers": _ANY},
    "check.says": {"answer": _ANY},
}  # fmt: skip
_OF_ANSWERS = ("item", "items", "from", "total")


def read(text: str) -> dict[str, Json]:
    """The definition as plain values. Raises DefinitionError with every finding."""
    findings = Findings()
    top = document.parse(text, findings)
    values: dict[str, Json] = {}
    if top is not None:
        reader = Reader(findings)
        values = GRAMMAR.read(top, "", reader)
        if not findings.errors:
            _names(values, reader)
            _promises(values, reader)
    if findings.errors:
        raise DefinitionError(findings.errors)
    return values


def _place(field: str) -> str:
    parts = field.split(".")
    if parts[0] == "feeds" and len(parts) > 2:
        return ".".join([parts[0], *parts[2:]])
    return field


def _names(values: Mapping[str, Json], reader: Reader) -> None:
    options = {f"config.{name}": each.get("type", "string") for name, each in values.get("options", {}).items()}
    base = options | {"config.url": _TEXT}
    for site in reader.sites:
        place = _place(site.field)
        known = dict(base)
        if any(part in _OF_ANSWERS for part in place.split(".")[1:]):
            known["answer"] = _ANY
        for prefix in sorted(NAMES, key=len):
            if place == prefix or place.startswith(prefix + "."):
                known |= NAMES[prefix]
        try:
            parts = (parse(site.text),) if site.bare else template_parts(site.text)
            for part in parts:
                if not isinstance(part, str):
                    check(part.text, known)
        except ExpressionError as error:
            told = ", ".join(sorted(known))
            reader.bad(site.line, site.field, str(error)[:300], f"known here: {told}")


def _promises(values: Mapping[str, Json], reader: Reader) -> None:
    """What makes a write safe to repeat has to be there, for each write that is not so by its nature."""

    def bad(field: str, message: str, fix: str) -> None:
        line = next((reader.lines[at] for at in (field, field.rpartition(".")[0]) if at in reader.lines), 1)
        reader.bad(line, field, message, fix)

    if not any(values.get(each) for each in ("tickets", "notify", "alerts", "feeds")):
        bad("", "it serves nothing", "add tickets, notify, alerts or feeds")
    tickets = values.get("tickets", {})
    if opening := tickets.get("open"):
        once = opening.get("once")
        if once is None:
            bad(
                "tickets.open",
                "opening twice would make two tickets",
                "add `once: key` (the owner has idempotency keys) or `once: marker`",
            )
        elif once == "marker" and (
            "find" not in tickets or "marker" not in repr(opening) or "marker" not in repr(tickets["find"])
        ):
            bad(
                "tickets.find",
                "`once: marker` needs `find`, and ${marker} in both",
                "leave ${marker} in the ticket and look for it",
            )
        if once != "marker" and "find" not in tickets:
            bad("tickets.find", "the ticket opened with a key can't be found", "add `find:`")
    if (comment := tickets.get("add_comment")) and comment.get("once") != "key" and "marker" not in repr(comment):
        bad(
            "tickets.add_comment",
            "a comment without ${marker} can't be told from another",
            "put ${marker} into its text",
        )
    if (tell := values.get("notify", {}).get("tell")) and tell.get("once") == "marker":
        bad(
            "notify.tell.once",
            "a message can't be looked for",
            "use `once: key`, or leave it away: in doubt it is not sent again",
        )
    if (
        (silence := values.get("alerts", {}).get("silence"))
        and silence.get("once") != "key"
        and "marker" not in repr(silence)
    ):
        bad("alerts.silence", "a silence without ${marker} can't be found again", "put ${marker} into its comment")
    for part in ("tickets", "alerts", "notify"):
        for name, call in values.get(part, {}).items():
            if isinstance(call, dict) and call.get("once") == "key" and "idempotency_header" not in values:
                bad(f"{part}.{name}.once", "no header takes the key", "add `idempotency_header: Idempotency-Key`")
    for name, traits in values.get("traits", {}).items():
        if len(traits) < 10:
            bad(
                f"traits.{name}",
                "a trait says in a sentence what can't be done",
                did_you_mean(name, ("attach", "comment")),
            )


__all__ = ["GRAMMAR", "METHODS", "NAMES", "read"]
