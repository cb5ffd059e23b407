"""One broken text per finding: the line, the field, what is wrong, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine.language import DefinitionError, World, load
from tests.unit.language.worlds import ACTIONS, GATE, HEAD, WORLD, findings, text


@dataclass(frozen=True)
class Broken:
    name: str
    text: str
    line: int
    field: str
    message: str
    fix: str = ""


STEP = "steps:\n  one: {action: fleet.plan, with: {release: a}}\n"


def step(body: str) -> str:
    """A definition whose only step stands on line 10."""
    return text(f"steps:\n  one: {body}\n")


def steps(*lines: str) -> str:
    """A definition whose first step stands on line 10."""
    return text("steps:\n" + "".join(f"  {line}\n" for line in lines))


PLAN = "plan: {action: fleet.plan, with: {release: a}}"

YAML = [
    Broken("empty", "", 1, "", "the text is empty", "quarterdeck: 1"),
    Broken("a list", "- a\n- b\n", 1, "", "a mapping is expected, not a list"),
    Broken("not closed", HEAD + "steps: {one: {action: x\n", 10, "", "this is no YAML", "close what is open"),
    Broken("colon in a value", HEAD + "title: a: b\n", 9, "", "mapping values are not allowed", "quote the value"),
    Broken("tab", HEAD + "steps:\n\tone: 1\n", 10, "", "a tab stands in the indentation", "spaces"),
    Broken("two documents", HEAD + STEP + "---\na: 1\n", 11, "", "a second document", "one file"),
    Broken("anchor", HEAD + "steps: &all {}\n", 9, "", "`&all` is an anchor", "write the value out"),
    Broken("alias", HEAD + "steps: *all\n", 9, "", "`*all` refers to an anchor", "write the value out"),
    Broken("tag", HEAD + "title: !!str 1\n", 9, "", "is a tag", "remove it"),
    Broken(
        "duplicate key", HEAD + "version: 2\n" + STEP, 9, "", "'version' is given twice (first on line 3)", "remove one"
    ),
    Broken("key that is a list", HEAD + "[a]: 1\n", 9, "", "a list stands where a key is expected", "plain text"),
    Broken("control character", HEAD + "title: \x07\n", 9, "", "a character stands here", "remove it"),
    Broken("NUL", HEAD + "title: \0\n", 9, "", "NUL", "remove it"),
    Broken("too deep", "a: " + "[" * 40 + "]" * 40, 1, "", "nested deeper than 24", "flatten"),
    Broken("too large", "a: " + "x" * 300_000, 1, "", "larger than 256 KiB", "split"),
    Broken("too many values", "a: [" + "1," * 30_000 + "]", 1, "", "more than 20000 values", "split"),
    Broken("absurd escape", 'a: "\\UFFFFFFFF"', 1, "", "this is no YAML"),
]

GRAMMAR = [
    Broken(
        "unknown key", text("trigers: []\n" + STEP), 9, "trigers", "unknown key 'trigers'", "did you mean 'triggers'?"
    ),
    Broken(
        "language version",
        HEAD.replace("quarterdeck: 1", "quarterdeck: 2") + STEP,
        1,
        "quarterdeck",
        "language version 1",
        "quarterdeck: 1",
    ),
    Broken(
        "missing workflow",
        HEAD.replace("workflow: probe\n", "") + STEP,
        1,
        "workflow",
        "'workflow' is missing",
        "add `workflow:`",
    ),
    Broken("missing steps", HEAD, 1, "steps", "'steps' is missing", "add `steps:`"),
    Broken("no steps", text("steps: {}\n"), 9, "steps", "at least 1"),
    Broken(
        "version as text",
        HEAD.replace("version: 1", "version: 1.10") + STEP,
        3,
        "version",
        "a whole number is expected, not the text '1.10'",
    ),
    Broken(
        "name of a workflow",
        HEAD.replace("probe", "Probe_1") + STEP,
        2,
        "workflow",
        "'Probe_1' is not the name of a workflow",
    ),
    Broken(
        "number for text",
        text("title: 12\n" + STEP),
        9,
        "title",
        "a title is expected, not the number 12",
        'quote it: "12"',
    ),
    Broken("no kind", step("{acton: fleet.plan}"), 10, "steps.one", "here stands none", "did you mean 'action'?"),
    Broken(
        "two kinds", step("{action: fleet.plan, emit: a.b}"), 10, "steps.one", "here stand action and emit", "split"
    ),
    Broken("step is text", step("fleet.plan"), 10, "steps.one", "a step is a mapping, not the text"),
    Broken(
        "key of another kind",
        step("{emit: a.b, seats: []}"),
        10,
        "steps.one.seats",
        "unknown key 'seats' in an emit step",
        "it belongs to gate",
    ),
    Broken(
        "data of an emit", step("{emit: a.b, data: {}}"), 10, "steps.one.data", "unknown key 'data'", "under `with:`"
    ),
    Broken(
        "name of a step",
        steps("on-call: {emit: a.b}"),
        10,
        "steps.on-call",
        "'on-call' is not a step's name",
        "did you mean 'on_call'?",
    ),
    Broken("reserved name", steps("fail: {emit: a.b}"), 10, "steps.fail", "'fail' is a reserved word", "fail_step"),
    Broken(
        "duration without unit",
        step("{wait: {for: 30}}"),
        10,
        "steps.one.wait.for",
        "'30' is not a duration",
        "give the unit: 30s",
    ),
    Broken("duration of zero", step("{wait: {for: 0s}}"), 10, "steps.one.wait.for", "zero"),
    Broken(
        "duration in words",
        step("{wait: {for: an hour}}"),
        10,
        "steps.one.wait.for",
        "'an hour' is not a duration",
        "1h",
    ),
    Broken(
        "two waits", step("{wait: {for: 1h, event: a.b}}"), 10, "steps.one.wait", "exactly one of for or until or event"
    ),
    Broken(
        "filter without event",
        step("{wait: {for: 1h, filter: event.data.x}}"),
        10,
        "steps.one.wait.event",
        "'filter' needs 'event'",
    ),
    Broken(
        "time without zone",
        step("{wait: {until: 2026-11-23T10:00:00}}"),
        10,
        "steps.one.wait.until",
        "is not a time with its zone",
        "Z",
    ),
    Broken(
        "boolean in words",
        step("{observe: fleet.health, every: 1m, pass: sample.ok, hold: yes}"),
        10,
        "steps.one.hold",
        "true or false is expected",
        "write true",
    ),
    Broken(
        "unknown word",
        step("{action: fleet.install, with: {release: a}, effect: idempotant}"),
        10,
        "steps.one.effect",
        "is none of read, idempotent, once",
        "'idempotent'",
    ),
    Broken(
        "retry too often",
        step("{action: fleet.plan, with: {release: a}, retry: {attempts: 0}}"),
        10,
        "steps.one.retry.attempts",
        "at least 1",
    ),
    Broken(
        "unknown retry key",
        step("{action: fleet.plan, with: {release: a}, retry: {max: 3}}"),
        10,
        "steps.one.retry.max",
        "unknown key 'max' in retry",
    ),
    Broken(
        "catch without a way",
        step("{action: fleet.plan, with: {release: a}, catch: [{error: X}]}"),
        10,
        "steps.one.catch.0",
        "exactly one of goto or raise",
    ),
    Broken(
        "catch with two",
        step("{action: fleet.plan, with: {release: a}, catch: [{error: X, goto: done, raise: Y}]}"),
        10,
        "steps.one.catch.0",
        "not goto and raise",
    ),
    Broken(
        "expires of a gate",
        step(GATE.replace("expires: 1h, ", "") + "}"),
        10,
        "steps.one.expires",
        "'expires' is missing in a gate step",
        "add `expires:`",
    ),
    Broken(
        "on_timeout of a gate",
        step(GATE.replace("on_timeout: {goto: done}, ", "") + "}"),
        10,
        "steps.one.on_timeout",
        "'on_timeout' is missing",
    ),
    Broken(
        "on_reject of a gate",
        step(GATE.replace("on_reject: {goto: done}, ", "") + "}"),
        10,
        "steps.one.on_reject",
        "'on_reject' is missing",
    ),
    Broken(
        "escalate without expires",
        step(GATE.replace("{goto: done}, on_r", "{goto: done, escalate: operator}, on_r") + "}"),
        10,
        "steps.one.on_timeout.expires",
        "'escalate' needs 'expires'",
    ),
    Broken(
        "seat of nobody",
        step(GATE.replace("{role: operator}", "{count: 2}") + "}"),
        10,
        "steps.one.seats.0",
        "exactly one of role or group or person",
    ),
    Broken(
        "evidence that is no path",
        step(GATE + ", evidence: [1 + 1]}"),
        10,
        "steps.one.evidence.0",
        "'1 + 1' is not a path",
    ),
    Broken(
        "template for bare CEL",
        steps("one: {emit: a.b, when: '${inputs.count > 1}'}"),
        10,
        "steps.one.when",
        "this field holds bare CEL",
        "inputs.count > 1",
    ),
    Broken(
        "choice without else",
        step("{choice: [{when: inputs.count > 1, goto: done}]}"),
        10,
        "steps.one.else",
        "'else' is missing",
    ),
    Broken("map without do", step("{map: '${inputs.names}'}"), 10, "steps.one.do", "'do' is missing"),
    Broken(
        "share of a map",
        step("{map: '${inputs.names}', tolerate: 110%, do: {a: {emit: a.b}}}"),
        10,
        "steps.one.tolerate",
        "a number or a share",
        "10%",
    ),
    Broken(
        "map over a word",
        step("{map: names, do: {a: {emit: a.b}}}"),
        10,
        "steps.one.map",
        "a list is expected, not text",
        "${inputs.robots}",
    ),
    Broken("child without key", step("{child: other}"), 10, "steps.one.key", "'key' is missing in a child step"),
    Broken(
        "two ways to trigger",
        text("triggers: [{event: a.b, cron: '* * * * *'}]\n" + STEP),
        9,
        "triggers.0",
        "exactly one of",
    ),
    Broken(
        "windows as a list",
        text("windows: [change-freeze]\n" + STEP),
        9,
        "windows",
        "a mapping is expected, not a list",
        "honour",
    ),
    Broken(
        "then as a list",
        text(STEP + "on_failure: {then: [{emit: a.b}]}\n"),
        11,
        "on_failure.then",
        "a mapping is expected, not a list",
    ),
]

GRAPH = [
    Broken(
        "dangling next",
        steps("one: {emit: a.b, next: twoo}", "two: {emit: a.b}"),
        10,
        "steps.one.next",
        "there is no step 'twoo'",
        "did you mean 'two'?",
    ),
    Broken(
        "dangling catch",
        step("{action: fleet.plan, with: {release: a}, catch: [{error: X, goto: gone}]}"),
        10,
        "steps.one.catch.0.goto",
        "there is no step 'gone'",
    ),
    Broken(
        "dangling choice",
        step("{choice: [{when: inputs.count > 1, goto: gone}], else: done}"),
        10,
        "steps.one.choice.0.goto",
        "there is no step 'gone'",
    ),
    Broken(
        "dangling timeout",
        step(GATE.replace("on_timeout: {goto: done}", "on_timeout: {goto: gone}") + "}"),
        10,
        "steps.one.on_timeout.goto",
        "there is no step 'gone'",
    ),
    Broken(
        "dangling interrupt",
        step("{wait: {for: 1h}, interrupt: [{event: a.b, goto: gone}]}"),
        10,
        "steps.one.interrupt.0.goto",
        "there is no step 'gone'",
    ),
    Broken(
        "into a body",
        steps("one: {emit: a.b, next: inner}", "all: {map: '${inputs.names}', do: {inner: {emit: a.b}}}"),
        10,
        "steps.one.next",
        "there is no step 'inner'",
        "inside the map 'all'",
    ),
    Broken(
        "out of a body",
        steps("all: {map: '${inputs.names}', do: {inner: {emit: a.b, next: last}}}", "last: {emit: a.b}"),
        10,
        "steps.all.do.inner.next",
        "there is no step 'last'",
        "a body ends with",
    ),
    Broken(
        "unreachable",
        steps("one: {emit: a.b, next: done}", "two: {emit: a.b}", "three: {emit: a.b}"),
        11,
        "steps.two",
        "no path leads to 'two'",
        "point a next",
    ),
    Broken(
        "loop",
        steps("one: {emit: a.b}", "two: {emit: a.b, next: one}"),
        10,
        "steps.one",
        "one → two → one goes round without waiting",
        "wait, gate or observe",
    ),
    Broken(
        "loop by catch",
        step("{action: fleet.plan, with: {release: a}, catch: [{error: X, goto: one}]}"),
        10,
        "steps.one",
        "one → one goes round without waiting",
    ),
    Broken(
        "loop whose wait is skipped",
        steps("one: {wait: {for: 1h}, when: inputs.count > 1}", "two: {emit: a.b, next: one}"),
        10,
        "steps.one",
        "goes round without waiting",
    ),
    Broken(
        "step twice",
        steps("one: {emit: a.b}", "all: {map: '${inputs.names}', do: {one: {emit: a.b}}}"),
        11,
        "steps.all.do.one",
        "'one' is already a step outside (line 10)",
    ),
    Broken(
        "item hides a name",
        steps("all: {map: '${inputs.names}', as: run, do: {inner: {emit: a.b}}}"),
        10,
        "steps.all.as",
        "'run' is already a name here",
        "as: stage",
    ),
    Broken(
        "exempt of nothing",
        text("windows: {honour: [change-freeze], exempt: [onne]}\n" + STEP),
        9,
        "windows.exempt.0",
        "there is no step 'onne'",
        "did you mean 'one'?",
    ),
]

NAMES = [
    Broken(
        "unknown input",
        step("{emit: a.b, with: {x: '${inputs.relase}'}}"),
        10,
        "steps.one.with.x",
        "there is no input 'relase'",
        "did you mean 'release'?",
    ),
    Broken(
        "unknown name",
        step("{emit: a.b, when: input.count > 1}"),
        10,
        "steps.one.when",
        "'input' is no name",
        "did you mean 'inputs'?",
    ),
    Broken(
        "input without inputs",
        step("{emit: a.b, when: count > 1}"),
        10,
        "steps.one.when",
        "'count' is no name",
        "did you mean 'inputs.count'?",
    ),
    Broken(
        "step without steps",
        steps(PLAN, "two: {emit: a.b, when: plan.output.robots > 1}"),
        11,
        "steps.two.when",
        "'plan' is no name",
        "did you mean 'steps.plan'?",
    ),
    Broken(
        "unknown field of run",
        step("{emit: a.b, with: {x: '${run.startedby}'}}"),
        10,
        "steps.one.with.x",
        "'run' has no field 'startedby'",
        "did you mean 'started_by'?",
    ),
    Broken("sample outside", step("{emit: a.b, when: sample.ok}"), 10, "steps.one.when", "'sample' is no name"),
    Broken("index outside", step("{emit: a.b, when: index > 1}"), 10, "steps.one.when", "'index' is no name"),
    Broken(
        "steps in a trigger",
        text("triggers: [{event: a.b, filter: inputs.count > 1, with: {release: a}}]\n" + STEP),
        9,
        "triggers.0.filter",
        "'inputs' is no name",
        "event",
    ),
    Broken(
        "unknown step",
        steps(PLAN, "two: {emit: a.b, with: {x: '${steps.paln.output.robots}'}}"),
        11,
        "steps.two.with.x",
        "there is no step 'paln'",
        "did you mean 'plan'?",
    ),
    Broken(
        "step of a body",
        steps(
            "all: {map: '${inputs.names}', do: {inner: {emit: a.b}}}",
            "two: {emit: a.b, with: {x: '${steps.inner.output}'}}",
        ),
        11,
        "steps.two.with.x",
        "there is no step 'inner'",
        "steps.all.output",
    ),
    Broken(
        "step of on_failure",
        text(
            "steps:\n  one: {emit: a.b, with: {x: '${steps.tell.output}'}}\non_failure: {then: {tell: {emit: a.b}}}\n"
        ),
        10,
        "steps.one.with.x",
        "there is no step 'tell'",
        "only there",
    ),
    Broken(
        "field of a kind",
        steps(PLAN, "two: {emit: a.b, with: {x: '${steps.plan.form.x}'}}"),
        11,
        "steps.two.with.x",
        "a action step has no 'form'",
    ),
    Broken(
        "used before",
        steps("one: {emit: a.b, with: {x: '${steps.plan.output.robots}'}}", PLAN),
        10,
        "steps.one.with.x",
        "'plan' may not have run on every path to 'one'",
        "has(steps.plan.output)",
    ),
    Broken(
        "used after a branch",
        steps(
            "one: {choice: [{when: inputs.count > 1, goto: plan}], else: last}",
            PLAN,
            "last: {emit: a.b, with: {x: '${steps.plan.output.robots}'}}",
        ),
        12,
        "steps.last.with.x",
        "'plan' may not have run",
    ),
    Broken(
        "used after a skip",
        steps(
            "plan: {action: fleet.plan, with: {release: a}, when: inputs.count > 1}",
            "last: {emit: a.b, with: {x: '${steps.plan.output.robots}'}}",
        ),
        11,
        "steps.last.with.x",
        "'plan' may not have ended well",
    ),
    Broken(
        "used after a catch",
        steps(
            "plan: {action: fleet.plan, with: {release: a}, catch: [{error: X, goto: last}]}",
            "last: {emit: a.b, with: {x: '${steps.plan.output.robots}'}}",
        ),
        11,
        "steps.last.with.x",
        "'plan' may not have ended well",
    ),
    Broken(
        "used after an interrupt",
        steps(
            "one: {wait: {event: a.c}, interrupt: [{event: a.b, goto: two}]}",
            "two: {emit: a.b, with: {x: '${steps.one.output}'}}",
        ),
        11,
        "steps.two.with.x",
        "'one' may not have run",
    ),
    Broken(
        "used after a time-out",
        steps(
            "one: {action: fleet.plan, with: {release: a}, timeout: 1m, on_timeout: {goto: two}}",
            "two: {emit: a.b, with: {x: '${steps.one.error}'}}",
        ),
        11,
        "steps.two.with.x",
        "'one' may not have run",
    ),
    Broken(
        "form of a gate that was rejected",
        steps(
            GATE.replace("{seats", "one: {seats", 1).replace("on_reject: {goto: done}", "on_reject: {goto: two}")
            + ", form: {n: {type: integer}}}",
            "two: {emit: a.b, with: {x: '${steps.one.form.n}'}}",
        ),
        11,
        "steps.two.with.x",
        "'one' may not have ended well",
    ),
    Broken(
        "an input that may be left out",
        step("{emit: a.b, when: inputs.count > 1}").replace("default: 3", "required: false"),
        10,
        "steps.one.when",
        "inputs.count may be left out",
        "has(inputs.count)",
    ),
    Broken(
        "a form's field that may be left out",
        steps(
            "ask: " + GATE + ", form: {n: {type: integer, required: false}}}",
            "two: {emit: a.b, when: steps.ask.form.n > 1}",
        ),
        11,
        "steps.two.when",
        "steps.ask.form.n may be left out",
        "has(steps.ask.form.n)",
    ),
    Broken(
        "own output in compensate",
        step(
            "{action: fleet.install, with: {release: a}, compensate: {action: fleet.install, with: {release: '${steps.one.output.old}'}}}"
        ),
        10,
        "steps.one.compensate.with.release",
        "is not known when the step is undone",
        "earlier step",
    ),
    Broken(
        "later output in compensate",
        steps(
            "one: {action: fleet.install, with: {release: a}, compensate: {action: fleet.install, with: {release: '${steps.plan.output.previous}'}}}",
            PLAN,
        ),
        10,
        "steps.one.compensate.with.release",
        "a compensate uses steps.plan.output, but 'plan' may not have run",
    ),
    Broken(
        "on_failure",
        text(STEP + "on_failure:\n  then:\n    tell: {emit: a.b, with: {x: '${steps.one.output.robots}'}}\n"),
        13,
        "on_failure.then.tell.with.x",
        "'one' may not have run",
        "has(steps.one.output)",
    ),
    Broken(
        "evidence",
        step(GATE + ", evidence: [steps.plan.output]}"),
        10,
        "steps.one.evidence.0",
        "there is no step 'plan'",
    ),
]

TYPES = [
    Broken("syntax", step("{emit: a.b, when: inputs.count >}"), 10, "steps.one.when", "Syntax error"),
    Broken("single equals", step("{emit: a.b, when: inputs.count = 1}"), 10, "steps.one.when", "Syntax error", "=="),
    Broken(
        "words for signs",
        step("{emit: a.b, when: inputs.count > 1 and inputs.rate > 1}"),
        10,
        "steps.one.when",
        "in 'inputs.count > 1 and inputs.rate > 1'",
        "&&",
    ),
    Broken(
        "unknown function",
        step("{emit: a.b, when: sizee(inputs.names) > 1}"),
        10,
        "steps.one.when",
        "sizee",
        "did you mean 'size'?",
    ),
    Broken(
        "template never closed",
        step("{emit: a.b, with: {x: 'a ${inputs.count'}}"),
        10,
        "steps.one.with.x",
        "never closed",
    ),
    Broken(
        "no boolean",
        step("{emit: a.b, when: inputs.count}"),
        10,
        "steps.one.when",
        "'inputs.count' gives a whole number where true or false is due",
        "compare",
    ),
    Broken(
        "text for a boolean",
        steps(PLAN, "two: {emit: a.b, when: steps.plan.output.previous}"),
        11,
        "steps.two.when",
        "gives text where true or false is due",
    ),
    Broken(
        "text against number",
        step("{emit: a.b, when: inputs.release > 3}"),
        10,
        "steps.one.when",
        "no matching overload",
    ),
    Broken(
        "mixed arithmetic",
        step("{emit: a.b, with: {x: '${2 * inputs.rate}'}}"),
        10,
        "steps.one.with.x",
        "no matching overload",
        "2.0",
    ),
    Broken(
        "list for a duration",
        step("{wait: {for: '${inputs.names}'}}"),
        10,
        "steps.one.wait.for",
        "gives a list where a duration is due",
    ),
    Broken(
        "text for a list",
        step("{map: '${inputs.release}', do: {a: {emit: a.b}}}"),
        10,
        "steps.one.map",
        "gives text where a list is due",
    ),
    Broken(
        "sample against its type",
        step("{observe: fleet.health, every: 1m, pass: sample.ok > 1}"),
        10,
        "steps.one.pass",
        "no matching overload",
    ),
    Broken("bytes", step("{emit: a.b, with: {x: \"${b'x'}\"}}"), 10, "steps.one.with.x", "gives a bytes"),
    Broken(
        "too long",
        step("{emit: a.b, when: '" + "inputs.count > 1 && " * 30 + "true'}"),
        10,
        "steps.one.when",
        "more than 512",
    ),
    Broken(
        "too deep",
        step("{emit: a.b, when: 'inputs.names.all(a, a.all(b, b.all(c, c)))'}"),
        10,
        "steps.one.when",
        "nest 3 deep",
    ),
    Broken(
        "excluded is a number",
        step(GATE + ", exclude: [inputs.count]}"),
        10,
        "steps.one.exclude.0",
        "where a person or a list is due",
    ),
]

CONTRACTS = [
    Broken(
        "unknown action",
        step("{action: fleet.paln, with: {release: a}}"),
        10,
        "steps.one.action",
        "there is no action 'fleet.paln'",
        "did you mean 'fleet.plan'?",
    ),
    Broken(
        "unknown source",
        step("{observe: fleet.helth, every: 1m, pass: sample.ok}"),
        10,
        "steps.one.observe",
        "there is no action 'fleet.helth'",
        "'fleet.health'",
    ),
    Broken(
        "unknown compensation",
        step("{action: fleet.install, with: {release: a}, compensate: {action: gone.away}}"),
        10,
        "steps.one.compensate.action",
        "there is no action 'gone.away'",
    ),
    Broken(
        "unknown parameter",
        step("{action: fleet.plan, with: {release: a, limt: 3}}"),
        10,
        "steps.one.with.limt",
        "has no parameter 'limt'",
        "did you mean 'limit'?",
    ),
    Broken(
        "missing parameter",
        step("{action: fleet.plan}"),
        10,
        "steps.one.with",
        "the action 'fleet.plan' needs the parameter 'release'",
        "add `release:`",
    ),
    Broken(
        "missing parameter of undo",
        step("{action: fleet.install, with: {release: a}, compensate: {action: fleet.install}}"),
        10,
        "steps.one.compensate.with",
        "needs the parameter 'release'",
    ),
    Broken(
        "parameter of a type",
        step("{action: fleet.plan, with: {release: 4.8}}"),
        10,
        "steps.one.with.release",
        "wants text for 'release', not a number",
        'quote it: "4.8"',
    ),
    Broken(
        "template of a type",
        step("{action: fleet.plan, with: {release: '${inputs.count}'}}"),
        10,
        "steps.one.with.release",
        "wants text for 'release', not a whole number",
    ),
    Broken(
        "text of a template",
        step("{action: fleet.plan, with: {release: a, limit: '${inputs.count} robots'}}"),
        10,
        "steps.one.with.limit",
        "wants a whole number for 'limit', not text",
    ),
    Broken(
        "once without key",
        step("{action: fleet.page, with: {text: a}}"),
        10,
        "steps.one.key",
        "`effect: once` needs a key",
        "add `key:`",
    ),
    Broken(
        "declared once without key",
        step("{action: fleet.install, with: {release: a}, effect: once}"),
        10,
        "steps.one.key",
        "`effect: once` needs a key",
    ),
    Broken(
        "weaker effect",
        step("{action: fleet.install, with: {release: a}, effect: read}"),
        10,
        "steps.one.effect",
        "declares its effect idempotent",
        "write idempotent",
    ),
    Broken(
        "sampling a page",
        step("{observe: fleet.page, with: {text: a}, every: 1m, pass: 'true'}"),
        10,
        "steps.one.observe",
        "acts once and can't be sampled",
    ),
    Broken(
        "unknown role",
        step(GATE.replace("role: operator", "role: oprator") + "}"),
        10,
        "steps.one.seats.0.role",
        "there is no role 'oprator'",
        "did you mean 'operator'?",
    ),
    Broken(
        "unknown role of a trigger",
        text("triggers: [{manual: {roles: [boss]}}]\n" + STEP),
        9,
        "triggers.0.manual.roles.0",
        "there is no role 'boss'",
    ),
    Broken(
        "unknown window",
        text("windows: {honour: [change-freez]}\n" + STEP),
        9,
        "windows.honour.0",
        "there is no window 'change-freez'",
        "'change-freeze'",
    ),
    Broken(
        "default of a type",
        text(STEP).replace("default: 3", "default: x"),
        7,
        "inputs.count.default",
        "'x' is string, not integer",
    ),
    Broken(
        "default above the maximum",
        text(STEP).replace("default: 0.5", "default: 0.5, maximum: 0.1"),
        6,
        "inputs.rate.default",
        "above the maximum 0.1",
    ),
    Broken(
        "default out of the enum",
        text(STEP).replace("{type: string}", "{type: string, enum: [a, b], default: c}"),
        5,
        "inputs.release.default",
        "is none of a, b",
    ),
    Broken(
        "no regular expression",
        text(STEP).replace("{type: string}", "{type: string, pattern: '('}"),
        5,
        "inputs.release.pattern",
        "no regular expression",
    ),
    Broken(
        "minimum of text",
        text(STEP).replace("{type: string}", "{type: string, minimum: 3}"),
        5,
        "inputs.release.minimum",
        "says nothing about string",
    ),
    Broken(
        "items of text",
        text(STEP).replace("{type: string}", "{type: string, items: {type: string}}"),
        5,
        "inputs.release.items",
        "only an array has items",
    ),
    Broken(
        "unknown type",
        text(STEP).replace("{type: string}", "{type: str}"),
        5,
        "inputs.release.type",
        "'str' is none of",
        "did you mean 'string'?",
    ),
    Broken(
        "trigger without an input",
        text("triggers: [{event: a.b}]\n" + STEP),
        9,
        "triggers.0.with",
        "this workflow needs the parameter 'release'",
    ),
    Broken(
        "trigger with another input",
        text("triggers: [{event: a.b, with: {release: a, relase: b}}]\n" + STEP),
        9,
        "triggers.0.with.relase",
        "has no parameter 'relase'",
    ),
    Broken(
        "cron",
        text("triggers: [{cron: 0 25 * * *, with: {release: a}}]\n" + STEP),
        9,
        "triggers.0.cron",
        "'25' is not a hour between 0 and 23",
    ),
    Broken(
        "zone",
        text("triggers: [{cron: 0 3 * * *, zone: Europe/Berln, with: {release: a}}]\n" + STEP),
        9,
        "triggers.0.zone",
        "there is no time zone",
    ),
    Broken(
        "a seat nobody holds",
        step(GATE.replace("role: operator", "role: duty-director") + "}"),
        10,
        "steps.one.seats.0",
        "nobody known can fill this seat",
        "held by nobody",
    ),
    Broken(
        "more seats than people",
        step(GATE.replace("{role: operator}", "{role: operator, count: 3}") + "}"),
        10,
        "steps.one.seats.0",
        "nobody known can fill this seat",
        "held by ana, bo",
    ),
    Broken(
        "two seats for one person",
        step(GATE.replace("{role: operator}", "{role: release-manager}, {person: ana}") + "}"),
        10,
        "steps.one.seats.1",
        "nobody known can fill this seat",
    ),
    Broken(
        "excluded by name",
        step(GATE.replace("role: operator", "role: release-manager") + ", exclude: [\"'ana'\"]}"),
        10,
        "steps.one.seats.0",
        "after exclude",
    ),
    Broken(
        "the starter is the only one",
        text(
            "triggers: [{manual: {roles: [release-manager]}}]\nsteps:\n  one: "
            + GATE.replace("role: operator", "role: release-manager")
            + ", exclude: [run.started_by]}\n"
        ),
        11,
        "steps.one.seats",
        "whoever starts the run is excluded",
    ),
]


@pytest.mark.parametrize("case", YAML + GRAMMAR + GRAPH + NAMES + TYPES + CONTRACTS, ids=lambda case: case.name)
def test_a_broken_text_names_line_field_and_fix(case: Broken) -> None:
    found = [finding for finding in findings(case.text) if finding.severity == "error"]
    assert found, "nothing was found"
    told = "\n".join(map(str, found))
    match = [finding for finding in found if case.message in finding.message]
    assert match, told
    assert (match[0].line, match[0].field) == (case.line, case.field), told
    assert case.fix in match[0].fix, told
    assert len(found) == 1, told
    with pytest.raises(DefinitionError):
        load(case.text, actions=ACTIONS, roles=WORLD.roles, people=WORLD.people, windows=WORLD.windows)


def test_all_findings_are_told_not_just_the_first() -> None:
    broken = """\
quarterdeck: 1
workflow: probe
version: one
titel: x
inputs:
  release: {type: str}
steps:
  one: {action: fleet.paln, next: gone}
  two: {wait: {for: 30}}
  three: {emit: a.b, when: inputs.relase == 'x', next: done}
  four: {gate: 'Go?', seats: [{role: boss}], expires: 1h, on_reject: {goto: done}}
  five: {action: fleet.page, with: {text: a}}
  six: {emit: a.b, with: {x: "${1 +}"}}
"""
    found = findings(broken)
    fields = {finding.field for finding in found if finding.severity == "error"}
    assert fields >= {
        "version", "titel", "inputs.release.type", "steps.one.action", "steps.one.next", "steps.two.wait.for", "steps.three.when",
        "steps.four.on_timeout", "steps.four.seats.0.role", "steps.five.key", "steps.six.with.x",
    }  # fmt: skip
    assert [finding.line for finding in found] == sorted(finding.line for finding in found)


def test_a_starter_who_blocks_the_seats_is_a_warning_when_others_may_start() -> None:
    source = step(GATE.replace("role: operator", "role: release-manager") + ", exclude: [run.started_by]}")
    found = findings(source)
    assert [finding.severity for finding in found] == ["warning"]
    assert "when ana starts the run" in found[0].message
    assert load(source, actions=ACTIONS, roles=WORLD.roles, people=WORLD.people).workflow == "probe"


def test_members_of_a_group_fill_any_number_of_seats() -> None:
    source = step(GATE.replace("{role: operator}", "{role: duty-director, count: 3}") + ", exclude: [run.started_by]}")
    world = World(actions=ACTIONS, people={"ana": ("operator",), "@directors": ("duty-director",)})
    assert findings(source, world) == []


def test_a_report_does_not_grow_without_end() -> None:
    found = findings(HEAD + "".join(f"k{number}: 1\n" for number in range(5_000)))
    assert len(found) == 200


SOUND = {
    "seats are matched, not first come first seated": step(
        GATE.replace("{role: operator}", "{role: operator}, {role: release-manager}") + "}"
    ),
    "a macro's own name is no outside name": step("{emit: a.b, when: \"inputs.names.exists(count, count == 'a')\"}"),
    "a guarded name": steps(
        "one: {choice: [{when: inputs.count > 1, goto: plan}], else: last}",
        PLAN,
        "last: {emit: a.b, with: {x: '${has(steps.plan) ? steps.plan.output.robots : 0}'}}",
    ),
    "a name under the same condition": steps(
        "plan: {action: fleet.plan, with: {release: a}, when: inputs.count > 1}",
        "last: {emit: a.b, when: inputs.count > 1, with: {x: '${steps.plan.output.robots}'}}",
    ),
    "a name guarded by the step's own when": steps(
        "plan: {action: fleet.plan, with: {release: a}, when: inputs.count > 1}",
        "last: {emit: a.b, when: has(steps.plan.output.robots), with: {x: '${steps.plan.output.robots}'}}",
    ),
    "what an observation saw is known after it failed": steps(
        "one: {observe: fleet.health, every: 1m, pass: sample.ok, catch: [{error: Fail, goto: two}]}",
        "two: {emit: a.b, with: {x: '${steps.one.output.rate}', verdict: '${steps.one.verdict}'}}",
    ),
    "what an observation saw is known after it was interrupted": steps(
        "one: {observe: fleet.health, every: 1m, pass: sample.ok, interrupt: [{event: a.b, goto: two}]}",
        "two: {emit: a.b, with: {x: '${steps.one.verdict}'}}",
    ),
    "outer names inside a map": steps(
        PLAN,
        "all: {map: '${steps.plan.output.names}', as: robot, do: {inner: {emit: a.b, with: {r: '${robot}', i: '${index}', n: '${steps.plan.output.robots}'}}}}",
    ),
    "a loop that waits": steps("one: {emit: a.b}", "two: {wait: {for: 1h}, next: one}"),
    "whole numbers and floats may be compared": step("{emit: a.b, when: inputs.rate > 0 && inputs.count < 2.5}"),
    "an output may be asked for null": steps(PLAN, "two: {emit: a.b, when: steps.plan.output.previous == null}"),
    "a whole number where a number is due": text(STEP + "attributes: {share: 1}\n"),
    "several templates in a text": step("{emit: a.b, with: {x: 'to ${inputs.region1}'}}").replace(
        "region1", "release} in ${inputs.count"
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_taken(name: str) -> None:
    assert findings(SOUND[name]) == []
