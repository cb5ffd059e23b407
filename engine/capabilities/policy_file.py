"""The grammar of the policy file: strict like a definition, every finding with its line, all of them at once."""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Mapping
from typing import Any

from engine.capabilities import subjects, windows
from engine.language import cron, document
from engine.language.contracts import known_zone
from engine.language.document import Node
from engine.language.findings import Findings, did_you_mean, quoted
from engine.language.shapes import BAD, Duration, Either, ListOf, MapOf, Number, Reader, Record, Shape, Text

CORE = (
    "run.start", "run.suspend", "run.resume", "run.cancel", "run.terminate", "run.retry", "run.skip", "run.redrive",
    "run.migrate", "run.comment", "run.override-window", "run.signal", "gate.vote", "gate.abstain", "gate.withdraw",
    "gate.delegate",
    "gate.claim", "gate.ask", "rollout.start", "rollout.pause", "rollout.hold", "rollout.resume", "rollout.promote",
    "rollout.rollback", "rollout.extend", "workflow.register", "engine.stop",
)  # fmt: skip
"""What can be asked of runs, gates, rollouts and the engine itself."""

VERBS = (*CORE, "event.emit", "connector.secret", *subjects.verbs())
"""Everything that can be asked of the engine. A policy that names another verb has a typing mistake."""

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}"
ROLE = Text("the name of a role", NAME)
ROLES = ListOf(ROLE)
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


NEVER_ASKED = (
    "rollout.pause", "rollout.hold", "rollout.rollback", "run.suspend", "hold.place", "incident.declare", "incident.contain",
    "incident.breakglass", "breakglass.take", "access.revoke", "access.relinquish", "artifact.revoke", "case.takeout",
    "session.quarantine", "connector.suspend", "gate.withdraw", "engine.stop",
)  # fmt: skip
"""What makes things safer, or is done when nothing else works. It never waits for another system's yes."""


class Verb(Shape):
    """A verb, or a pattern of verbs such as run.*"""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        text = node.text if isinstance(node, document.Scalar) else ""
        if any(fnmatch.fnmatchcase(verb, text) for verb in VERBS):
            return text
        shown = quoted(text) if text else document.kind(node)
        return reader.bad(
            node.line, field, f"there is no verb {shown}", did_you_mean(text, VERBS, "such as run.* or gate.vote")
        )

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class Instant(Shape):
    """A time with its zone, as UTC epoch seconds."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        text = node.text if isinstance(node, document.Scalar) else ""
        try:
            time = datetime.datetime.fromisoformat(text)
            if time.tzinfo is None:
                raise ValueError
            return time.timestamp()
        except (ValueError, OverflowError):
            return reader.bad(
                node.line, field, f"{quoted(text)} is not a time with its zone", "such as 2026-12-20T00:00:00+01:00"
            )

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


class Clock(Shape):
    """A time of day, as minutes."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        text = node.text if isinstance(node, document.Scalar) else ""
        match = re.fullmatch(r"(\d{1,2}):(\d{2})", text)
        minutes = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else 9_999
        if minutes > 1_440:
            return reader.bad(node.line, field, f"{quoted(text)} is not a time of day", "such as 06:00 or 24:00")
        return minutes

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\d{1,2}:\d{2}$"}


class Days(Shape):
    """Days of the week: mon, mon-fri, or several with commas; Monday is 0."""

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        text = node.text.lower() if isinstance(node, document.Scalar) else ""
        found: set[int] = set()
        for part in text.split(","):
            ends = [end.strip()[:3] if end.strip() else "" for end in part.split("-")]
            if len(ends) > 2 or any(end not in WEEK for end in ends):
                return reader.bad(
                    node.line, field, f"{quoted(part.strip())} is no day of the week", "such as mon-fri or sat,sun"
                )
            first, last = WEEK.index(ends[0]), WEEK.index(ends[-1])
            found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
        return frozenset(found)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class Rule(Shape):
    """One rule of a window, told apart by its keys: days, cron, or from and to."""

    weekly = Record({"days": Days(), "from": Clock(), "to": Clock()}, what="a weekly rule")
    repeated = Record({"cron": Text("a cron line"), "for": Duration()}, required=("for",), what="a cron rule")
    dated = Record({"from": Instant(), "to": Instant()}, required=("from", "to"), what="a dated rule")

    def read(self, node: Node, field: str, reader: Reader) -> Any:
        entries = node.entries if isinstance(node, document.Mapping) else {}
        known = reader.findings.found.copy()
        if "days" in entries:
            values = self.weekly.read(node, field, reader)
            if len(reader.findings.found) > len(known):
                return BAD
            return windows.Weekly(days=values["days"], start=values.get("from", 0), end=values.get("to", 1_440))
        if "cron" in entries:
            values = self.repeated.read(node, field, reader)
            return BAD if len(reader.findings.found) > len(known) else self._repeated(values, node, field, reader)
        values = self.dated.read(node, field, reader)
        if len(reader.findings.found) > len(known):
            return BAD
        if values["to"] <= values["from"]:
            return reader.bad(node.line, field, "this rule ends before it begins", "exchange from and to")
        return windows.Dated(start=values["from"], end=values["to"])

    def _repeated(self, values: Mapping[str, Any], node: Node, field: str, reader: Reader) -> Any:
        try:
            minutes, hours, *_ = cron.fields(values["cron"])
        except ValueError as error:
            return reader.bad(node.line, f"{field}.cron", str(error), "five fields, such as 0 22 * * 1-5")
        if len(minutes) * len(hours) > windows.MOST_STARTS:
            return reader.bad(
                node.line, f"{field}.cron", f"this begins {len(minutes) * len(hours)} times a day", "at most 48"
            )
        if values["for"] > windows.LONGEST_RULE:
            return reader.bad(node.line, f"{field}.for", "a cron rule lasts at most 31 days", "use from and to")
        return windows.Repeated(line=values["cron"], seconds=values["for"])

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.weekly.schema(), self.repeated.schema(), self.dated.schema()]}


SCOPE = Record(
    {name: ListOf(Text("a name"), least=1, single=True) for name in ("region", "site", "cohort")}, what="a scope"
)
GRANT = Either(
    Record({"verbs": ListOf(Verb(), least=1, single=True), "scope": SCOPE}, required=("verbs",), what="a grant"), Verb()
)
HOLDER = Either(
    Record(
        {"roles": ROLES, "users": ListOf(Text("a unix account", NAME), least=1), "title": Text("a title")},
        required=("roles",),
    ),
    ROLES,
)

ASKED = Record(
    {
        "system": Text("the name of a system", r"[a-z0-9][a-z0-9._-]{0,62}"),
        "path": Text("the path of a rule", r"[A-Za-z_][A-Za-z0-9_-]*(/[A-Za-z_][A-Za-z0-9_-]*)*"),
        "verbs": ListOf(Verb(), least=1, single=True),
        "within": Duration(),
    },
    required=("path", "verbs"),
    what="a policy engine that is asked",
)

POLICY = Record(
    {
        "policy": Number(1, 1),
        "owner": HOLDER,
        "people": MapOf(HOLDER, NAME, "a person's name"),
        "groups": MapOf(HOLDER, NAME, "a group's name"),
        "roles": MapOf(
            Record(
                {"title": Text("a title"), "may": ListOf(GRANT), "robots": Number(1, 10_000_000)},
                required=("may",),
                what="a role",
            ),
            NAME,
            "a role's name",
        ),
        "second_factor": ListOf(Verb()),
        "ask": Either(ASKED, ListOf(ASKED)),
        "delegations": ListOf(
            Record(
                {"from": Text("a person"), "to": Text("a person"), "roles": ROLES, "until": Instant()},
                required=("from", "to", "roles", "until"),
                what="a delegation",
            )
        ),
        "windows": MapOf(
            Record(
                {
                    "zone": Text("a time zone"),
                    "deny": ListOf(Rule()),
                    "allow": ListOf(Rule()),
                    "reason": Text("a reason"),
                },
                what="a window",
            ),
            r"[a-z][a-z0-9_.-]{0,63}",
            "a window's name",
        ),
    },
    required=("policy",),
    what="a policy",
)


def read(text: str, findings: Findings) -> Mapping[str, Any] | None:
    """The file's values as far as they could be read; what is wrong is in `findings`."""
    top = document.parse(text, findings)
    if top is None:
        return None
    reader = Reader(findings)
    values: Mapping[str, Any] = POLICY.read(top, "", reader)
    for name, window in values.get("windows", {}).items():
        if "zone" in window and not known_zone(window["zone"]):
            at = f"windows.{name}.zone"
            findings.add(
                reader.lines[at], at, f"there is no time zone {quoted(window['zone'])}", "such as Europe/Berlin"
            )
    return {**values, "lines": reader.lines}


def check(values: Mapping[str, Any], findings: Findings, roles: Mapping[str, Any], people: Mapping[str, Any]) -> None:
    """Names used in the file must be known: roles of people, groups and delegations; people of delegations."""
    lines: Mapping[str, int] = values["lines"]

    def known(field: str, name: str, names: Mapping[str, Any], what: str) -> None:
        if name not in names:
            line = next(
                (lines[at] for at in (field, field.rpartition(".")[0], field.split(".", 1)[0]) if at in lines), 1
            )
            findings.add(line, field, f"there is no {what} {quoted(name)}", did_you_mean(name, names))

    holders = {"owner": values["owner"]} if "owner" in values else {}
    holders |= {f"people.{name}": holder for name, holder in values.get("people", {}).items()}
    holders |= {f"groups.{name}": holder for name, holder in values.get("groups", {}).items()}
    for at, holder in holders.items():
        for role in roles_of(holder):
            known(f"{at}.roles", role, roles, "role")
    for one in asked_of(values):
        for verb in one.get("verbs", ()):
            if verb in NEVER_ASKED:
                line = next((lines[at] for at in ("ask.verbs", "ask.0.verbs", "ask") if at in lines), 1)
                said = f"{verb} makes things safer: it does not wait for a policy engine"
                findings.add(line, "ask.verbs", said, "leave it out (a pattern passes over it)")
    accounts: dict[str, str] = {}
    for name, holder in values.get("people", {}).items():
        for user in holder.get("users", ()) if isinstance(holder, dict) else ():
            if accounts.setdefault(user, name) != name:
                at = f"people.{name}.users"
                findings.add(
                    lines.get(at, 1),
                    at,
                    f"the account {quoted(user)} is {accounts[user]}'s already",
                    "one account, one person",
                )
    for index, delegation in enumerate(values.get("delegations", ())):
        at = f"delegations.{index}"
        for end in ("from", "to"):
            if end in delegation:
                known(f"{at}.{end}", delegation[end], people, "person")
        giver = people.get(delegation.get("from", ""), ())
        for role in delegation.get("roles", ()):
            known(f"{at}.roles", role, roles, "role")
            if delegation.get("from") in people and role in roles and role not in roles_of(giver):
                findings.add(
                    lines.get("delegations", 1),
                    at,
                    f"{delegation['from']} does not hold {quoted(role)}",
                    "nobody gives what they lack",
                )


def roles_of(holder: Any) -> tuple[str, ...]:
    """The roles of an entry, written as a list or under `roles`."""
    return tuple(holder.get("roles", ())) if isinstance(holder, dict) else tuple(holder)


def asked_of(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The policy engines to be asked, written as one or as a list."""
    found = values.get("ask", ())
    return (found,) if isinstance(found, Mapping) else tuple(one for one in found if isinstance(one, Mapping))
