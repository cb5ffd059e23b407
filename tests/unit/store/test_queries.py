"""The read side: every filter gives what it says, page after page, and a gate shows what a decision needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.contract.runs import RUN_STATUS
from engine.store import run_queries
from engine.store.queries import Queries
from tests.benchmarks.listing import fill

RUNS = 3_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("listing") / "quarterdeck.db"
    fill(path, RUNS)
    return path


@pytest.fixture
def reads(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Queries:
    monkeypatch.setattr(run_queries, "FEW", 100)  # so that the large paths are taken with few runs
    return Queries(filled)


def everything(reads: Queries) -> list[Any]:
    return reads.reading.all(
        "select id, workflow, status, seq, number, step, attributes, started_by, title, attention from runs"
    )


def pages(reads: Queries, **asked: Any) -> list[str]:
    """All pages, in order."""
    found: list[str] = []
    cursor = ""
    for _ in range(500):
        page = reads.run_page(cursor=cursor, limit=70, **asked)
        found += [row.id for row in page.rows]
        if page.next is None:
            return found
        cursor = page.next
    raise AssertionError("the pages never end")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"sort": "updated"},
        {"sort": "-started"},
        {"sort": "started"},
        {"sort": "workflow"},
        {"sort": "-workflow"},
        {"sort": "status"},
        {"sort": "-status"},
        {"sort": "workflow", "status": "failed,cancelled"},
        {"sort": "-workflow", "status": "open"},
        {"sort": "status", "workflow": "incident"},
        {"sort": "status", "workflow": "incident", "status": "ended"},
        {"status": "failed"},
        {"status": "open"},
        {"status": "ended"},
        {"status": "failed,cancelled"},
        {"workflow": "incident"},
        {"workflow": "incident", "status": "completed"},
        {"workflow": "incident", "sort": "-started"},
        {"workflow": "nothing"},
        {"text": "HAM2"},
        {"text": "ham2"},
        {"text": "HAM2", "status": "completed"},
        {"text": "HAM2", "workflow": "access", "sort": "started"},
        {"text": "7"},
        {"text": "un-29"},
        {"text": "100%"},
        {"text": '"quoted'},
        {"text": "a_b"},
        {"text": "step7"},
        {"text": "step7", "status": "open", "sort": "started"},
        {"text": "p3"},
    ],
)
def test_pages_give_exactly_what_the_filter_says_in_order(reads: Queries, asked: dict[str, Any]) -> None:
    statuses = run_queries.statuses_of(asked.get("status", ""))
    text = asked.get("text", "").lower()
    expected = []
    for id_, workflow, status, seq, number, step, attributes, by, title, _ in everything(reads):
        words = (
            f"{id_} {workflow} {title} {by} {attributes} {step if status in run_queries.OPEN_STATUS else ''}".lower()
        )
        if status in statuses and asked.get("workflow", workflow) == workflow and text in words:
            expected.append((seq, number, id_, workflow, status))
    sort = asked.get("sort", "-updated")
    if sort.endswith(("workflow", "status")):
        group = 3 if sort.endswith("workflow") else 4
        expected.sort(key=lambda row: (row[group], -row[0]), reverse=sort.startswith("-"))
    else:
        by_number = bool(text) or sort.endswith("started")
        expected.sort(key=lambda row: row[1] if by_number else row[0], reverse=sort.startswith("-"))
    assert pages(reads, **asked) == [row[2] for row in expected]


def test_attention_lists_what_needs_a_person_newest_first(reads: Queries) -> None:
    expected = sorted(((row[3], row[0]) for row in everything(reads) if row[9]), reverse=True)
    assert pages(reads, status="attention") == [row[1] for row in expected]


def test_totals_are_exact_or_say_that_they_are_not(filled: Path) -> None:
    reads = Queries(filled)
    page = reads.run_page(status="failed")
    assert page.total_exact
    assert page.total == sum(row[2] == "failed" for row in everything(reads))
    counts = reads.counts()
    assert counts["runs"] == RUNS
    assert sum(counts.get(status, 0) for status in RUN_STATUS) == RUNS


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"status": "sleeping"}, "sleeping"),
        ({"sort": "colour"}, "colour"),
        ({"cursor": "1; drop table runs"}, "cursor"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(reads: Queries, asked: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        reads.run_page(**asked)
    with pytest.raises(ValueError, match="ajar"):
        reads.gate_page(state="ajar")


def test_what_is_not_there_is_none(reads: Queries) -> None:
    assert reads.run_detail("run-0") is None
    assert reads.gate_detail("run-0.1") is None
    assert reads.workflow("nothing") is None
    assert reads.run_rows(["run-0", "run-1"])[0].id == "run-1"
    assert reads.events(run="run-0").rows == ()
