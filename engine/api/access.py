"""From a peer to a person with roles: the caller of one request.

Roles come from the policy file, by account and group name. A peer whose uid may stand for somebody else can look and
holds no role. In the sandbox, and only there, a caller may act as one of the sandbox people.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.requests import Request

from engine.api import identity
from engine.api.door import Door
from engine.api.identity import Peer
from engine.api.problems import Denied
from engine.capabilities.policy import Identity, Reason
from engine.contract.common import Json
from engine.contract.system import Me
from engine.core.commands import Voter
from engine.store.records import Actor

AS = "x-quarterdeck-as"
VIA = "x-quarterdeck-via"


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks. `origin` is the audit's note on the process behind it."""

    person: str
    uid: int
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    via: str
    origin: str
    warning: str = ""

    def actor(self) -> Actor:
        return Actor(kind="person", id=self.person, via=self.via, origin=self.origin)

    def voter(self) -> Voter:
        return Voter(person=self.person, roles=self.roles, groups=self.groups)


async def caller_of(request: Request, door: Door) -> Caller:
    """Raises `Denied` when the connection carries no peer: then nobody vouches for anybody."""
    peer: Any = getattr(request.state, "peer", None)
    if not isinstance(peer, Peer):
        raise Denied(403, "no_identity", "the kernel did not say who connected", fix="connect over the engine's socket")
    account, groups = await door.names.of(peer)
    known = door.policy.identify(peer.uid, account, groups, at=door.now())
    caller = Caller(
        person=known.person,
        uid=peer.uid,
        roles=known.roles if identity.trusted(peer) else (),
        groups=groups,
        via=identity.via(peer),
        origin=identity.provenance(peer),
        warning=identity.warning(peer),
    )
    return _in_the_sandbox(request, door, caller)


def me(door: Door, caller: Caller) -> Me:
    return Me(
        person=caller.person,
        uid=caller.uid,
        roles=caller.roles,
        groups=caller.groups,
        via=caller.via,
        verbs=door.policy.verbs(caller.roles),
        warning=caller.warning,
        people=tuple(door.policy.people) if door.sandbox else (),
    )


def forbidden(door: Door, caller: Caller, verb: str, scope: dict[str, Json]) -> Reason | None:
    """Why the policy does not let this caller do `verb` there; None when it does."""
    return door.policy.may(Identity(person=caller.person, roles=caller.roles, groups=caller.groups), verb, scope)


def _in_the_sandbox(request: Request, door: Door, caller: Caller) -> Caller:
    wanted, via = request.headers.get(AS, ""), request.headers.get(VIA, "")
    if not wanted and not via:
        return caller
    if not door.sandbox:
        raise Denied(
            403, "not_sandbox", "acting as somebody else exists in the sandbox only", field=AS if wanted else VIA
        )
    if via not in ("", "script"):
        raise Denied(422, "bad_input", "the only other way to come is `script`", field=VIA)
    way = via or ("sandbox" if wanted else caller.via)
    if not wanted:
        return Caller(**{**_fields(caller), "via": way})
    if wanted not in door.policy.people:
        people = ", ".join(door.policy.people)
        raise Denied(422, "unknown_person", f"the sandbox has no {wanted[:60]}", fix=f"one of: {people}", field=AS)
    roles = door.policy.roles(wanted, (), at=door.now()) if caller.via != "tunnel" else ()
    return Caller(**{**_fields(caller), "person": wanted, "roles": roles, "groups": (), "via": way})


def _fields(caller: Caller) -> dict[str, Any]:
    return {name: getattr(caller, name) for name in caller.__struct_fields__}
