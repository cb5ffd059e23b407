"""One definition with every kind of step and every way out, and the people who act on it: for tables and chance."""

from __future__ import annotations

from engine.core import commands as c
from engine.core.definition import (
    Case,
    Catch,
    Child,
    Compensate,
    Concurrency,
    Definition,
    Emit,
    FormField,
    Gate,
    Interrupt,
    Limits,
    Map,
    Observe,
    OnFailure,
    Outcome,
    Retry,
    Seat,
    Step,
    Wait,
    Windows,
)
from tests.unit.core.rig import action, flow, undo, voter

PEOPLE = (
    voter("ana", "manager"),
    voter("max", "manager", "safety"),
    voter("sue", "safety"),
    voter("op", "operator", "breaker"),
    voter("bob", "boss"),
    voter("eve"),
)

ABORT = (Interrupt(event="abort", raise_="Aborted"),)


def kitchen(*, lock: bool = False, freeze: bool = False) -> Definition:
    """Prepare, ask, roll out in stages (a map in a map, with tolerance), watch, wait, call a child, tell."""
    return flow(
        action(
            "prepare", "ask", retry=Retry(attempts=2, first=5.0), compensate=undo("prepare"), effect="once", key="'p'"
        ),
        Step(
            id="ask",
            kind="gate",
            gate=Gate(
                question="Go?",
                seats=(Seat(role="manager"), Seat(role="safety", count=1)),
                expires=600.0,
                exclude=("run.started_by",),
                on_timeout=Outcome(escalate="boss", expires=300.0, goto="pause"),
                on_reject=Outcome(goto="fail"),
                remind=(60.0,),
                form={"rate": FormField(type="number", default=0.5, required=False)},
            ),
            interrupt=ABORT,
            next="stages",
        ),
        Step(
            id="stages",
            kind="map",
            map=Map(over="${inputs.stages}", start="stages.push", as_="stage"),
            interrupt=(Interrupt(event="pause", goto="pause"),),
            catch=(Catch(error=("Aborted",), goto="fail"),),
            next="child",
        ),
        Step(
            id="stages.push",
            kind="map",
            map=Map(over="${stage}", start="stages.push.robot", as_="robot", parallel=2, tolerate=1),
            next="stages.watch",
        ),
        action(
            "stages.push.robot",
            "stages.push.check",
            with_={"robot": "${robot}"},
            compensate=Compensate(action="undo.robot", with_={"robot": "${robot}"}, retry=Retry(attempts=2, first=2.0)),
            retry=Retry(attempts=3, first=2.0),
        ),
        action("stages.push.check", effect="read"),
        Step(
            id="stages.watch",
            kind="observe",
            observe=Observe(
                source="health",
                every=30.0,
                for_=90.0,
                pass_="sample.ok",
                fail="sample.bad",
                hold=True,
                limits=Limits(fail=1, error_in_a_row=2),
            ),
            with_={"last": "${sample}"},
            interrupt=ABORT,
            catch=(Catch(error=("Unsure",), goto="stages.hold"), Catch(error=("Fail",), raise_="Regressed")),
            next="done",
        ),
        Step(
            id="stages.hold",
            kind="wait",
            wait=Wait(event="promote", filter="event.data.ok"),
            timeout=400.0,
            on_timeout=Outcome(goto="stages.watch"),
            interrupt=ABORT,
        ),
        Step(id="pause", kind="wait", wait=Wait(for_=50.0), interrupt=ABORT, next="which"),
        Step(id="which", kind="choice", choice=(Case(when="inputs.loop", goto="ask"),), otherwise="fail"),
        Step(
            id="child",
            kind="child",
            child=Child(workflow="other", key="run.id"),
            with_={"a": 1},
            timeout=800.0,
            catch=(Catch(error=("*",), goto="tell"),),
            next="tell",
        ),
        Step(id="tell", kind="emit", emit=Emit(event="rolled.out"), with_={"ending": "rolled out"}),
        action("on_failure.tell", with_={"cause": "${run.cause.error}"}),
        inputs={"stages": FormField(type="array"), "loop": FormField(type="boolean", default=False, required=False)},
        on_failure=OnFailure(start="on_failure.tell"),
        timeout=50_000.0,
        concurrency=Concurrency(key="'fleet'") if lock else None,
        windows=Windows(honour=("freeze",), override="breaker", exempt=("pause",)) if freeze else None,
    )


INPUTS = {"stages": [["r1", "r2"], ["r3", "r4", "r5"]], "loop": True}


def operator_verbs(path: str) -> list[c.Command]:
    return [
        c.Suspend(by="op"),
        c.Resume(by="op"),
        c.Cancel(by="op"),
        c.Terminate(by="op", reason="x"),
        c.RetryStep(by="op", path=path),
        c.SkipStep(by="op", path=path, reason="x", output={"ok": True}),
        c.Redrive(by="op", step="prepare"),
        c.Redrive(by="op", step="stages", inputs={"stages": [["r9"]]}),
        c.Migrate(by="op", digest="sha256:test"),
        c.Comment(by="op", text="hm"),
        c.OverrideWindow(voter=PEOPLE[3], path=path, reason="now"),
    ]
