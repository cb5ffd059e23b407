"""Loader and core together: what the checks promise about names is what a run leaves behind."""

from __future__ import annotations

from typing import Any

from engine.core import commands as c
from engine.core import events as e
from engine.core.decide import decide
from engine.core.definition import Definition
from engine.core.state import State
from engine.language import Expressions, load
from engine.language.names import AFTERWARDS, ERROR, FIELDS, RUN
from tests.unit.language.worlds import ACTIONS, text

SOURCE = text("""\
attributes: {release: "${inputs.release}"}
concurrency: {key: "'probe/' + inputs.release"}
steps:
  plan: {action: fleet.plan, with: {release: "${inputs.release}"}, key: "run.id + '/' + inputs.release"}
  skipped: {emit: a.b, when: inputs.count > 100}
  told: {emit: probe.told, with: {robots: "${steps.plan.output.robots}", text: "to ${steps.plan.output.robots} robots"}}
  ask:
    gate: "Install on ${steps.plan.output.robots} robots?"
    evidence: [steps.plan.output]
    seats: [{role: operator}]
    exclude: [run.started_by]
    form: {share: {type: number, default: "${inputs.rate}"}}
    expires: "${steps.plan.output.robots}m"
    on_timeout: {raise: Late}
    on_reject: {raise: Rejected}
  pick: {choice: [{when: steps.ask.form.share > 0.4, goto: news}], else: fail}
  news: {wait: {event: fleet.changed, filter: event.data.count >= inputs.count}}
  watch:
    observe: fleet.health
    every: 1m
    for: 1h
    min_samples: 2
    pass: sample.ok && 2.0 * sample.rate < inputs.rate
  items:
    map: "${steps.plan.output.names}"
    as: robot
    do:
      each: {emit: probe.item, with: {robot: "${robot}", index: "${index}", all: "${size(steps.plan.output.names)}"}}
  last: {action: fleet.install, with: {release: "${steps.news.output.data.release}"}, catch: [{error: Broken, when: error.kind == 'domain', goto: end}]}
  end: {emit: probe.ended, with: {why: "${has(steps.last.error) ? steps.last.error.message : 'none'}", ending: as_expected}}
  rest: {wait: {for: 1h}}
""")


class Bench:
    def __init__(self, definition: Definition) -> None:
        self.definition, self.state, self.now = definition, State.new("run-1"), 1_000.0
        self.events: list[Any] = []

    def do(self, command: c.Command) -> None:
        decision = decide(self.definition, self.state, command, now=self.now, evaluator=Expressions())
        assert decision.refusal is None, decision.refusal
        self.events += decision.events

    def last(self, kind: type[Any]) -> Any:
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    def answer(self, output: Any) -> None:
        asked = self.last(e.StepScheduled)
        self.do(c.Complete(scope=asked.scope, step=asked.step, fence=asked.fence, output=output))


def at_rest() -> Bench:
    bench = Bench(load(SOURCE, actions=ACTIONS))
    bench.do(c.Start(run="run-1", inputs={"release": "nav"}, by="cy"))
    bench.do(c.GrantLock(key="probe/nav"))
    assert bench.last(e.StepScheduled).key == "run-1/nav"
    bench.answer({"robots": 12, "rate": 0.5, "previous": "old", "names": ["r1", "r2"]})
    gate = bench.last(e.GateOpened)
    assert gate.question == "Install on 12 robots?" and gate.expires == bench.now + 720 and gate.excluded == ("cy",)
    assert gate.evidence["plan"]["previous"] == "old"
    voter = c.Voter(person="ana", roles=("operator",))
    bench.do(c.Vote(gate=gate.gate, voter=voter, answer="approve", evidence_digest=gate.evidence_digest))
    bench.do(c.ReceiveEvent(event="fleet.changed", id="e1", data={"count": 5, "release": "nav-2"}, by="bus"))
    bench.answer({"ok": True, "rate": 0.01})
    bench.now += 60
    timer = bench.last(e.TimerArmed)
    bench.do(c.FireTimer(scope=timer.scope, step=timer.step, fence=timer.fence, purpose=timer.purpose))
    bench.answer({"ok": True, "rate": 0.01})
    asked = bench.last(e.StepScheduled)
    assert asked.input == {"release": "nav-2"}
    failure = e.Failure(error="Broken", message="it broke")
    bench.do(c.Fail(scope=asked.scope, step=asked.step, fence=asked.fence, failure=failure))
    return bench


def test_what_every_kind_leaves_behind_is_what_the_checks_know() -> None:
    bench = at_rest()
    assert bench.state.tokens[""].step == "rest", bench.state
    left: dict[str, Any] = bench.state.tokens[""].results
    kinds = {step.id: step.kind for step in bench.definition.steps.values() if not step.parent and step.id != "rest"}
    assert set(left) == set(kinds)
    for name, fields in left.items():
        assert set(fields) <= {*FIELDS[kinds[name]], *AFTERWARDS}, name
        if "skipped" not in fields and "error" not in fields:
            assert set(FIELDS[kinds[name]]) <= set(fields), name
    assert left["end"]["output"] == {"why": "it broke", "ending": "as_expected"}
    assert left["told"]["output"] == {"robots": 12, "text": "to 12 robots"}
    assert left["items"]["output"][1] == {"robot": "r2", "index": 1, "all": 2}
    assert set(left["last"]["error"]) == set(ERROR)


def test_the_fields_of_run_are_those_of_the_core() -> None:
    from engine.core.environment import Environment
    from engine.core.state import Token

    run = Environment(State.new("run-1"), Token(scope=""))["run"]
    assert set(run) == set(RUN)
