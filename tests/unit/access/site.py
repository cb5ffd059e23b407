"""A small site with an engine of its own: three robots, a policy, a keyring in memory, and a clock that only tests move."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from engine.api import desk as desks
from engine.capabilities.access.actions import actions
from engine.capabilities.access.desk import VERBS
from engine.capabilities.access.entities import ENTITIES
from engine.capabilities.data.entities_sessions import ENTITIES as SESSIONS
from engine.capabilities.entities import Catalogue
from engine.capabilities.fleet.entities import ENTITIES as ROBOTS
from engine.capabilities.incidents.entities import ENTITIES as INCIDENTS
from engine.capabilities.packs import load_pack, merged
from engine.capabilities.policy import Policy
from engine.capabilities.ports import ActionError, Robot
from engine.capabilities.subjects import EVIDENCE
from engine.contract.access import AccessRequest, Grant
from engine.core import commands as core
from engine.hosts.clock import VirtualClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions, load
from engine.store.queries import Queries
from engine.store.records import Actor

START = 1_763_900_000.0
PEOPLE: dict[str, dict[str, Any]] = {
    "olga": {"employer": "VendorCo", "location": "US", "location_source": "device", "managed": True, "mfa": "session", "age": 34,
             "licence_years": 12, "trained": True, "qualified_until": "2027-02-28"},
    "tom": {"employer": "QR", "location": "DE", "location_source": "device", "managed": True, "mfa": "session", "manager": "tess"},
    "tess": {"employer": "QR", "location": "NL", "location_source": "device", "managed": True, "mfa": "session", "on_shift": True,
             "desk": "EU desk", "qualified_until": "2027-06-30"},
    "dirk": {"employer": "QR", "location": "DE", "location_source": "device", "managed": True, "mfa": "session"},
    "desk": {"employer": "QR", "location": "DE", "location_source": "hr", "managed": True, "mfa": "session", "shared": True},
}  # fmt: skip
CONTRACTS = {
    "Nordlicht": {"regions": ["eu", "us"]},
    "Straits": {"regions": ["apac"], "named": ["tess"], "confidential": True},
}
ROBOTS_HERE = (
    Robot(
        id="R-1",
        serial="AB7Q41",
        site="HAM2",
        region="eu",
        customer="Nordlicht",
        variant="rev-B",
        mode="AUTOMATIC",
        online=True,
    ),
    Robot(
        id="R-2",
        serial="AB7Q42",
        site="HAM2",
        region="eu",
        customer="Nordlicht",
        variant="rev-B",
        mode="AUTOMATIC",
        online=True,
    ),
    Robot(
        id="R-3",
        serial="AB9Z01",
        site="SIN2",
        region="apac",
        customer="Straits",
        variant="rev-C",
        mode="MANUAL",
        online=True,
    ),
)
ROLES = {
    "dirk": ("data-owner",), "sia": ("site-safety",), "pia": ("privacy-officer",), "kim": ("customer",), "carl": ("compliance",),
    "dana": ("duty-director",), "olga": ("teleoperator",), "tom": ("technician",), "tess": ("technician", "data-owner"),
}  # fmt: skip


def pack(**over: Any) -> dict[str, Any]:
    """The shipped policy for this site, with single values replaced."""
    base = {
        "operator": "QR", "regions": {"DE": "eu", "NL": "eu", "US": "us", "SG": "apac", "CN": "cn"}, "site_countries": {"HAM2": "DE"},
        "actors": PEOPLE, "contracts": CONTRACTS, "link_timeout": "1h",
        "transfers": {"eu>us": {"mechanism": "SCC", "tia": "2026-03", "until": "2027-03-01", "employers": ["VendorCo"]}},
    }  # fmt: skip
    return merged(load_pack("access"), {**base, **over}, source="site")


class Keyring:
    """Secrets in memory, with the promises of `engine.capabilities.secrets.Secrets`."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, name: str) -> str:
        if name not in self.kept:
            raise ActionError("SecretMissing", f"no entry {name!r}", kind="configuration", retryable=False)
        return self.kept[name]

    def set(self, name: str, value: str) -> None:
        self.kept[name] = value

    def prepare(self) -> None:
        return


class Fleet:
    def __init__(self) -> None:
        self.here = {robot.id: robot for robot in ROBOTS_HERE}

    async def robots(self) -> list[Robot]:
        return list(self.here.values())

    def set(self, name: str, **what: Any) -> None:
        self.here[name] = msgspec.structs.replace(self.here[name], **what)


class Site:
    """`policy` may be changed while it runs, as an edited pack would be."""

    def __init__(self, folder: Path, **over: Any) -> None:
        self.folder, self.policy = folder, pack(**over)
        self.clock, self.keys, self.fleet = VirtualClock(START), Keyring(), Fleet()
        self.ids = itertools.count(1)
        self.host: Host

    async def open(self) -> Site:
        self.host = await Host.open(
            Config(
                database=self.folder / "quarterdeck.db", actions=actions(), evaluator=Expressions(), clock=self.clock,
                ports={"secrets": self.keys, "fleet": self.fleet}, policy=self._pack, horizon_s=60.0,
                catalogue=Catalogue((EVIDENCE, *ENTITIES, *SESSIONS, *ROBOTS, *INCIDENTS)),
            )
        )  # fmt: skip
        text = (resources.files("engine.patterns") / "access-review.yaml").read_text("utf-8")
        known = Policy.load("policy: 1\n", environment="sandbox", owner="ops")
        definition = load(text, actions=actions(), roles=known.known, people=known.roster)
        answer = await self.host.register_definition(
            definition, text=text, id="pattern", actor=Actor(kind="engine", id="engine")
        )
        assert answer.refusal is None
        return self

    def _pack(self, name: str) -> dict[str, Any]:
        return self.policy if name == "access" else load_pack(name)

    async def close(self) -> None:
        await self.host.close()

    async def do(self, person: str, verb: str, target: str = "", /, **args: Any) -> Any:
        """A verb at the desk. Raises Refusal, RecordError."""
        declared = next(one for one in VERBS if one.name == verb)
        record = self.host.book.reads.get(declared.kind, target) if declared.kind else None
        return await declared.do(self.at(person), record, msgspec.convert(args, declared.args))

    def at(self, person: str) -> Any:
        caller = SimpleNamespace(
            person=person, roles=ROLES.get(person, ()), actor=lambda: Actor(kind="person", id=person)
        )
        door = SimpleNamespace(
            host=self.host, keeper=self.host.keeper, now=self.clock.now, ports={"secrets": self.keys, "fleet": self.fleet},
            pack=self._pack,
        )  # fmt: skip
        return desks.At(door, caller, SimpleNamespace(id=f"ask-{next(self.ids)}"))  # type: ignore[arg-type]

    async def ask(self, person: str = "olga", **args: Any) -> str:
        given = {"action": "direct", "robots": ["R-1"], "purpose": "free from tote lip", "ticket": "M-311", **args}
        return str((await self.do(person, "access.open", **given))["id"])

    def request(self, name: str) -> AccessRequest:
        found: AccessRequest = self.host.book.reads.get("access_request", name)
        return found

    def grant(self, name: str) -> Grant:
        """The grant of a request."""
        found: Grant = self.host.book.reads.get("grant", self.request(name).grant)
        return found

    async def until(self, look: Callable[[], Any], what: str = "it", seconds: float = 8.0) -> Any:
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := look()):
            assert asyncio.get_running_loop().time() < deadline, f"{what} did not come"
            await asyncio.sleep(0.01)
        return found

    async def state(self, name: str, *states: str) -> AccessRequest:
        try:
            await self.until(lambda: self.request(name).state in states, f"{name} {states}")
        except AssertionError as error:
            raise AssertionError(
                f"{error}: it is {self.request(name).state}: {self.request(name).evaluation.reasons}"
            ) from error
        return self.request(name)

    def gate(self, name: str) -> Any:
        """The open gate about a request, or None."""
        rows = [
            one
            for one in Queries(self.folder / "quarterdeck.db").gate_page(limit=100).rows
            if one.run == self.request(name).run
        ]
        return rows[0] if rows else None

    async def vote(
        self,
        name: str,
        person: str,
        answer: str = "approve",
        form: Mapping[str, Any] | None = None,
        why: str = "needed",
    ) -> Any:
        gate = await self.until(lambda: self.gate(name), f"the gate of {name}")
        detail = Queries(self.folder / "quarterdeck.db").gate_detail(gate.id)
        vote = core.Vote(
            gate=gate.id, voter=core.Voter(person=person, roles=ROLES.get(person, ())), answer=answer, rationale=why,
            evidence_digest=detail.evidence_digest, form=dict(form or {}),
        )  # fmt: skip
        return await self.host.submit(
            gate.run, vote, id=f"vote-{next(self.ids)}", actor=Actor(kind="person", id=person)
        )

    async def waits(self, name: str, step: str) -> None:
        """The run of a request stands at a step whose timers are armed."""
        look = "select count(*) from timers where run = ? and step = ?"
        await self.until(
            lambda: self.host.book.reads.reading.one(look, (self.request(name).run, step))[0], f"{name} at {step}"
        )

    async def ready(self, name: str, person: str = "olga") -> None:
        """Everything a direct drive needs."""
        await self.do("sia", "access.ack", name)
        await self.do(
            person, "access.report", name, latency_p95_ms=142.0, recording=True, deadman=True, stop_tested=True
        )

    async def driven(self, name: str) -> Grant:
        """A direct drive that was signed, made ready and granted."""
        for person in ("dirk", "sia", "pia"):
            answer = await self.vote(name, person)
            assert answer.refusal is None, answer.refusal
        await self.state(name, "held")
        await self.ready(name)
        await self.state(name, "granted")
        await self.waits(name, "active")
        return self.grant(name)

    def told(self, event: str) -> list[dict[str, Any]]:
        """The data of every event of a name that was published."""
        rows = self.host.book.reads.reading.all(
            "select data from events where type in ('EventPublished', 'Emitted') and data is not null order by seq"
        )
        found = [msgspec.json.decode(row[0]) for row in rows]
        return [one["data"] for one in found if one.get("event") == event]
