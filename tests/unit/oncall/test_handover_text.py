"""A handover as text and as Markdown: what comes from outside stays words."""

from __future__ import annotations

from msgspec.structs import replace

from app.cli import handover as cli
from engine.contract.oncall import ShiftLine
from tests import fake_oncall
from tests.fakes import BASE


def test_text_and_markdown_say_the_four_lists_and_what_is_in_command() -> None:
    one = replace(fake_oncall.handover(BASE), state="accepted", receiver="lena", answered_at=BASE, transferred=("I-44",), kept=(("I-40", "bo commands it"),))  # fmt: skip
    text, paper = cli.whole(one), cli.document(one)
    for word in (
        "COMMANDED BY ANA",
        "WAITS",
        "ENDS WITHIN 2H",
        "HAPPENED SINCE",
        "command gone over: I-44",
        "unclaimed",
    ):
        assert word in text
    assert paper.startswith("# Handover HO-7: ana to lena, accepted ")
    assert "> Aisle 7 is roped off" in paper and "Command of I-44 went over to lena." in paper
    assert "Command of I-40 did not go over: bo commands it." in paper
    assert "- run-42.7 decision: Promote nav 4.8.2 from canary to 10 %?, in 1h 10m" in paper


def test_what_robots_call_themselves_is_no_markup_and_moves_no_cursor() -> None:
    hostile = ShiftLine(kind="case", id="M-1", text="`x` [click](http://e) <b>\x1b[2J\n# head", level="alarm")
    report = replace(fake_oncall.report(BASE), waits=(hostile,))
    paper, text = cli.as_markdown(report), cli.as_text(report)
    assert "\\`x\\` \\[click\\](http://e) \\<b\\>" in paper and "\n# head" not in paper
    assert "\x1b" not in paper + text


def test_an_empty_shift_says_nothing_happened() -> None:
    report = replace(fake_oncall.report(BASE), commands=(), waits=(), expires=(), happened=(), more={"happened": 3})
    assert cli.as_text(report).count("nothing") == 3 and "and 3 more" in cli.as_text(report)
    assert "Commanded by" not in cli.as_markdown(report)
