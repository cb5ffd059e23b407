"""Every event has a sentence, and no row, however odd, takes the feed down."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from engine.api import sentences
from engine.core.events import EVENTS

SYSTEM = ("EngineStarted", "EngineStopped", "WorkflowRegistered", "EventPublished", "PayloadRedacted")
ROOT = Path(__file__).parents[2]
LEVELS = {"info", "notice", "warning", "alarm"}


def test_every_event_type_has_a_sentence() -> None:
    assert set(EVENTS) | set(SYSTEM) <= set(sentences._SENTENCES)


@given(
    kind=st.sampled_from(sorted(sentences._SENTENCES)),
    data=st.dictionaries(
        st.sampled_from(
            ["scope", "step", "by", "failure", "gate", "person", "answer", "event", "verdict", "reason", "key"]
        ),
        st.none() | st.text() | st.integers() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()),
    ),
)
def test_odd_rows_are_named_and_nothing_more(kind: str, data: dict) -> None:
    text, level = sentences.sentence(kind, data)
    assert text and level in LEVELS


def test_text_from_outside_is_cut() -> None:
    text, _ = sentences.sentence("CommentAdded", {"by": "ada", "text": "x" * 10_000})
    assert len(text) < 300


def test_an_unknown_event_is_named() -> None:
    assert sentences.sentence("RobotSang", {}) == ("RobotSang", "info")


def test_words_of_the_code_are_said_as_people_say_them() -> None:
    said = sentences.sentence
    assert said("StepCompleted", {"scope": "", "step": "worked_on"})[0] == "worked on done"
    assert said("StepCompleted", {"scope": "stages#1", "step": "stages.health"})[0] == "stage 2: health done"
    assert said("StepCompleted", {"scope": "each#0", "step": "each.reported"})[0] == "item 1: reported done"
    heard = {"event": "qd.dataset.finalized", "by": "run:run-19", "taken_by": ["clusters#0.include"]}
    assert said("EventReceived", heard)[0] == "heard dataset finalized by run-19: cluster 1: include goes on"
    started = {"workflow": "maintenance-escalation", "trigger": "event qd.case.reported", "by": "trigger:x"}
    assert said("RunStarted", started)[0] == "maintenance escalation started, by the rule on case reported"
    spoken = {"workflow": "fleet-hotfix", "by": "trigger:fleet-hotfix:qd.incident.declared"}
    assert said("RunStarted", spoken)[0] == "fleet hotfix started by the rule on incident declared"


def test_an_attempt_is_counted_from_the_second_on() -> None:
    def failed(attempt: int, error: str = "Refused") -> str:
        return sentences.sentence("StepFailed", {"step": "push", "attempt": attempt, "failure": {"error": error}})[0]

    assert failed(0) == failed(1) == "push failed: Refused"
    assert failed(3) == "push failed on attempt 3: Refused"
    assert failed(8, "Unsure") == "push failed: Unsure"


def test_no_event_is_said_by_the_name_that_programs_use() -> None:
    """Every event the shipped definitions and verbs emit, as the sentence names it."""
    names = {
        name
        for folder in ("engine", "connectors")
        for kind in ("*.py", "*.yaml")
        for path in (ROOT / folder).rglob(kind)
        for name in re.findall(r"\bqd(?:\.[a-z_]+){2,}", path.read_text(encoding="utf-8"))
    }
    assert len(names) > 90
    for name in names:
        text, _ = sentences.sentence("Emitted", {"event": name, "subject": "X-1"})
        assert "qd." not in text and "_" not in text and "X-1" in text, name
    assert sentences.told("qd.case.escalated", "M-1") == "case M-1 escalated"
    assert sentences.told("qd.rollout.stage.inconclusive", "run-22") == "rollout run-22: stage inconclusive"


def test_a_record_is_said_once_and_its_digests_short() -> None:
    def changed(**data: object) -> str:
        return sentences.sentence("RecordChanged", {"kind": "robot", "id": "HAM2-1", **data})[0]

    assert changed(to="in_service", set={"title": "HAM2-1"}, reason="first needed") == (
        "robot HAM2-1 in service: first needed"
    )
    assert changed(**{"from": "running", "to": "running"}, set={"log_size": 1, "done": 2}) == (
        "robot HAM2-1: done, log size noted"
    )
    kept = changed(**{"from": "a", "to": "b"}, reason=f"checkpoint sha256:{'d' * 64}")
    assert kept == f"robot HAM2-1 a \u2192 b: checkpoint sha256:{'d' * 12}\u2026"
