"""Who may do what, where, and when: the policy file.

Nothing is given away by silence. Who is not named holds no role; a role may do only what it lists; a role bound to a
scope can't act where the scope of an act is unknown; a second factor that is demanded and can't be had refuses; a
window nobody defined is closed. The account the engine runs as is the `owner`: it can rewrite the file anyway.

The file replaces the shipped defaults section by section (`roles` name by name), so a site writes only its people.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from engine.capabilities import policy_file, windows
from engine.capabilities.policy_file import VERBS, roles_of
from engine.core.deciding import WindowState
from engine.language.document import MAX_BYTES
from engine.language.findings import DefinitionError, Finding, Findings

Json = Any

CAPPED = ("rollout.start", "rollout.resume", "rollout.promote", "rollout.rollback")
"""Verbs a cap on robots binds: the others move none. Pausing and holding are never capped: safety goes first."""


class PolicyError(DefinitionError):
    """A policy that was not taken. The engine does not start on half a policy: it tells every finding."""


class Identity(Struct, frozen=True, kw_only=True):
    """Who someone is to the policy. `person` is the policy's name for the account, or the account itself."""

    person: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Reason(Struct, frozen=True, kw_only=True):
    """Why something is not allowed. `code` is stable: no_role, verb, scope, robots, second_factor, unknown_verb."""

    code: str
    reason: str
    fix: str = ""


class Grant(Struct, frozen=True, kw_only=True):
    """Verbs (patterns) on a scope: per dimension the names allowed. An empty scope is everywhere."""

    verbs: tuple[str, ...]
    scope: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Role(Struct, frozen=True, kw_only=True):
    """What holders may do. `robots` caps how many robots one act of theirs may touch."""

    name: str
    grants: tuple[Grant, ...] = ()
    robots: int | None = None
    title: str = ""


class Delegation(Struct, frozen=True, kw_only=True):
    """Roles one person lends another until a time (UTC epoch seconds). What is lent can't be lent on."""

    giver: str
    to: str
    roles: tuple[str, ...]
    until: float


class Asked(Struct, frozen=True, kw_only=True):
    """A policy engine that decides beside the roles. `system` empty: whichever serves decisions. `within` seconds without an
    answer are a no."""

    path: str
    verbs: tuple[str, ...]
    system: str = ""
    within: float = 3.0


class Policy(Struct, frozen=True, kw_only=True):
    """The policy as it holds until the engine is started anew."""

    held: dict[str, tuple[str, ...]]
    accounts: dict[str, str]
    by_group: dict[str, tuple[str, ...]]
    known: dict[str, Role]
    owner: str = ""
    owned: tuple[str, ...] = ()
    second_factor: tuple[str, ...] = ()
    delegations: tuple[Delegation, ...] = ()
    calendar: dict[str, windows.Window] = field(default_factory=dict)
    ask: tuple[Asked, ...] = ()

    @classmethod
    def load(cls, text: str, *, environment: str = "production", owner: str = "") -> Policy:
        """The policy of a file's text over the shipped defaults. Raises PolicyError with every finding."""
        return _made(text, environment, owner)

    @property
    def people(self) -> tuple[str, ...]:
        """The people the file names, in its order."""
        return tuple(self.held)

    @property
    def roster(self) -> dict[str, tuple[str, ...]]:
        """Every known person with their roles, the owner included, and each group with roles as `@name`.

        What definitions' seats are checked against.
        """
        owner = {self.owner: self.roles(self.owner, ())} if self.owner else {}
        return {**owner, **self.held, **{f"@{name}": roles for name, roles in self.by_group.items()}}

    def identify(self, uid: int, user: str, groups: Sequence[str], *, at: float | None = None) -> Identity:
        """The person behind an account, as the kernel named it. An account without a name is nobody."""
        person = self.accounts.get(user, user) if user else f"uid {uid}"
        return Identity(person=person, roles=self.roles(user, groups, at=at) if user else (), groups=tuple(groups))

    def roles(self, person: str, groups: Sequence[str], *, at: float | None = None) -> tuple[str, ...]:
        """The roles of a person or account, in the order of the file: their own, their groups', those lent to them now.

        `at` is the time (UTC epoch seconds); without it nothing counts as lent. A person whose accounts are listed is
        known by those accounts only.
        """
        named = self.accounts.get(person)
        if named is None and person in self.held and person not in self.accounts.values():
            named = person
        found = dict.fromkeys(self.held.get(named or "", ()))
        if person and person == self.owner:
            found |= dict.fromkeys(self.owned)
        for group in groups:
            found |= dict.fromkeys(self.by_group.get(group, ()))
        for lent in self.delegations:
            if at is not None and lent.to == (named or person) and at < lent.until:
                own = self.held.get(lent.giver, ())
                found |= dict.fromkeys(role for role in lent.roles if role in own)
        return tuple(found)

    def may(self, identity: Identity, verb: str, scope: Mapping[str, Json] | None = None) -> Reason | None:
        """None when allowed. `scope` tells where: region, site, cohort (a name or several) and robots (how many)."""
        if verb not in VERBS:
            return Reason(code="unknown_verb", reason=f"there is no verb {verb[:60]!r}")
        roles = [self.known[name] for name in identity.roles if name in self.known]
        if not roles:
            return Reason(
                code="no_role", reason="no role is held", fix="someone who may edit the policy file can give one"
            )
        granting = [(role, grant) for role in roles for grant in role.grants if _matches(verb, grant.verbs)]
        if not granting:
            able = ", ".join(
                name for name, role in self.known.items() if any(_matches(verb, g.verbs) for g in role.grants)
            )
            return Reason(
                code="verb",
                reason=f"{verb} is not given to {', '.join(identity.roles)}",
                fix=f"it is given to {able}" if able else "",
            )
        placed = [(role, _misplaced(grant.scope, scope or {})) for role, grant in granting]
        here = [role for role, problem in placed if not problem]
        if not here:
            return Reason(code="scope", reason=placed[0][1], fix="ask someone whose role reaches there")
        if verb in CAPPED and all(role.robots is not None for role in here):
            most = max(role.robots or 0 for role in here)
            touched = (scope or {}).get("robots")
            if not isinstance(touched, int) or touched > most:
                told = f"{touched} robots" if isinstance(touched, int) else "a number of robots that is not known"
                return Reason(
                    code="robots",
                    reason=f"{told} would be touched, and {here[0].name} reaches {most}",
                    fix="narrow the cohort",
                )
        if _matches(verb, self.second_factor):
            return Reason(
                code="second_factor",
                reason=f"{verb} demands a second factor, and this installation has none",
                fix="take it off second_factor in the policy file, or do it where one is set up",
            )
        return None

    def refusal(self, roles: Sequence[str], verb: str, scope: Mapping[str, Json] | None = None) -> str:
        """The same for bare roles: empty when allowed, else one sentence."""
        reason = self.may(Identity(person="", roles=tuple(roles)), verb, scope)
        return reason.reason if reason is not None else ""

    def asks(self, verb: str) -> tuple[Asked, ...]:
        """Who is asked about a verb beside the roles, all of whom must say yes. Nobody about what makes things safer."""
        if verb in policy_file.NEVER_ASKED:
            return ()
        return tuple(one for one in self.ask if _matches(verb, one.verbs))

    def verbs(self, roles: Sequence[str]) -> tuple[str, ...]:
        """The verbs that roles give at least somewhere, those that demand a second factor left out."""
        grants = [grant for name in roles if name in self.known for grant in self.known[name].grants]
        given = [verb for verb in VERBS if any(_matches(verb, grant.verbs) for grant in grants)]
        return tuple(verb for verb in given if not _matches(verb, self.second_factor))

    def people_with(self, role: str, *, at: float | None = None) -> tuple[str, ...]:
        """Who is known to hold a role. Members of groups are not: who is in a group shows when they connect."""
        own = [person for person, roles in self.roster.items() if role in roles and person[0] != "@"]
        lent = [d.to for d in self.delegations if at is not None and at < d.until and role in d.roles]
        return tuple(dict.fromkeys([*own, *lent]))

    def window_state(self, name: str, at: float) -> WindowState:
        """Whether a window is open at `at` and until when. A window nobody defined is closed."""
        window = self.calendar.get(name)
        if window is None:
            return WindowState(open=False, reason=f"the policy has no window {name!r}")
        return window.state(at)

    def window_states(self, at: float) -> dict[str, WindowState]:
        """All windows at `at`."""
        return {name: window.state(at) for name, window in self.calendar.items()}


def load(path: Path, *, environment: str = "production", owner: str = "") -> Policy:
    """The policy of a file; without a file the shipped defaults of the environment. Raises PolicyError.

    A file that others may write is refused: it would make anybody anything.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Policy.load("policy: 1\n", environment=environment, owner=owner)
    except OSError as error:
        raise _refused(f"{path} can't be read: {error.strerror}", "let the engine's account read it") from None
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise _refused(f"others may write {path}", f"chmod go-w {path}")
    if found.st_uid not in (0, os.geteuid()):
        raise _refused(f"{path} belongs to uid {found.st_uid}", "it must belong to the engine's account or to root")
    try:
        return Policy.load(raw.decode(), environment=environment, owner=owner)
    except UnicodeDecodeError:
        raise _refused(f"{path} is not UTF-8", "save it as UTF-8") from None


def _refused(message: str, fix: str) -> PolicyError:
    return PolicyError([Finding(line=1, field="", message=message, fix=fix)])


def _made(text: str, environment: str, owner: str) -> Policy:
    findings = Findings()
    shipped = _shipped(environment)
    own = policy_file.read(text, findings)
    if own is None:
        raise PolicyError(findings.found)
    values = {**shipped, **own, "roles": {**shipped.get("roles", {}), **own.get("roles", {})}}
    people = values.get("people", {})
    policy_file.check(own, findings, values["roles"], people)
    if findings.errors:
        raise PolicyError(findings.found)
    return Policy(
        held={name: roles_of(holder) for name, holder in people.items()},
        accounts={
            user: name
            for name, holder in people.items()
            if isinstance(holder, dict)
            for user in holder.get("users", ())
        },
        by_group={name: roles_of(holder) for name, holder in values.get("groups", {}).items()},
        known={name: _role(name, role) for name, role in values["roles"].items()},
        owner=owner,
        owned=roles_of(values.get("owner", ())),
        second_factor=tuple(values.get("second_factor", ())),
        delegations=tuple(
            Delegation(giver=one["from"], to=one["to"], roles=one["roles"], until=one["until"])
            for one in values.get("delegations", ())
        ),
        calendar={name: windows.Window(name=name, **window) for name, window in values.get("windows", {}).items()},
        ask=tuple(Asked(**{**one, "verbs": tuple(one["verbs"])}) for one in policy_file.asked_of(values)),
    )


def _shipped(environment: str) -> Mapping[str, Any]:
    """The shipped defaults; the sandbox's stand on those of production, roles and all."""
    values: dict[str, Any] = {}
    for name in ("production", *(["sandbox"] if environment == "sandbox" else [])):
        findings = Findings()
        text = resources.files("engine.capabilities").joinpath(f"policy.{name}.yaml").read_text("utf-8")
        read = policy_file.read(text, findings)
        if read is None or findings.errors:
            raise PolicyError(findings.found)
        values |= {**read, "roles": {**values.get("roles", {}), **read.get("roles", {})}}
    return values


def _role(name: str, values: Mapping[str, Any]) -> Role:
    grants = [
        Grant(verbs=(one,)) if isinstance(one, str) else Grant(verbs=one["verbs"], scope=one.get("scope", {}))
        for one in values["may"]
    ]
    return Role(name=name, grants=tuple(grants), robots=values.get("robots"), title=values.get("title", ""))


def _matches(verb: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(verb, pattern) for pattern in patterns)


def _misplaced(bound: Mapping[str, tuple[str, ...]], scope: Mapping[str, Json]) -> str:
    """Why a scope lies outside a bound; empty when it lies inside. An unknown place lies outside."""
    for dimension, allowed in bound.items():
        where = scope.get(dimension)
        places = [where] if isinstance(where, str) else list(where or ())
        if not places:
            return f"the role is bound to {dimension} {', '.join(allowed)}, and the {dimension} of this is not known"
        outside = [str(place) for place in places if not any(fnmatch.fnmatchcase(str(place), name) for name in allowed)]
        if outside:
            return f"the role is bound to {dimension} {', '.join(allowed)}, and this touches {', '.join(outside[:5])}"
    return ""
