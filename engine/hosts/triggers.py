"""What starts a run without a person: events, webhooks, cron lines.

Rules:
1. One occurrence starts one run. The start is a command whose id is made of the rule, its key and the event, so that
   offering it again after a crash changes nothing.
2. An event is marked delivered in the commit that records what became of it (`EventRouted`), and only after what it
   starts was handed to the journal.
3. Two events that mean the same (`dedupe`) or the same group (`correlate`) are judged one after another, each seeing what
   the other started.
4. `debounce` waits until so long no further event of the group came, and judges the last one then; those before it are
   given to the same run.
5. An expression that fails starts nothing, and that is recorded (`TriggerFailed`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from engine.capabilities.events.rules import Happened, Judge, Judgement, Limits, Rule, rules_of
from engine.core import commands as c
from engine.core.durations import spelled
from engine.core.run_events import Origin
from engine.hosts.crons import Crons
from engine.hosts.settings import Answer
from engine.hosts.turns import Turn
from engine.store.records import Actor

if TYPE_CHECKING:
    from engine.hosts.embedded import Host

Json = Any
Outcome = dict[str, str]
Done = Callable[[list[Outcome]], None]
Settled = Callable[[Outcome], None]
Folded = list[tuple[Settled, Callable[[str], None], str]]
"""Events that wait for quiet together: how each is settled, how it is given to a run, its key."""
log = logging.getLogger("quarterdeck.triggers")


class Triggers:
    """The rules of the newest version of each registered workflow."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.limits = Limits.of(host.config.policy("events"))
        self.judge = Judge(host.config.evaluator, host.loader.rows, self.limits, host.clock.now)
        self.crons = Crons(host, self)
        self._listening: dict[str, list[Rule]] = {}
        self._quiet: dict[str, tuple[asyncio.Task[None], Folded]] = {}
        self._claimed: dict[str, list[Callable[[], None]]] = {}

    def refresh(self) -> None:
        """Reads the definitions again (at boot, and when one was registered)."""
        loader = self._host.loader
        self._listening.clear()
        rules = [rule for name in loader.workflows() if (d := loader.newest(name)) is not None for rule in rules_of(d)]
        for rule in rules:
            if not rule.trigger.cron:
                word = rule.trigger.event or f"webhook/{rule.trigger.webhook}"
                self._listening.setdefault(word, []).append(rule)
        self.crons.set([rule for rule in rules if rule.trigger.cron])
        heard = {name for rule in rules if not rule.trigger.must for name in (rule.name, rule.trigger.event)}
        for name in self.limits.muted:
            if name not in heard:
                log.warning("policy events: muting %r does nothing: no rule is called so, or it must be heard", name)

    def plan_all(self) -> None:
        self.crons.plan_all()

    def close(self) -> None:
        for task, _ in self._quiet.values():
            task.cancel()

    # -- events ------------------------------------------------------------------------------------------------------

    def offer(self, happened: Happened, done: Done, attach: Callable[[str], None]) -> None:
        """An event came. `attach` gives it to a run; `done` is called once everything it starts has been handed on,
        with what each rule made of it."""
        rules = [*self._listening.get(happened.event, ()), *self._listening.get(happened.source, ())]
        outcomes: dict[str, Outcome] = {}

        def settled(outcome: Outcome) -> None:
            outcomes[outcome["rule"]] = outcome
            if len(outcomes) == len(rules):
                done(list(outcomes.values()))

        if not rules:
            done([])
        for rule in rules:
            self._consider(rule, happened, settled, attach)

    def _consider(self, rule: Rule, happened: Happened, settled: Settled, attach: Callable[[str], None]) -> None:
        judged = self.judge.judge(rule, happened)
        if judged.outcome == "open" and rule.trigger.debounce:
            self._debounce(rule, happened, judged, settled, attach)
        else:
            self._act(rule, happened, judged, settled, attach)

    def _debounce(
        self, rule: Rule, happened: Happened, judged: Judgement, settled: Settled, attach: Callable[[str], None]
    ) -> None:
        """Waits for quiet. The newest event stands for those before it."""
        quiet, length = f"{rule.name}:{judged.group or judged.key}", rule.trigger.debounce or 0.0
        earlier = self._quiet.pop(quiet, None)
        folded: Folded = []
        if earlier is not None:
            task, folded = earlier
            task.cancel()

        def together(outcome: Outcome) -> None:
            """What became of the last one became of all that it stands for."""
            run, became = outcome["run"], outcome["outcome"]
            said = f"with {happened.key[:120]}, which followed within {spelled(length)}"
            for each, give, key in folded[:-1]:
                taken = became in ("opened", "attached") and bool(run)
                if taken:
                    give(run)
                each(_outcome(rule, "attached" if taken else "ignored", run=run, key=key, reason=said))
            settled(outcome)

        async def later() -> None:
            await self._host.clock.sleep(length)
            self._quiet.pop(quiet, None)
            self._act(rule, happened, self.judge.judge(rule, happened), together, attach)

        folded = [*folded, (settled, attach, judged.key)]
        self._quiet[quiet] = (asyncio.get_running_loop().create_task(later()), folded)

    def _act(
        self, rule: Rule, happened: Happened, judged: Judgement, settled: Settled, attach: Callable[[str], None]
    ) -> None:
        if judged.outcome in ("open", "attach"):
            claims = self._claims(rule, judged)
            for claim in claims:
                waiting = self._claimed.get(claim)
                if waiting is not None:  # what was started by the one before is not in the tables yet
                    waiting.append(lambda: self._again(rule, happened, settled, attach))
                    return
        if judged.outcome == "open":
            self._start(rule, happened, judged, settled, claims)
        elif judged.outcome == "attach":
            attach(judged.run)
            settled(_outcome(rule, "attached", run=judged.run, key=judged.key, reason=judged.reason))
        elif judged.outcome == "opened":
            settled(_outcome(rule, "opened", run=judged.run, key=judged.key))
        elif judged.outcome == "ignore":
            settled(_outcome(rule, "ignored", run=judged.run, key=judged.key, reason=judged.reason))
        else:
            self.failed(rule.name, happened.key, judged.reason)
            settled(_outcome(rule, "failed", key=judged.key, reason=judged.reason))

    def _again(self, rule: Rule, happened: Happened, settled: Settled, attach: Callable[[str], None]) -> None:
        self._act(rule, happened, self.judge.judge(rule, happened), settled, attach)

    @staticmethod
    def _claims(rule: Rule, judged: Judgement) -> tuple[str, ...]:
        group = (f"{rule.workflow}/{judged.group}",) if judged.group is not None else ()
        return (f"{rule.name}={judged.key}", *group)

    def _start(
        self, rule: Rule, happened: Happened, judged: Judgement, settled: Settled, claims: tuple[str, ...]
    ) -> None:
        for claim in claims:
            self._claimed[claim] = []

        def told(outcome: Outcome | None) -> None:
            waiting = [again for claim in claims for again in self._claimed.pop(claim, ())]
            if outcome is not None:
                settled(outcome)
            for again in waiting:
                again()

        word = f"event {rule.trigger.event or rule.trigger.webhook}"
        attributes = {"correlate": judged.group} if judged.group is not None else {}
        origin = Origin(event=happened.seq, rule=rule.name, key=judged.key)
        self.start(rule, origin, judged.inputs, word, told, occurrence=happened.key, attributes=attributes)

    def start(
        self,
        rule: Rule,
        origin: Origin,
        inputs: dict[str, Json],
        word: str,
        told: Callable[[Outcome | None], None],
        *,
        occurrence: str,
        attributes: dict[str, Json] | None = None,
        extra: Any = (),
    ) -> None:
        """Starts the run of a rule, once per occurrence. `told` gets None when it has to be offered again."""
        host = self._host
        id_ = command_id(rule.name, origin.key, occurrence)
        stored = host.loader.answer(id_)
        if stored is not None:
            begun = msgspec.json.decode(stored, type=Answer)
            told(_outcome(rule, "opened", run=begun.run, key=origin.key))
            return

        def reply(answer: Answer | None, error: BaseException | None) -> None:
            if error is not None or answer is None:
                log.warning("%s did not start %s: %s", word, rule.workflow, error)
                told(None)
            elif answer.refusal is not None:
                self.failed(rule.name, occurrence, answer.refusal.reason)
                told(_outcome(rule, "failed", key=origin.key, reason=answer.refusal.reason))
            else:
                told(_outcome(rule, "opened", run=answer.run, key=origin.key))

        number, run = host.next_number()
        start = c.Start(
            run=run,
            inputs=inputs,
            by=f"trigger:{rule.name}"[:120],
            trigger=word,
            attributes=attributes or {},
            origin=origin,
        )
        actor = Actor(kind="trigger", id=rule.name[:120], via=word[:80])
        turn = Turn(run, start, actor=actor, cause=id_, id=id_, reply=reply, extra=extra)
        turn.birth = (number, rule.definition)
        host.turns.take(turn)

    def failed(self, rule: str, event: str, reason: str) -> None:
        self._host.system.note("TriggerFailed", {"trigger": rule, "event": event, "reason": reason[:500]})


def command_id(rule: str, key: str, occurrence: str) -> str:
    """The same for the same occurrence, whatever stands in its key."""
    whole = hashlib.sha256(f"{rule}\0{key}\0{occurrence}".encode()).hexdigest()[:32]
    name = "".join(char if char.isprintable() else "?" for char in rule[:120])
    return f"trigger:{name}:{whole}"


def _outcome(rule: Rule, outcome: str, *, run: str = "", key: str = "", reason: str = "") -> Outcome:
    return {"rule": rule.name, "outcome": outcome, "run": run, "key": key, "reason": reason[:500]}
