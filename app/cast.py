"""What a gateway's terminal says, made fit for ours: live, and played from a recording.

A program on a gateway may write anything. What makes a terminal do more than paint is taken out: strings to the terminal
itself (clipboard, title, answers to questions: OSC, DCS, APC, PM, SOS), C1 controls, and, in a replay, everything the
terminal would answer (it would be typed into the shell afterwards) and modes that outlive it (mouse, paste).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

_PLAYED = frozenset("ABCDEFGHIJKLMPSTXZ@`adefghlmrsu")
"""Final bytes of control sequences (ECMA-48) that only paint: cursor, erase, insert, scroll, colour, modes."""
_MODES = frozenset(["1", "3", "5", "6", "7", "12", "25", "45", "47", "1047", "1048", "1049"])
"""Private modes a replay may set: cursor keys, width, reverse, origin, wrap, blink, cursor, the other screen."""
_LIVE_NOT = frozenset("tx")
"""Window manipulation and terminal parameters: reports of a title have been used to type commands."""
_STRING = frozenset("]PX^_")
_SIMPLE = frozenset("78DEHM=>c")
_MOST = 4096
_OTHER_SCREEN = ("47", "1047", "1049")
_CALM = "\x1b7\x1b[r\x1b8\x1b[?7h\x1b[?25h\x1b[?1l\x1b>\x1b[4l\x1b[0m\x0f"
"""Margins, wrap, cursor, keys, insert, colour, character set, with the cursor where it is (DECSC, DECRC)."""
_HEARS = "".join(f"\x1b[?{mode}l" for mode in (9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004))
"""Mouse, focus and paste reports: what was left on would be typed into the next program."""
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f]+")


class Inert:
    """A filter over a stream of text, which may be cut anywhere."""

    def __init__(self, *, played: bool) -> None:
        self._played = played
        self._held = ""
        self._in_string = False
        self._other_screen = False

    @property
    def reset(self) -> str:
        """What puts our terminal back to what it was, wherever the stream ended."""
        return ("\x1b[?1049l" if self._other_screen else "") + _CALM + ("" if self._played else _HEARS)

    def __call__(self, text: str) -> str:
        text, self._held = self._held + text, ""
        out: list[str] = []
        at = 0
        while at < len(text):
            if self._in_string:
                at = self._past_string(text, at)
                continue
            if found := _TEXT.match(text, at):
                out.append(found.group())
                at = found.end()
                continue
            char = text[at]
            if char != "\x1b":
                if char in "\r\n\t\b\v\f\x0e\x0f" or (char == "\x07" and not self._played):
                    out.append(char)
                elif "\x80" <= char <= "\x9f" and char in "\x90\x98\x9d\x9e\x9f":
                    self._in_string = True
                at += 1
                continue
            taken = self._escape(text, at, out)
            if not taken:
                self._held = text[at:]
                break
            at += taken
        return "".join(out)

    def _escape(self, text: str, at: int, out: list[str]) -> int:
        """How long the sequence is; 0 when its end has not come yet."""
        if len(text) - at < 2:
            return 0
        second = text[at + 1]
        if second == "[":
            return self._control(text, at, out)
        if second in _STRING:
            self._in_string = True
            return 2
        if second in "()*+-./ #%":
            if len(text) - at < 3:
                return 0
            if second in "()":
                out.append(text[at : at + 3])
            return 3
        if second in _SIMPLE:
            out.append(text[at : at + 2])
        return 2 if second != "\x1b" else 1

    def _control(self, text: str, at: int, out: list[str]) -> int:
        end = at + 2
        while end < len(text) and " " <= text[end] <= "?":
            end += 1
            if end - at > _MOST:
                return end - at
        if end == len(text):
            return 0
        final, inside = text[end], text[at + 2 : end]
        if "@" <= final <= "~" and self._harmless(inside, final):
            out.append(text[at : end + 1])
            if final in "hl" and inside.startswith("?") and set(inside[1:].split(";")) & set(_OTHER_SCREEN):
                self._other_screen = final == "h"
        return end + 1 - at

    def _harmless(self, inside: str, final: str) -> bool:
        if not self._played:
            return final not in _LIVE_NOT
        if final not in _PLAYED:
            return False
        if inside.startswith(("<", "=", ">")):
            return False
        if inside.startswith("?"):
            return final in "hl" and all(one in _MODES for one in inside[1:].split(";"))
        return True

    def _past_string(self, text: str, at: int) -> int:
        """Past what is said to the terminal itself; strings may go on in what comes next."""
        ends = [found for found in (text.find("\x07", at), text.find("\x1b", at), text.find("\x9c", at)) if found >= 0]
        if not ends:
            return len(text)
        end = min(ends)
        if text[end] != "\x1b":
            self._in_string = False
            return end + 1
        if end + 1 == len(text):
            self._held = "\x1b"  # its other half decides
            return len(text)
        self._in_string = False
        return end + 2 if text[end + 1] == "\\" else end


def plain_text(text: str) -> str:
    """What a terminal would have shown, line by line, without any sequence. For searching and for pipes."""
    painted = Inert(played=True)(text)
    bare = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|[()].|.)", "", painted)
    lines = []
    for line in bare.replace("\r\n", "\n").split("\n"):
        kept = line.rsplit("\r", 1)[-1] if not line.endswith("\r") else line.rstrip("\r").rsplit("\r", 1)[-1]
        shown: list[str] = []
        for char in kept:
            if char != "\b":
                shown.append(char)
            elif shown:
                shown.pop()
        lines.append("".join(char for char in shown if char == "\t" or char >= " "))
    return "\n".join(lines)


def play(
    events: Iterable[tuple[float, str, str]],
    write: Callable[[str], None],
    *,
    speed: float = 1.0,
    longest: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Plays output at `speed`; no pause is longer than `longest` seconds. ^C ends it. Returns how far it came (s)."""
    inert, at, last = Inert(played=True), 0.0, 0.0
    for when, code, data in events:
        pause = min(max(0.0, when - at), longest) / max(speed, 0.01)
        at, last = max(at, when), max(last, when)
        try:
            if pause > 0.001:
                sleep(pause)
        except KeyboardInterrupt:
            break
        if code == "o":
            write(inert(data))
    write(inert.reset)
    return last
