"""The language of filters: what fits, what is wrong and which word is named, what can be completed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.query import Filter, Wrong, amount, bare, complete, narrowing, parse

ROW = {
    "": "run-42 waiting HAM2 nav rollout 2h05m 1,204 mara at gate",
    "run": "run-42",
    "status": "waiting",
    "site": "HAM2",
    "what": "nav rollout",
    "age": "2h05m",
    "robots": "1,204",
    "at step, waits for": "at gate",
}
FIELDS = tuple(ROW)


def fits(text: str) -> bool:
    found = parse(text, FIELDS)
    assert isinstance(found, Filter), found
    return found.matches(ROW)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", True),
        ("WAITING ham2", True),
        ("failed", False),
        ("-failed", True),
        ("-waiting", False),
        ('"nav rollout"', True),
        ('"rollout nav"', False),
        ('-"nav rollout"', False),
        ("status:wait", True),
        ("status=wait", False),
        ("status=waiting", True),
        ("status!=waiting", False),
        ("status!=failed", True),
        ("status:failed,waiting", True),
        ("-status:failed,waiting", False),
        ("site:HAM2 age>2h -slow", True),
        ("age>2h", True),
        ("age>2h6m", False),
        ("age<=2h05m", True),
        ("robots>=1204", True),
        ("robots<1k", False),
        ("-robots<1k", True),
        ("status>3", False),
        ("-status>3", False),
        ("stat:waiting", True),
        ('what:"nav roll"', True),
        ("waits:gate", True),
        ("at-step-waits-for:gate", True),
    ],
)
def test_what_fits(text: str, wanted: bool) -> None:
    assert fits(text) is wanted


@pytest.mark.parametrize(
    ("text", "word", "reason"),
    [
        ("staus:waiting", "staus:waiting", "did you mean status:?"),
        ("nowhere:1", "nowhere:1", "fields here: run, status"),
        ("site:", "site:", "needs a value"),
        ("age>soon", "age>soon", "soon is no number"),
        ("age>1h,2h", "age>1h,2h", "one value"),
        ('a "b c', '"b c', 'no closing "'),
        ("x - y", "-", "stands alone"),
        ("r:1", "r:1", "no field is called r"),
    ],
)
def test_what_is_wrong_names_the_word(text: str, word: str, reason: str) -> None:
    found = parse(text, FIELDS)
    assert isinstance(found, Wrong)
    assert found.word == word
    assert reason in found.reason


def test_times_and_addresses_are_words() -> None:
    assert parse("09:14 http://x", FIELDS) == parse('"09:14" "http://x"', FIELDS) or fits("-09:14 -http://x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("42s", 42),
        ("4m12s", 252),
        ("<1m", 60),
        ("2d4h", 187200),
        ("-3h", 10800),
        ("1,234", 1234),
        ("12 %", 12),
        ("4.2 GB", 4.2e9),
        ("3k", 3000),
        ("0.53", 0.53),
        ("09:30", 34200),
        ("", None),
        ("—", None),
        ("rev-B", None),
        ("5 min late", 300),
        ("6 missing", 6),
    ],
)
def test_amounts(text: str, seconds: float | None) -> None:
    assert amount(text) == seconds


def test_dates_and_times_are_in_order() -> None:
    ordered = ["2026-11-22", "2026-11-22 23:59", "2026-11-23", "2026-11-23 09:14:03Z", "2026-12-01"]
    amounts = [amount(text) for text in ordered]
    assert amounts == sorted(amounts, key=lambda one: one or 0)
    assert len(set(amounts)) == len(ordered)


def test_signs_before_a_word_are_no_part_of_it() -> None:
    assert parse("status=failed", FIELDS).matches({"status": "\u2717 failed"})  # type: ignore[union-attr]
    assert [bare(text) for text in ("\u2717 failed", "failed", "-3 %", "\u2014")] == [
        "failed",
        "failed",
        "-3 %",
        "\u2014",
    ]


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("sta", "status:"),
        ("HAM2 -si", "HAM2 -site:"),
        ("status:wa", "status:waiting"),
        ("status:failed,wa", "status:failed,waiting"),
        ("what:na", 'what:"nav rollout"'),
        ("status:", ""),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_completion(text: str, completed: str) -> None:
    values = {"status": ["failed", "waiting"], "what": ["nav rollout"]}
    assert complete(text, FIELDS, lambda name: values.get(name, ())) == completed


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_says_what_is_wrong(text: str) -> None:
    found = parse(text, FIELDS)
    if isinstance(found, Wrong):
        assert found.reason
        assert found.word
    else:
        found.matches(ROW)
    narrowed = narrowing(text, FIELDS)
    assert narrowed is None or narrowed(ROW) in (True, False)
    complete(text, FIELDS, lambda name: ("a", "b c"))
    amount(text)


@given(st.lists(st.sampled_from(["status:waiting", "HAM2", "-x", "age>1h"]), max_size=4))
def test_terms_commute(words: list[str]) -> None:
    assert fits(" ".join(words)) == fits(" ".join(reversed(words)))
