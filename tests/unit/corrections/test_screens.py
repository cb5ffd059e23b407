"""Corrections by keyboard: what is listed first, phases set by digits, and what a key may not do and why."""

from __future__ import annotations

import pytest

from engine.contract.corrections import Span
from screens.clip_edit import Edits
from screens.correction import CorrectionScreen
from tests.fakes import FakeClient
from tests.unit.corrections import world
from tests.unit.decision_screens.conftest import At, at  # noqa: F401


async def test_what_waits_stands_first_and_clusters_by_score(at: At) -> None:  # noqa: F811
    async with at(":corrections", client=world.client(), size=(160, 45)) as desk:
        text = desk.text
        assert "5 open, 2 clusters" in text and "1 to triage, 3 to annotate" in text and "1 want you as 2nd" in text
        assert text.index("CL-17") < text.index("CL-12")
        assert text.index("COR-4") < text.index("COR-1") < text.index("COR-6")
        assert "network?" in text and "COR-5" not in text, "what is over is not in the way"
        await desk.press("x")
        assert "COR-5" in desk.text and "lost" in desk.text


async def test_it_all_fits_in_eighty_by_twenty_four(at: At) -> None:  # noqa: F811
    for start in (":corrections", ":correction COR-1", ":cluster CL-12"):
        async with at(start, client=world.client()) as desk:
            lines = desk.text.splitlines()
            assert len(lines) <= 24 and max(map(len, lines)) <= 80
            assert "…" not in lines[1]


async def test_the_cause_as_suggested_is_one_key(at: At) -> None:  # noqa: F811
    async with at(":corrections", client=world.client()) as desk:
        await desk.press("a")
        assert [(one.verb, one.target, one.args) for one in desk.sent()] == [
            ("correction.triage", "COR-4", {"cause": "network"})
        ]


async def test_the_cards_score_is_never_bare(at: At) -> None:  # noqa: F811
    async with at(":correction COR-1", client=world.client()) as desk:
        text = desk.text
        assert "score 5.1 = sev 3 x ln15 x gap .80 x nov .90 x q .95 x .92" in text
        assert "14 events / 310 robot-h (4.5/100h [2.7 7.1])" in text and "agreement .86 [.74 .93] n=84" in text
        assert "→M-311" in text and "pau" in text and "recovery" in text


async def test_phases_are_set_by_digits_and_edges_by_brackets(at: At) -> None:  # noqa: F811
    async with at(":correction COR-1", client=world.client()) as desk:
        screen = desk.console.screen
        assert isinstance(screen, CorrectionScreen)
        await desk.press("shift+right", "right_square_bracket", "right_square_bracket", "right_square_bracket")
        assert next(s for s in screen.edits.spans if s.phase == "recovery").t0 == pytest.approx(1.6)
        assert "recovery +0.3 s" in desk.text
        await desk.press("minus", "S")
        sent = desk.sent("correction.annotate")
        assert len(sent) == 1 and sent[0].args["quality"] == 3
        assert {"t0": 1.6, "t1": 6.8, "phase": "recovery"} in sent[0].args["spans"]
        await desk.press("right", "right", "5")
        assert screen.edits.phase() == "correction"


async def test_a_digit_here_is_no_screen(at: At) -> None:  # noqa: F811
    async with at(":correction COR-1", client=world.client()) as desk:
        await desk.press("2")
        assert isinstance(desk.console.screen, CorrectionScreen)
        await desk.press("u")
        assert not desk.console.screen.edits.changed


async def test_others_words_are_shown_after_ones_own(at: At) -> None:  # noqa: F811
    client = world.client()
    async with at(":correction COR-2", client=client) as desk:
        assert not any(line.strip().startswith("max ") for line in desk.text.splitlines())
    mine = world.case(2, double=True, annotations=(world.said("max", 0.4), world.said("ann")), state="adjudicating")
    client.held["correction"][1] = mine
    async with at(":correction COR-2", client=client) as desk:
        assert any(line.strip().startswith("max ") for line in desk.text.splitlines())
        await desk.press("S")
        assert not desk.sent() and "a third person settles it" in desk.text


async def test_unsent_phases_are_not_left_behind(at: At) -> None:  # noqa: F811
    async with at(":correction COR-1", client=world.client()) as desk:
        await desk.press("right_square_bracket", "space")
        assert "unsent phases of COR-1" in desk.text
        await desk.press("u", "space")
        assert desk.console.screen.correction != "COR-1"  # type: ignore[attr-defined]


async def test_a_decided_one_keeps_its_keys_and_says_why(at: At) -> None:  # noqa: F811
    async with at(":correction COR-6", client=world.client()) as desk:
        for key, reason in (
            ("T", "its side is decided"),
            ("a", "its cause is decided"),
            ("3", "while it is annotating"),
        ):
            await desk.press(key)
            assert reason in " ".join(desk.text.split()), key
        assert not desk.sent()
        assert "bins-v14" in desk.text


async def test_discard_asks_for_its_reason(at: At) -> None:  # noqa: F811
    async with at(":correction COR-1", client=world.client()) as desk:
        await desk.press("D")
        await desk.armed()
        await desk.press("enter")
        assert desk.asking and not desk.sent(), "without a reason nothing is sent"


async def test_a_lost_window_says_why_and_has_nothing_to_edit(at: At) -> None:  # noqa: F811
    async with at(":correction COR-5", client=world.client()) as desk:
        assert "holds nothing of that time any more" in desk.text
        await desk.press("S")
        assert not desk.sent()


async def test_an_unsound_window_is_said_to_be_so(at: At) -> None:  # noqa: F811
    client = world.client()
    path = "/v1/corrections/COR-1/clip"
    client.answers_to[path] = world.msgspec_replace(client.answers_to[path], sound=False)
    async with at(":correction COR-1", client=client) as desk:
        assert "can't be read, or is not what was kept" in desk.text


async def test_nothing_yet_says_what_to_do(at: At) -> None:  # noqa: F811
    client = FakeClient(empty=True)
    client.answers_to["/v1/corrections/board"] = world.empty_board()
    async with at(":corrections", client=client) as desk:
        assert "reports one" in desk.text


async def test_hostile_text_stays_text(at: At) -> None:  # noqa: F811
    client = world.client()
    client.held["correction"][0] = world.case(1, title="\x1b[2J[red]x", robot="R\x07\x1b]52;c;x\x07", zone="[link=x]")
    client.held["cluster"][0] = world.cluster(title="[bold]\x1b[31mx")
    async with at(":correction COR-1", client=client) as desk:
        assert "\x1b" not in desk.text and "\x07" not in desk.text


def edits() -> Edits:
    return Edits(world.SPANS, world.SPANS).at(0.0)


def test_edges_stop_at_their_neighbours() -> None:
    moved = edits().at(1.3)
    for _ in range(200):
        moved = moved.move(0.1)
    spans = {span.phase: span for span in moved.spans}
    assert spans["recovery"].t0 == pytest.approx(6.7) and spans["handover"].t1 == pytest.approx(6.7)
    assert all(a.t1 == pytest.approx(b.t0) for a, b in zip(moved.spans, moved.spans[1:], strict=False))


def test_a_phase_begins_at_the_cursor_or_takes_the_whole_span() -> None:
    whole = edits().at(0.0).begin("recovery")
    assert [span.phase for span in whole.spans].count("recovery") == 1 and whole.spans[2].t0 == 0.0
    part = edits().at(3.0).begin("correction")
    assert next(s for s in part.spans if s.phase == "correction") == Span(t0=3.0, t1=14.2, phase="correction")


def test_the_cursor_stays_in_the_clip() -> None:
    assert edits().at(-500).cursor == -30.0 and edits().at(500).cursor == 30.0
    assert edits().jump(1).cursor == pytest.approx(1.3) and edits().jump(-1).cursor == pytest.approx(-1.5)
    empty = Edits(())
    assert empty.move(0.1) == empty and empty.begin("post") == empty and empty.phase() == ""
