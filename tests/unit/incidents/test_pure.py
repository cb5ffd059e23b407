"""Suspects, scope and options without an engine: the numbers of the domain's own example, and the edges."""

from __future__ import annotations

from typing import Any

import pytest

from engine.capabilities.incidents.options import Ground, matrix, previous_of
from engine.capabilities.incidents.scope import digest, resolve
from engine.capabilities.incidents.suspects import Seen, rank
from engine.capabilities.packs import load_pack
from engine.capabilities.ports import InstallReport, Release, Robot
from engine.contract.incidents import OPTION_KINDS

POLICY = load_pack("hotfix")


def fleet(events: int, hours: float, others: int, other_hours: float) -> list[Seen]:
    """Two robots on the new version, two on the old one, at different sites."""
    return [
        Seen(
            robot="a", version="4.8.1", site="S1", variant="rev-C", events=events, hours=hours, heard=100, expected=100
        ),
        Seen(robot="b", version="4.8.1", site="S2", variant="rev-B", heard=100, expected=100),
        Seen(
            robot="c",
            version="4.7.9",
            site="S1",
            variant="rev-B",
            events=others,
            hours=other_hours,
            heard=100,
            expected=100,
        ),
        Seen(robot="d", version="4.7.9", site="S2", variant="rev-C", heard=100, expected=100),
    ]


def test_the_worked_example_of_the_domain_is_reproduced() -> None:
    """9 in 120 h against 31 in 1,100 h: ratio 2.66, bounds 1.28 to 5.15, p .014 (domain section 3.2)."""
    found = rank(fleet(9, 120, 31, 1100), version="4.8.1", changes=(), policy=POLICY["suspects"])
    first = found.suspects[0]
    assert first.change == "4.8.1" and first.blamed
    assert first.ratio == pytest.approx(2.661, abs=1e-3)
    assert (first.low, first.high) == (pytest.approx(1.2822, abs=1e-3), pytest.approx(5.1516, abs=2e-3))
    assert first.text == "4.8.1 ratio 2.7 [1.3 5.2] 9/120 h against 31/1100 h"


def test_a_ratio_whose_bound_includes_one_is_not_shown_worse() -> None:
    first = next(
        s
        for s in rank(fleet(4, 120, 31, 1100), version="4.8.1", changes=(), policy=POLICY["suspects"]).suspects
        if s.change == "4.8.1"
    )
    assert not first.blamed and first.text.endswith("not shown worse")


def test_many_changes_make_each_harder_to_blame() -> None:
    """Holm: the same contrast that stands alone does not stand among many."""
    noise = [{"name": f"map {i}", "kind": "map", "robots": ["c" if i % 2 else "d"]} for i in range(6)]
    alone = rank(fleet(9, 120, 31, 1100), version="4.8.1", changes=(), policy=POLICY["suspects"]).suspects[0]
    crowd = next(
        s
        for s in rank(fleet(9, 120, 31, 1100), version="4.8.1", changes=noise, policy=POLICY["suspects"]).suspects
        if s.change == "4.8.1"
    )
    assert alone.p is not None and crowd.p is not None and crowd.p > alone.p and not crowd.blamed


def test_nothing_seen_is_no_cause() -> None:
    found = rank([], version="4.8.1", changes=(), policy=POLICY["suspects"])
    assert found.suspects == () and "coverage 0%" in found.blind


def robot(name: str, version: str = "4.8.1", **more: Any) -> Robot:
    fields = {
        "id": name,
        "site": "HAM2",
        "variant": "rev-C",
        "version": version,
        "mode": "AUTOMATIC",
        "online": True,
        "battery": 0.9,
        "poll_s": 60.0,
    }
    return Robot(**{**fields, **more})


def test_whoever_may_have_it_is_counted_and_the_digest_binds_the_query() -> None:
    robots = [
        robot("on"),
        robot("away", online=False),
        robot("new", "4.7.9"),
        robot("silent", ""),
        robot("fine", "4.7.9"),
    ]
    reports = {"new": InstallReport(robot="new", state="installing", desired="4.8.1", reported="4.7.9")}
    found = resolve(version="4.8.1", selector="", involved=(), robots=robots, reports=reports)
    assert found.affected == ("on",) and {name for name, _ in found.unsure} == {"away", "new", "silent"}
    assert found.digest == digest("4.8.1", "", ["on"]) != digest("4.8.1", "site:HAM2", ["on"])
    named = resolve(version="", selector="", involved=("fine", "away"), robots=robots, reports={})
    assert named.affected == ("fine",) and [name for name, _ in named.unsure] == ["away"]


def ground(**over: Any) -> Ground:
    robots = {f"R{i}": robot(f"R{i}") for i in range(3)}
    given: dict[str, Any] = {
        "version": "4.8.1", "previous": "4.7.9", "forward": "", "hotfix": "", "sev": 2, "affected": tuple(robots), "unsure": (),
        "robots": robots, "releases": (Release(id="1", version="4.7.9", digest="a", size_b=1),), "held": {}, "leased": {}, "barred": {},
        "healthy": {}, "can": frozenset(), "loss": {}, "policy": POLICY,
    }  # fmt: skip
    return Ground(**{**given, **over})


def test_a_robot_under_somebodys_hands_is_not_in_an_install() -> None:
    rows = {row.kind: row for row in matrix(ground(leased={"R1": "under a control lease (L-7)"}))}
    assert dict(rows["rollback"].blocked) == {"R1": "under a control lease (L-7)"} and rows["rollback"].note.startswith(
        "1 under control"
    )


def test_an_old_version_nobody_was_seen_working_with_is_said_to_be_so() -> None:
    rows = {row.kind: row for row in matrix(ground())}
    assert rows["rollback"].case_valid == "?" and "not seen working on rev-C" in rows["rollback"].note
    rows = {row.kind: row for row in matrix(ground(healthy={"4.7.9": frozenset({"rev-C"})}))}
    assert rows["rollback"].case_valid == "yes"


@pytest.mark.parametrize("held", [{}, {"R0": "legal hold H-1", "R1": "legal hold H-2", "R2": "legal hold H-3"}])
def test_all_six_columns_stand_whatever_is_possible(held: dict[str, str]) -> None:
    rows = matrix(ground(held=held))
    assert tuple(row.kind for row in rows) == OPTION_KINDS
    for row in rows:
        assert not set(row.covered) & {name for name, _ in row.blocked}
        assert not set(row.covered) & set(held) or row.kind == "monitor"
        assert bool(row.phrase) == row.feasible or row.kind in ("monitor",)


def test_the_version_before_is_what_most_others_run_else_the_newest_older_release() -> None:
    releases = [
        Release(id=str(i), version=v, digest=v, size_b=1) for i, v in enumerate(("4.6.0", "4.7.9", "4.8.1", "4.9.0"))
    ]
    assert previous_of("4.8.1", [robot("a", "4.6.0"), robot("b", "4.6.0"), robot("c", "4.7.9")], releases) == "4.6.0"
    assert previous_of("4.8.1", [robot("a")], releases) == "4.7.9"
    assert previous_of("4.6.0", [robot("a", "4.6.0")], releases) == ""
