"""`qd --plain`: lines in, lines out; nothing moves the cursor and nothing comes unasked."""

from __future__ import annotations

import pytest

from app import lines


def converse(said: list[str], capfd: pytest.CaptureFixture[str], look: list[str] | None = None) -> tuple[int, str]:
    left = iter(said)

    def read() -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    code = lines.converse(lambda: look if look is not None else ["waits for you: run-1.3 Install it?"], read=read)
    return code, "".join(capfd.readouterr())


def test_how_things_stand_is_said_once_and_again_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    code, out = converse(["", "w", "q"], capfd)
    assert code == 0 and out.count("waits for you: run-1.3") == 3


def test_a_line_is_a_command_of_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    _, out = converse(["gates --help", "qd rollouts --help", "help"], capfd)
    assert "Usage: qd gates" in out and "Usage: qd rollouts" in out and "Usage: qd [OPTIONS]" in out


def test_what_is_wrong_is_said_and_the_next_line_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    code, out = converse(["explode now", "run 'half", "gates --help"], capfd)
    assert code == 0 and "ended with 2" in out and "not understood" in out and "Usage: qd gates" in out


def test_nothing_moves_the_cursor_whatever_the_engine_says(capfd: pytest.CaptureFixture[str]) -> None:
    _, out = converse(["q"], capfd, ["waits for you: \x1b[2Jrun-1\x9b31m"])
    assert "\x1b" not in out and "\x9b" not in out and "\r" not in out


def test_who_one_is_in_the_sandbox_stays_from_line_to_line() -> None:
    assert lines._knows_as(["gates", "approve", "run-1.3"]) and lines._knows_as(["rollouts", "pause", "1"])
    assert not lines._knows_as(["explode"])
