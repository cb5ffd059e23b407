"""What rings, how often, and what reaches the terminal."""

from __future__ import annotations

from typing import Any

import pytest

from app import alerting
from app.alerting import BELL, BELL_S, NOTICE_S, Ringer, news, notification
from engine.contract.oncall import HandoverRecord, OnCallView, QuietHours, Watched
from engine.contract.system import Changes, FeedLine
from screens.ringing import Wishes, wishes
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At

XTERM = {"TERM": "xterm-256color"}


def test_a_bell_rings_once_in_ten_seconds_and_what_came_between_is_in_the_next_notification() -> None:
    ringer, wanted = Ringer(XTERM), Wishes()
    ringer.hear("alarm", "one", wanted, False)
    first = ringer.writes(0.0, wanted, "Quarterdeck")
    assert first[0] == BELL and "one" in first[1] and "(1!)" in first[-1]
    for number in range(7):
        ringer.hear("alarm", f"next {number}", wanted, False)
    assert BELL not in ringer.writes(BELL_S - 1, wanted)
    assert 0 < ringer.wait(BELL_S - 1) <= 1.0
    assert ringer.writes(BELL_S, wanted) == [BELL]
    (said,) = ringer.writes(NOTICE_S, wanted)
    assert "next 0 (and 6 more)" in said
    assert ringer.wait(NOTICE_S) == 0.0


def test_only_what_is_grave_enough_rings_and_nothing_in_quiet_hours_but_the_badge_counts() -> None:
    ringer, wanted = Ringer(XTERM), Wishes(bell="alarm", desktop="off", title="warning")
    ringer.hear("warning", "w", wanted, False)
    assert ringer.writes(0.0, wanted, "Q")[-1] == "\x1b]2;(1!) Q\x07" and ringer.badge == 1
    ringer.hear("alarm", "a", wanted, True)
    assert BELL not in ringer.writes(1.0, wanted, "Q") and ringer.badge == 2
    assert ringer.looked() == [alerting.RESTORE_TITLE] and ringer.looked() == []


def test_a_notification_carries_no_control_code_of_what_it_tells_and_goes_through_tmux_whole() -> None:
    hostile = "robot\x1b]52;c;aGk=\x07\x9d;x"
    said = notification(hostile, XTERM)
    assert said.startswith("\x1b]9;Quarterdeck: ") and said.endswith("\x07")
    assert not any(char in said[2:-1] for char in "\x1b\x07\x9d")
    assert notification("x", {"TERM": "foot"}).startswith("\x1b]777;notify;Quarterdeck;")
    assert notification("x", XTERM, "osc777").startswith("\x1b]777;")
    wrapped = notification("x", {**XTERM, "TMUX": "/tmp/t,1,0"})
    assert wrapped == "\x1bPtmux;\x1b\x1b]9;Quarterdeck: x\x07\x1b\\"


@pytest.mark.parametrize("term", ["linux", "dumb", ""])
def test_a_terminal_that_would_print_it_gets_the_bell_alone(term: str) -> None:
    ringer, wanted = Ringer({"TERM": term}), Wishes()
    ringer.hear("alarm", "x", wanted, False)
    assert ringer.writes(0.0, wanted, "Q") == [BELL]


def test_a_word_in_the_settings_that_is_none_counts_as_not_said() -> None:
    assert wishes({"bell": "loud", "title": "off", "when": "duty"}) == Wishes(title="off", when="duty")
    assert wishes("nonsense") == Wishes()


def view(seq: int = 5, **more: Any) -> OnCallView:
    one = Watched(watch="WA-1", kind="case", id="M-4", title="t", text=f"moved {seq}", seq=seq, at=BASE, news=True)
    return OnCallView(me="lena", watched=(one,), **more)


def test_what_changed_since_the_last_look_is_told_once() -> None:
    offer = HandoverRecord(id="HO-1", state="offered", giver="ana", offered_at=BASE)
    assert news(None, view()) == []
    assert news(view(5), view(5)) == []
    assert news(view(5), view(6)) == ["M-4: moved 6"]
    assert news(view(5), view(5, handovers=(offer,))) == ["ana hands over to you (HO-1)"]


async def test_an_alarm_of_the_feed_rings_and_what_i_did_myself_does_not(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("TMUX", raising=False)
    quiet = QuietHours(since=BASE - 60, until=BASE + 3600, severities=("info", "warning"))
    client = FakeClient(answers_to={"/v1/oncall": view(quiet=quiet)})
    async with at("watch", client=client, size=(80, 24)) as desk:
        await desk.settle()
        console: Any = desk.console
        assert console.model.oncall is not None
        written: list[str] = []
        monkeypatch.setattr(console._driver, "write", written.append)

        def hear(level: str, actor: str) -> None:
            line = FeedLine(
                seq=9, at=BASE, run="run-7", type="RunFailed", actor=actor, text="the run failed", level=level
            )
            console.hear([Changes(seq=9, at=BASE, sent=BASE, lines=(line,))])

        hear("alarm", "lena")
        assert BELL not in written
        hear("warning", "engine")
        assert BELL not in written and any("(1!)" in piece for piece in written)
        hear("alarm", "engine")
        assert BELL in written and any("run-7 the run failed" in piece for piece in written)
        await desk.press("j")
        assert written[-1] == alerting.RESTORE_TITLE or alerting.RESTORE_TITLE in written
