"""What a sound definition becomes, and that any text becomes either one or findings."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.definition import Definition
from engine.language import DefinitionError, document, json_schema, load, read
from engine.language.build import digest
from engine.language.document import Scalar, parse, plain
from engine.language.findings import Findings
from engine.language.schema import FILE
from engine.language.schema import text as schema_text
from tests.unit.language.worlds import ACTIONS, PEOPLE, WORLD, text

HERE = Path(__file__).with_name("definitions")
SHIPPED = Path(__file__).parents[3] / "engine" / "patterns"
EVERYTHING = (HERE / "everything.yaml").read_text("utf-8")
SOUND = sorted(HERE.glob("*.yaml"))
PATTERNS = sorted(SHIPPED.glob("*.yaml"))


def everything() -> Definition:
    reading = read(EVERYTHING, WORLD)
    assert not [finding for finding in reading.findings if finding.severity == "error"], list(
        map(str, reading.findings)
    )
    assert reading.definition is not None
    return reading.definition


def test_every_key_arrives() -> None:
    made = everything()
    plan, approve, news, inner = (made.steps[id] for id in ("plan", "approve", "news", "rounds.inner"))
    assert (made.workflow, made.version, made.start, made.timeout) == ("everything", 3, "plan", 864_000.0)
    assert made.inputs["share"].default == 1.0 and isinstance(made.inputs["share"].default, float)
    assert not made.inputs["release"].required and made.inputs["names"].items is not None
    event, cron, webhook, manual = made.triggers
    assert event.debounce == 300.0 and event.with_ == {"release": "${event.data.release}"}
    assert (cron.zone, cron.missed, webhook.webhook, manual.roles) == ("Europe/Berlin", "skip", "github", ("operator",))
    assert made.concurrency is not None and (made.concurrency.limit, made.concurrency.when_full) == (2, "refuse")
    assert made.windows is not None and made.windows.exempt == ("undo_all", "rounds.inner")
    assert (made.escalate.role, made.escalate.expires, made.escalate.runbook) == ("operator", 7200.0, "see the wiki")
    assert plan.timeout == "${inputs.share}h" and plan.heartbeat == 60.0 and plan.retry.attempts == 2
    assert plan.key == "run.id" and plan.effect == "idempotent" and plan.when == "inputs.share > 0"
    assert plan.catch[0].goto == "undo_all" and plan.catch[1].raise_ == "Hopeless" and plan.catch[1].error == ("*",)
    assert plan.interrupt[0].goto == "approve" and plan.interrupt[1].raise_ == "Stopped"
    assert plan.on_timeout is not None and plan.on_timeout.goto == "approve"
    assert plan.compensate is not None and (plan.compensate.retry.attempts, plan.compensate.timeout) == (9, 3600.0)
    gate = approve.gate
    assert (
        gate is not None
        and gate.kind == "release_approval"
        and gate.expires == 5400.0
        and gate.remind == (1800.0, 3600.0)
    )
    assert (
        gate.on_timeout.escalate == "duty-director"
        and gate.on_timeout.goto == "undo_all"
        and gate.on_reject.raise_ == "Rejected"
    )
    assert [seat.role or seat.person or seat.group for seat in gate.seats] == ["operator", "bo", "robotics"]
    assert gate.form["share"].default == "${inputs.share}" and not gate.form["share"].required
    assert made.steps["pick"].choice[0].goto == "soon" and made.steps["pick"].otherwise == "rounds"
    assert news.wait is not None and news.wait.event == "fleet.changed" and news.timeout == 86_400.0
    assert made.steps["later"].wait is not None and made.steps["later"].wait.for_ == 10.0
    rounds = made.steps["rounds"].map
    assert rounds is not None and (rounds.start, rounds.as_, rounds.parallel, rounds.tolerate) == (
        "rounds.inner",
        "name",
        2,
        "10%",
    )
    observe = inner.observe
    assert observe is not None and observe.hold and observe.min_samples == 3 and observe.limits.unsure == 2
    assert inner.timeout is None and inner.heartbeat == 30.0 and inner.retry.attempts == 3 and inner.effect == "read"
    deeper = made.steps["rounds.deeper"].map
    assert deeper is not None and deeper.over == [1, 2] and deeper.start == "rounds.deeper.most"
    child = made.steps["other"].child
    assert child is not None and (child.workflow, child.on_cancel) == ("another-workflow", "wait")
    assert made.on_failure.compensate == "none" and made.on_failure.start == "on_failure.tell"


def test_order_is_made_explicit() -> None:
    made = everything()
    following = {id: step.next for id, step in made.steps.items()}
    assert following["plan"] == "approve" and following["soon"] == "later" and following["news"] == "rounds"
    assert following["rounds.inner"] == "rounds.deeper" and following["rounds.deeper"] == "done"
    assert following["rounds.deeper.most"] == "done" and following["undo_all"] == "fail"
    assert following["on_failure.tell"] == "on_failure.again" and following["on_failure.again"] == "done"


def test_lines_are_those_of_the_text() -> None:
    lines = EVERYTHING.splitlines()
    for id, step in everything().steps.items():
        near = "\n".join(lines[step.line - 2 : step.line])
        assert f"{step.name}:" in near, id


def test_the_digest_is_of_the_meaning() -> None:
    made = everything()
    assert made.digest == digest(made) and made.digest.startswith("sha256:")
    spread = "# a comment\n\n" + EVERYTHING.replace("quarterdeck: 1\n", "quarterdeck: 1\n\n\n")
    assert load(spread, actions=ACTIONS).digest == made.digest
    assert load(EVERYTHING.replace("version: 3", "version: 4"), actions=ACTIONS).digest != made.digest


def test_the_digest_tells_order() -> None:
    one = load(text("steps:\n  a: {emit: a.a, next: done}\n"), actions={})
    first = load(text("steps:\n  a: {emit: a.a, with: {x: 1, y: 2}}\n  b: {emit: b.b}\n"), actions={})
    second = load(text("steps:\n  a: {emit: a.a, with: {y: 2, x: 1}}\n  b: {emit: b.b}\n"), actions={})
    third = load(text("steps:\n  b: {emit: b.b}\n  a: {emit: a.a, with: {x: 1, y: 2}}\n"), actions={})
    assert len({one.digest, first.digest, second.digest, third.digest}) == 4


def test_a_definition_survives_its_journey() -> None:
    made = everything()
    assert msgspec.json.decode(msgspec.json.encode(made), type=Definition) == made


def test_evidence_as_a_list_of_paths() -> None:
    source = text(
        "steps:\n  plan: {action: fleet.plan, with: {release: a}}\n"
        "  ask: {gate: 'Go?', evidence: [steps.plan.output, run.started_by], seats: [{role: operator}], expires: 1h,"
        " on_timeout: {goto: done}, on_reject: {goto: done}}\n"
    )
    gate = load(source, actions=ACTIONS).steps["ask"].gate
    assert gate is not None and gate.evidence == {"plan": "${steps.plan.output}", "run_started_by": "${run.started_by}"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on", "on"), ("yes", "yes"), ("1:30", "1:30"), ("1.10", "1.10"), ("012", "012"), ("1e3", "1e3"), ("0x1F", "0x1F"),
        ("True", "True"), ("NULL", "NULL"), ("2026-11-23", "2026-11-23"), ("1_000", "1_000"), ("+1", "+1"), (".5", ".5"),
        ("1.", "1."), ("-0", "-0"), (".inf", ".inf"), ("0o7", "0o7"), ("9999999999999999999", "9999999999999999999"),
        ("12", 12), ("-3", -3), ("0", 0), ("0.25", 0.25), ("2.0", 2.0), ("-1.5", -1.5), ("true", True), ("false", False),
        ("null", None), ("~", None), ("", None), ('"12"', "12"), ("'true'", "true"), ('"null"', "null"),
    ],
)  # fmt: skip
def test_scalars_are_read_strictly(written: str, meant: object) -> None:
    findings = Findings()
    top = parse(f"key: {written}\n", findings)
    assert top is not None and not findings.found
    node = top.entries["key"][1]
    assert isinstance(node, Scalar)
    assert node.value == meant and type(node.value) is type(meant)


def test_keys_stay_text() -> None:
    top = parse("on: 1\nyes: 2\n12: 3\nnull: 4\n", Findings())
    assert top is not None and list(top.entries) == ["on", "yes", "12", "null"]


@pytest.mark.parametrize("path", SOUND + PATTERNS, ids=lambda path: path.stem)
def test_sound_definitions_load_and_fit_the_published_schema(path: Path) -> None:
    source = path.read_text("utf-8")
    findings = Findings()
    top = parse(source, findings)
    assert top is not None and not findings.found
    jsonschema.Draft202012Validator(json_schema()).validate(plain(top))
    actions = ACTIONS if path.stem == "everything" else {}
    assert load(source, actions=actions, source=path.name).steps


def test_the_published_schema_is_the_grammar_s() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert FILE.read_text("utf-8") == schema_text(), "run `python -m engine.language`"


@pytest.mark.parametrize(
    ("change", "by"),
    [
        ("quarterdeck: 1", "quarterdeck: 2"),
        ("expires: 1h30m", "expired: 1h"),
        ("jitter: none", "jitter: some"),
        ("cap: 1m", "cap: 60"),
        ("else: rounds", "otherwise: rounds"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(change: str, by: str) -> None:
    source = EVERYTHING.replace(change, by)
    top = parse(source, Findings())
    assert source != EVERYTHING and top is not None
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(plain(top))
    with pytest.raises(DefinitionError):
        load(source, actions={})


def outcome(source: str) -> None:
    """Loads a text: a definition or findings with lines that exist, nothing else."""
    try:
        made = load(source, actions=ACTIONS, roles=WORLD.roles, people=PEOPLE, windows=WORLD.windows)
    except DefinitionError as error:
        assert error.findings
        for finding in error.findings:
            assert (
                1
                <= finding.line
                <= source.count("\n")
                + source.count("\r")
                + source.count("\x85")
                + source.count("\u2028")
                + source.count("\u2029")
                + 2
            )
            assert finding.message
    else:
        assert isinstance(made, Definition)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_definition_or_findings(source: str) -> None:
    outcome(source)


LINES = EVERYTHING.splitlines()
BITS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "'",
    '"',
    "${",
    "&a ",
    "*a",
    "!!int ",
    "\t",
    "\n",
    "null",
    "~",
    "1",
    "0",
    "-1",
    "done",
    "? ",
    "|",
    ">",
    "#",
    "%",
    "\\",
    "\0",
    "\ud800",
    "é",
    "<<: ",
    "---\n",
    "steps",
    "99999999999999999999",
]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_mutilated_definition_is_a_definition_or_findings(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        what = data.draw(st.sampled_from(["drop", "double", "swap", "indent", "insert", "cut", "value"]))
        line = lines[at]
        place = data.draw(st.integers(0, len(line)))
        if what == "drop" and len(lines) > 1:
            del lines[at]
        elif what == "double":
            lines.insert(at, line)
        elif what == "swap":
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif what == "indent":
            lines[at] = "  " + line
        elif what == "insert":
            lines[at] = line[:place] + data.draw(st.sampled_from(BITS)) + line[place:]
        elif what == "cut":
            lines[at] = line[:place]
        elif what == "value" and ":" in line:
            lines[at] = line.split(":", 1)[0] + ": " + data.draw(st.sampled_from(BITS))
    outcome("\n".join(lines))


def test_what_is_shipped_reads_the_same_with_either_yaml_parser() -> None:
    for file in sorted(resources.files("engine.patterns").iterdir(), key=lambda each: each.name):
        if file.name.endswith(".yaml"):
            text, findings = file.read_text("utf-8"), Findings()
            strict = document.parse(text, findings)
            assert document.parse(text, findings, shipped=True) == strict, file.name
            assert strict is not None and findings.found == []
