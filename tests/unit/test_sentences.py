"""Every event has a sentence, and no row, however odd, takes the feed down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.api import sentences
from engine.core.events import EVENTS

SYSTEM = ("EngineStarted", "EngineStopped", "WorkflowRegistered", "EventPublished", "PayloadRedacted")
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
