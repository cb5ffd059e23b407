"""A client without an engine: the whole contract, seeded and rich, for tests of screens and for looking at them.

`FakeClient` keeps what was asked of it (`commands`), changes its world when told to (votes count, pauses pause), and
can be made slow (`latency`), lost (`lost`), saying no (`refuse`), or hostile (`hostile`: names that attack a terminal).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import ActorView, CommandAnswer, Json, Problem
from engine.contract.fleet import CohortView, RobotPage, RobotRow
from engine.contract.gates import GateDetail, GatePage, GateSummary, SeatView, VoteView
from engine.contract.records import EvidenceText, RecordEvent, RecordView
from engine.contract.rollouts import RolloutDetail, RolloutPage, RolloutSummary
from engine.contract.runs import EventPage, EventView, RunDetail, RunPage, RunSummary
from engine.contract.system import Changes, ConnectorHealth, EngineStatus, FeedLine, Me, WatchSnapshot
from tests import fake_gates
from tests import fake_rollouts as rollouts
from tests import fake_runs as runs
from tests import fake_world as world

BASE = world.BASE
T = TypeVar("T")


@dataclass
class Recorded:
    verb: str
    target: str
    args: dict[str, Json]
    preview: bool
    id: str


@dataclass
class FakeClient:
    """Implements `engine.contract.client.Client`. `live` lets the clock run (at `speed`) and the feed speak every `tick` s."""

    seed: int = 1
    run_count: int = 200
    robot_count: int = 200
    hostile: bool = False
    latency: float = 0.0
    lost: bool = False
    live: bool = False
    speed: float = 1.0
    tick: float = 0.4
    person: str = "lena"
    roles: tuple[str, ...] = ("operator", "release-manager")
    empty: bool = False
    environment: str = "sandbox"
    refuse: dict[str, Problem] = field(default_factory=dict)
    commands: list[Recorded] = field(default_factory=list)
    answers: dict[str, CommandAnswer] = field(default_factory=dict)
    closed: bool = False
    held: dict[str, list[RecordView]] = field(default_factory=dict)
    """Records by kind, as the test wants them."""
    answers_to: dict[str, object] = field(default_factory=dict)
    """What `read` gives, by path."""
    kept: dict[str, EvidenceText] = field(default_factory=dict)
    results: dict[str, Json] = field(default_factory=dict)
    """What a verb's answer holds, by verb."""
    secrets: dict[str, str] = field(default_factory=dict)
    """What was put into the keyring."""

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self.seq = 1000
        now = BASE
        self.fleet = world.robots(0 if self.empty else self.robot_count, now=now, seed=self.seed, hostile=self.hostile)
        summaries = () if self.empty else rollouts.rollout_summaries(now, hostile=self.hostile)
        self.rollout_rows: dict[str, RolloutSummary] = {row.id: row for row in summaries}
        self.details: dict[str, RolloutDetail] = {
            row.id: rollouts.rollout_detail(row, self.fleet, now) for row in summaries
        }
        gates = () if self.empty else fake_gates.gate_details(now, hostile=self.hostile)
        self.gate_rows: dict[str, GateDetail] = {detail.gate.id: detail for detail in gates}
        self._runs: list[RunSummary] | None = None
        self.lines: list[FeedLine] = [] if self.empty else runs.first_lines(now, self.seq, hostile=self.hostile)
        self._wake = asyncio.Event()
        self._pending: dict[str, set[str]] = {"gates": set(), "rollouts": set(), "runs": set()}

    def now(self) -> float:
        return BASE + ((time.monotonic() - self._started) * self.speed if self.live else 0.0)

    async def _answer(self) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)
        if self.lost:
            raise EngineUnreachable("no engine answers on the socket")

    # -- reading -------------------------------------------------------------------------------------------------

    @property
    def run_rows(self) -> list[RunSummary]:
        if self._runs is None:
            self._runs = (
                []
                if self.empty
                else [
                    runs.run_row(number, self.run_count, seed=self.seed, hostile=self.hostile)
                    for number in range(self.run_count, 0, -1)
                ]
            )
        return self._runs

    def _status(self) -> EngineStatus:
        return EngineStatus(
            pid=4242,
            socket="/run/user/1000/qd.sock",
            version="0.1.0",
            database="state/quarterdeck.db",
            uptime_s=7300.0 + self.now() - BASE,
            state="ok",
            environment=self.environment,
            now=self.now(),
            speed=self.speed,
            scenario="canary-regression",
            seed=self.seed,
            head=self.seq,
            epoch=3,
            runs_open=17,
            gates_open=len(self._open_gates()),
            clients=1,
            connectors=(
                ConnectorHealth(
                    name="updates", kind="goosebit", url="http://127.0.0.1:60053", ok=True, checked_at=self.now() - 3
                ),
                ConnectorHealth(
                    name="signals", kind="prometheus", url="http://127.0.0.1:9090", ok=True, checked_at=self.now() - 3
                ),
            ),
        )

    def _open_gates(self) -> list[GateSummary]:
        rows = [detail.gate for detail in self.gate_rows.values() if detail.gate.state == "open"]
        return sorted(rows, key=lambda row: row.expires_at)

    async def watch(self) -> WatchSnapshot:
        await self._answer()
        moving = tuple(
            row for row in self.rollout_rows.values() if not row.state.startswith(("completed", "rolled_back"))
        )
        troubled = tuple(row for row in self.run_rows[:400] if row.status in ("failed", "suspended", "compensating"))[
            :8
        ]
        return WatchSnapshot(
            status=self._status(),
            me=self._me(),
            seq=self.seq,
            needs=tuple(self._open_gates()),
            rollouts=moving,
            runs=troubled,
            feed=tuple(self.lines[:50]),
            counts={"running": 12, "waiting": 5, "failed": 3, "gates": len(self._open_gates())},
        )

    async def status(self) -> EngineStatus:
        await self._answer()
        return self._status()

    def _me(self) -> Me:
        return Me(
            person=self.person,
            uid=1000,
            roles=self.roles,
            groups=("robotics",),
            via="sandbox",
            people=("mara", "dana", "lena", "piet"),
        )

    async def me(self) -> Me:
        await self._answer()
        return self._me()

    async def runs(
        self,
        *,
        status: str = "",
        workflow: str = "",
        text: str = "",
        sort: str = "-updated",
        cursor: str = "",
        limit: int = 50,
    ) -> RunPage:
        await self._answer()
        rows: Sequence[RunSummary] = self.run_rows
        if status:
            rows = [row for row in rows if row.status in status.split(",")]
        if workflow:
            rows = [row for row in rows if row.workflow == workflow]
        if text:
            rows = [
                row for row in rows if text.lower() in f"{row.id} {row.title} {row.workflow} {row.started_by}".lower()
            ]
        key = sort.lstrip("-")
        attribute = {"updated": "updated_at", "started": "started_at"}.get(
            key, key if key in RunSummary.__struct_fields__ else "updated_at"
        )
        rows = sorted(rows, key=lambda row: getattr(row, attribute) or 0, reverse=sort.startswith("-"))
        start = int(cursor or 0)
        page = rows[start : start + limit]
        following = str(start + limit) if start + limit < len(rows) else None
        return RunPage(rows=tuple(page), next=following, total=len(rows), as_of=self.now())

    async def run(self, run: str) -> RunDetail:
        await self._answer()
        row = next((row for row in self.run_rows if row.id == run), None)
        if row is None and run in self.rollout_rows:
            row = runs.row_of_rollout(self.rollout_rows[run])
        if row is None:
            raise Refused(Problem(code="not_found", reason=f"no run {run}", fix="look it up in the list of runs"), 404)
        return runs.run_detail(
            row, now=self.now(), rollout=run if run in self.rollout_rows else "", hostile=self.hostile
        )

    async def events(self, run: str = "", *, after: int = 0, limit: int = 200) -> EventPage:
        await self._answer()
        rows = [
            EventView(
                seq=line.seq,
                run=line.run,
                n=index + 1,
                type=line.type,
                at=line.at,
                actor=ActorView(kind="person", id=line.actor),
                cause="c-1",
                data={"text": line.text},
                text=line.text,
                hash=world.digest(line.seq),
            )
            for index, line in enumerate(reversed(self.lines))
            if line.seq > after
        ]
        return EventPage(rows=tuple(rows[:limit]), total=len(rows), as_of=self.now())

    async def gates(self, *, state: str = "open", limit: int = 200) -> GatePage:
        await self._answer()
        rows = (
            self._open_gates()
            if state == "open"
            else [detail.gate for detail in self.gate_rows.values() if not state or detail.gate.state == state]
        )
        return GatePage(rows=tuple(rows[:limit]), total=len(rows), as_of=self.now())

    async def gate(self, gate: str) -> GateDetail:
        await self._answer()
        if gate not in self.gate_rows:
            raise Refused(Problem(code="not_found", reason=f"no gate {gate}", fix="open the inbox again"), 404)
        return self.gate_rows[gate]

    async def rollouts(self, *, limit: int = 50) -> RolloutPage:
        await self._answer()
        rows = tuple(self.rollout_rows.values())[:limit]
        return RolloutPage(rows=rows, total=len(self.rollout_rows), as_of=self.now())

    async def rollout(self, rollout: str) -> RolloutDetail:
        await self._answer()
        if rollout not in self.details:
            raise Refused(
                Problem(code="not_found", reason=f"no rollout {rollout}", fix="open the list of rollouts"), 404
            )
        return self.details[rollout]

    async def records(
        self,
        kind: str,
        shape: type[T],
        *,
        state: str = "",
        text: str = "",
        where: Mapping[str, str] | None = None,
        sort: str = "",
        limit: int = 200,
    ) -> tuple[T, ...]:
        await self._answer()
        states = tuple(filter(None, state.split(",")))
        rows = [
            row
            for row in self.held.get(kind, ())
            if (not states or row.state in states)
            and all(str(getattr(row, column, "")) == value for column, value in (where or {}).items())
            and text.lower() in msgspec.json.encode(row).decode().lower()
        ]
        column = sort.lstrip("-") or "updated_at"
        rows.sort(key=lambda row: getattr(row, column), reverse=not sort or sort.startswith("-"))
        return tuple(rows[:limit])  # type: ignore[return-value]

    async def record(self, kind: str, id: str, shape: type[T]) -> T:
        await self._answer()
        for row in self.held.get(kind, ()):
            if row.id == id:
                return row  # type: ignore[return-value]
        raise Refused(Problem(code="not_found", reason=f"there is no {kind} {id}"), 404)

    async def record_history(self, kind: str, id: str) -> tuple[RecordEvent, ...]:
        await self._answer()
        return tuple(self.answers_to.get(f"history/{kind}/{id}", ()))  # type: ignore[arg-type]

    async def evidence(self, digest: str) -> EvidenceText:
        await self._answer()
        if digest not in self.kept:
            raise Refused(Problem(code="not_found", reason=f"{digest} is not kept here"), 404)
        return self.kept[digest]

    async def read(self, path: str, shape: type[T], **query: object) -> T:
        await self._answer()
        if path not in self.answers_to:
            raise Refused(Problem(code="not_found", reason=f"there is nothing at {path}"), 404)
        return self.answers_to[path]  # type: ignore[return-value]

    async def robots(self, *, text: str = "", cursor: str = "", limit: int = 1000) -> RobotPage:
        await self._answer()
        rows = [
            row
            for row in self.fleet
            if text.lower() in f"{row.id} {row.site} {row.variant} {row.mode} {row.reported}".lower()
        ]
        start = int(cursor or 0)
        following = str(start + limit) if start + limit < len(rows) else None
        return RobotPage(rows=tuple(rows[start : start + limit]), total=len(rows), next=following, as_of=self.now() - 4)

    async def robot(self, robot: str) -> RobotRow:
        await self._answer()
        row = next((row for row in self.fleet if row.id == robot), None)
        if row is None:
            raise Refused(Problem(code="not_found", reason=f"no robot {robot}"), 404)
        return row

    async def cohorts(self) -> tuple[CohortView, ...]:
        await self._answer()
        return () if self.empty else world.cohorts(BASE)

    # -- acting --------------------------------------------------------------------------------------------------

    async def store_secret(self, entry: str, value: str) -> None:
        await self._answer()
        self.secrets = (
            {**self.secrets, entry: value} if value else {n: v for n, v in self.secrets.items() if n != entry}
        )

    async def command(
        self,
        verb: str,
        target: str = "",
        args: dict[str, Json] | None = None,
        *,
        preview: bool = False,
        id: str = "",
        patience_s: float = 0.0,
    ) -> CommandAnswer:
        await self._answer()
        args = dict(args or {})
        self.commands.append(Recorded(verb, target, args, preview, id))
        if id and id in self.answers:
            return self.answers[id]
        if verb in self.refuse:
            raise Refused(self.refuse[verb])
        consequences, phrase, events = self._effect(verb, target, args, preview)
        self.seq += 0 if preview else len(events)
        answer = CommandAnswer(
            id=id,
            verb=verb,
            target=target,
            seq=self.seq,
            events=events,
            preview=preview,
            consequences=consequences,
            phrase=phrase,
            result=None if preview else self.results.get(verb),
        )
        if id and not preview:
            self.answers[id] = answer
        return answer

    def _effect(
        self, verb: str, target: str, args: dict[str, Json], preview: bool
    ) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        if verb.startswith("gate."):
            return self._gate_effect(verb, target, args, preview)
        if verb.startswith("rollout.") and target in self.details:
            return self._rollout_effect(verb, target, args, preview)
        return (f"{verb} {target}",), "", ("CommandAccepted",)

    def _gate_effect(
        self, verb: str, target: str, args: dict[str, Json], preview: bool
    ) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        detail = self.gate_rows.get(target)
        if detail is None or detail.gate.state != "open":
            raise Refused(Problem(code="closed", reason="the gate is closed", fix="nothing to do: it was decided"))
        if verb == "gate.claim":
            if not preview:
                self.change_gate(replace(detail, gate=replace(detail.gate, claimed_by=self.person)))
            return (), "", ("GateClaimed",)
        if verb == "gate.ask":
            if not preview:
                self.change_gate(
                    replace(detail, comments=(*detail.comments, f"{self.person}: {args.get('question', '')}"))
                )
            return (), "", ("InfoRequested",)
        if verb == "gate.delegate":
            return (f"{args.get('to')} may vote in your place",), "", ("DelegationGranted",)
        if verb == "gate.withdraw":
            return (), "", ("VoteWithdrawn",)
        if verb == "gate.abstain":
            if not preview:
                said = VoteView(
                    person=self.person, answer="abstain", at=self.now(), rationale=str(args.get("reason", ""))
                )
                summary = replace(detail.gate, mine=f"{self.person} voted abstain")
                self.change_gate(replace(detail, gate=summary, votes=(*detail.votes, said)))
            return (), "", ("VoteAbstained",)
        if detail.gate.mine:
            raise Refused(Problem(code="wrong_role", reason=detail.gate.mine, fix="ask " + ", ".join(detail.who_can)))
        if args.get("evidence_digest") != detail.evidence_digest:
            raise Refused(
                Problem(
                    code="stale_evidence",
                    reason="the evidence changed since you saw it",
                    fix="read it again, then vote",
                )
            )
        answer = str(args.get("answer", ""))
        if answer not in detail.answers:
            raise Refused(
                Problem(
                    code="bad_answer", reason=f"{answer!r} is not one of {', '.join(detail.answers)}", field="answer"
                )
            )
        if answer == "approve" and detail.phrase and not preview and args.get("phrase") not in (detail.phrase, None):
            raise Refused(
                Problem(
                    code="bad_input", reason="the phrase does not match", fix=f"type {detail.phrase}", field="phrase"
                )
            )
        left = detail.gate.seats_open - 1
        passes = answer != "approve" or left <= 0
        events: tuple[str, ...] = (
            "VoteCast",
            *(("GatePassed",) if answer == "approve" else ("GateRejected",)) * passes,
        )
        if not preview:
            seat = next((s for s in detail.seats if len(s.filled_by) < s.count), detail.seats[0])
            seats = tuple(
                SeatView(label=s.label, count=s.count, filled_by=(*s.filled_by, self.person))
                if s is seat and answer == "approve"
                else s
                for s in detail.seats
            )
            vote = VoteView(person=self.person, answer=answer, at=self.now(), rationale=str(args.get("rationale", "")))
            state = "open" if not passes else "passed" if answer == "approve" else "rejected"
            self.change_gate(
                replace(
                    detail,
                    seats=seats,
                    votes=(*detail.votes, vote),
                    gate=replace(detail.gate, seats_open=max(0, left), state=state, mine="you have voted"),
                )
            )
        consequence = detail.consequences if answer == "approve" else (detail.on_reject,)
        if answer == "approve" and left > 0:
            consequence = (f"{left} more seat{'s' if left > 1 else ''} to fill before anything happens", *consequence)
        return consequence, detail.phrase if answer == "approve" else "", events

    def _rollout_effect(
        self, verb: str, target: str, args: dict[str, Json], preview: bool
    ) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        detail = self.details[target]
        why_not = detail.verbs.get(verb, "")
        if why_not:
            raise Refused(Problem(code="not_waiting", reason=why_not, fix="see W: why this verdict"))
        phrase = ""
        consequences: tuple[str, ...] = ()
        if verb == "rollout.rollback" and detail.rollback:
            plan = detail.rollback
            phrase = plan.phrase
            consequences = (
                f"{plan.feasible} robots go back to {plan.to_version}, est. {plan.estimate_s / 60:.0f} min",
                *(f"blocked: {robot}: {why}" for robot, why in plan.blocked),
            )
        elif verb == "rollout.promote":
            phrase = f"promote {detail.blast['robots']} EU-AMR"
            consequences = (f"+{detail.blast['robots']} robots, 2 sites, 1 customer, 22:00-04:00 local",)
        elif verb == "rollout.resume":
            phrase = "resume 10 EU-AMR"
            consequences = ("6 robots may be dispatched again",)
        if phrase and not preview and args.get("phrase") != phrase:
            raise Refused(
                Problem(code="bad_input", reason="the phrase does not match", fix=f"type {phrase}", field="phrase")
            )
        state = {
            "rollout.pause": "pause_requested",
            "rollout.rollback": "rolling_back",
            "rollout.hold": "held",
            "rollout.resume": "running",
        }.get(verb)
        if state and not preview:
            row = replace(detail.rollout, state=state, updated_at=self.now(), row=detail.rollout.row + 1)
            self.rollout_rows[target] = row
            self.details[target] = replace(detail, rollout=row)
            self._pending["rollouts"].add(target)
            self._wake.set()
        return consequences, phrase, (verb.replace("rollout.", "Rollout").title(),)

    def change_gate(self, detail: GateDetail) -> None:
        """Puts a gate in its new state, as another person's vote or new evidence would."""
        self.gate_rows[detail.gate.id] = detail
        self._pending["gates"].add(detail.gate.id)
        self._wake.set()

    def change_evidence(self, gate: str, evidence: Json) -> None:
        detail = self.gate_rows[gate]
        self.change_gate(
            replace(
                detail,
                evidence=evidence,
                evidence_digest=world.digest("evidence", gate, self.seq, evidence),
                evidence_at=self.now(),
            )
        )

    async def changes(self, after: int = 0) -> AsyncIterator[Changes]:
        """Speaks every `tick` when live, and at once after a command; ends when `lost` is set."""
        generator = random.Random(self.seed)
        while not self.closed:
            try:
                await asyncio.wait_for(self._wake.wait(), self.tick)
            except TimeoutError:
                if not self.live and not self.lost:
                    continue
            self._wake.clear()
            if self.lost:
                raise EngineUnreachable("the link was lost")
            gates = [self.gate_rows[name].gate for name in self._pending["gates"]]
            changed, lines = self._live_change(generator)
            update = Changes(
                seq=self.seq,
                at=self.now(),
                sent=time.time(),
                runs=changed,
                gates=tuple(row for row in gates if row.state == "open"),
                closed_gates=tuple(row.id for row in gates if row.state != "open"),
                rollouts=tuple(self.rollout_rows[name] for name in self._pending["rollouts"]),
                lines=lines,
            )
            for group in self._pending.values():
                group.clear()
            yield update

    def _live_change(self, generator: random.Random) -> tuple[tuple[RunSummary, ...], tuple[FeedLine, ...]]:
        if not self.live or not self.run_rows:
            return (), ()
        self.seq += 1
        index = generator.randrange(min(40, len(self.run_rows)))
        row = self.run_rows[index]
        status = generator.choice(("running", "waiting", "running"))
        row = self.run_rows[index] = replace(row, updated_at=self.now(), version=row.version + 1, status=status)
        line = runs.step_line(self.seq, self.now(), row)
        self.lines.insert(0, line)
        del self.lines[500:]
        return (row,), (line,)

    def act_as(self, person: str) -> None:
        self.person = person

    async def close(self) -> None:
        self.closed = True
        self._wake.set()
