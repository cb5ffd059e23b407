"""`--filter` on the command line: the same words as in the console, over the fields of what is listed."""

from __future__ import annotations

import click
import pytest

from app.cli.filtering import narrowed
from engine.contract.fleet import RobotRow
from engine.contract.records import RecordView


def robot(id: str, **more: object) -> RobotRow:
    usual = {"serial": "1", "site": "HAM2", "region": "eu", "customer": "acme", "variant": "B", "mode": "AUTOMATIC"}
    return RobotRow(id=id, desired="2", reported="2", **{**usual, **more})  # type: ignore[arg-type]


ROBOTS = (robot("a"), robot("b", site="HAM5", drift=True, last_seen_at=100.0), robot("c", last_seen_at=9_000.0))


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("", "abc"),
        ("site:ham5", "b"),
        ("-site:ham5", "ac"),
        ("drift:true", "b"),
        ("age>2h", "b"),
        ("age<1h site=HAM2", "c"),
        ("acme automatic", "abc"),
    ],
)
def test_rows_that_fit(words: str, ids: str) -> None:
    assert "".join(row.id for row in narrowed(ROBOTS, words, now=10_000.0)) == ids


def test_a_mistake_is_a_usage_error_that_names_the_word() -> None:
    with pytest.raises(click.UsageError, match="--filter sitte:x: no field is called sitte; did you mean site"):
        narrowed(ROBOTS, "sitte:x")


def test_a_wrapped_record_is_filtered_by_its_own_fields() -> None:
    pairs = [({"x": 1}, RecordView(id="M-1", state="new")), ({"x": 2}, RecordView(id="M-2", state="closed"))]
    assert narrowed(pairs, "state:clo", inner=lambda pair: pair[1]) == (pairs[1],)
