"""Looking for anything: the id wins, every word counts, and the time is bounded."""

from __future__ import annotations

import sqlite3
import time

import pytest

from engine.contract.search import Found
from engine.store import search
from engine.store.search import Search, Shelf

CASES = Shelf("case", "cases", "title", "state", "updated_at", ("title", "robot"), "seq")
NOTES = Shelf("note", "notes", "title", "state", "updated_at", ("title",), "seq", quiet=True)


class Held:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection


@pytest.fixture
def looked() -> Search:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        """
        create table gates (id text primary key, question text, subject text, kind text, state text, opened_at real, seq int);
        create table rollouts (id text primary key, artifact text, version text, cohort text, started_by text, state text, updated_at real, seq int);
        create table robots (id text primary key, site text, variant text, reported text, customer text, hold text, mode text, at real) without rowid;
        create table cohorts (id text primary key, selector text, robots int, frozen_at real);
        create table definitions (workflow text, title text, version int);
        create table cases (id text primary key, title text, robot text, state text, updated_at real, seq int);
        create table notes (id text primary key, title text, state text, updated_at real, seq int);
        create index cases_seq on cases (seq);
        """
    )
    connection.execute(
        "insert into gates values ('run-4.7', 'Roll out nav 2?', 'nav', 'rollout_signoff', 'open', 1, 1)"
    )
    connection.execute("insert into rollouts values ('run-4', 'nav', '2.1', 'EU', 'mara', 'running', 5, 1)")
    for number in range(40):
        connection.execute(
            "insert into robots values (?, ?, 'amr', '2.0', 'acme', '', 'AUTOMATIC', 1)",
            (f"HAM{number % 2}-amr-{number:04}", f"HAM{number % 2}"),
        )
    connection.execute("insert into cohorts values ('EU', 'region:eu', 40, 1)")
    connection.execute("insert into definitions values ('staged-rollout', 'Staged rollout', 3)")
    for number in range(300):
        connection.execute(
            "insert into cases values (?, ?, ?, 'new', ?, ?)",
            (f"M-{number}", f"gripper slips {number}", "HAM1-amr-0001", float(number), number),
        )
    connection.execute("insert into notes values ('N-1', 'gripper', 'kept', 1, 1)")
    return Search(Held(connection), (CASES, NOTES))  # type: ignore[arg-type]


def ids(found: list[Found]) -> list[str]:
    return [f"{one.kind}:{one.id}" for one in found]


def best(looked: Search, text: str, **more: object) -> list[str]:
    found, _ = looked.find(text, **more)  # type: ignore[arg-type]
    return ids(sorted(found, key=lambda one: -search.fit(text, one)))


def test_an_id_is_found_first_in_any_case(looked: Search) -> None:
    assert best(looked, "m-17")[0] == "case:M-17"
    assert best(looked, "HAM0-amr-0004")[0] == "robot:HAM0-amr-0004"
    assert best(looked, "run-4")[0] == "rollout:run-4"


def test_every_word_must_occur_in_what_people_call_it(looked: Search) -> None:
    assert best(looked, "slips 299 gripper") == ["case:M-299"]
    assert best(looked, "gripper nowhere") == []
    assert "rollout:run-4" in best(looked, "nav 2.1")


def test_kinds_narrow_it_and_sites_are_things_too(looked: Search) -> None:
    assert best(looked, "ham", kinds=("site",)) == ["site:HAM0", "site:HAM1"]
    assert best(looked, "staged") == ["workflow:staged-rollout"]
    assert all(one.startswith("robot:") for one in best(looked, "ham1", kinds=("robot",)))


def test_what_there_are_hundreds_of_is_found_by_its_id_alone(looked: Search) -> None:
    assert "note:N-1" in best(looked, "n-1")
    assert "note:N-1" not in best(looked, "gripper")


def test_a_kind_with_more_says_so(looked: Search) -> None:
    found, cut = looked.find("gripper")
    assert cut
    assert 0 < len(found) <= search.PER_KIND


def test_nothing_typed_finds_nothing(looked: Search) -> None:
    assert looked.find("   ") == ([], False)


@pytest.mark.parametrize("text", ["%", "_%", "'", '"', "a' or 1=1 --", "\x00", "💥"])
def test_any_text_is_only_text(looked: Search, text: str) -> None:
    assert looked.find(text)[0] == []


def test_when_the_time_is_up_what_was_found_is_the_answer(looked: Search) -> None:
    connection = looked._reading.connection
    connection.executemany(
        "insert into robots values (?, 'X', 'amr', '2.0', 'acme', '', 'AUTOMATIC', 1)",
        ((f"zz-{number:06}",) for number in range(50_000)),
    )
    begun = time.perf_counter()
    found, cut = looked.find("notthere", budget_s=0.0)
    assert cut
    assert found == []
    assert connection.execute("select count(*) from robots").fetchone()[0] > 50_000, "the deadline ends with the search"
    assert time.perf_counter() - begun < 60
