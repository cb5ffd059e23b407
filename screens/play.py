"""A session on a gateway as it was, or as it goes: the recording in a terminal of our own making.

What the gateway said is fed to a terminal in memory, and its cells are painted here: nothing of it reaches our terminal.
A session that is open is followed; who is not its own person watches on the record.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import Any

from textual.app import ComposeResult

from engine.contract.common import CommandAnswer
from engine.contract.gateways import SESSION_LIVE, CastPage, SshSession
from screens import acts, figures, gateways_view
from screens.acts import Act, Level, Reason
from screens.base import QScreen, Target
from screens.model import Delta, age
from screens.widgets.line import Lines
from screens.widgets.parts import Part

TICK_S = 0.1
PAUSE_S = 2.0
"""No pause is longer: people type slowly."""
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
STEP_S = 10.0
MOST_B = 24_000_000
"""Characters of a recording that are held here; a longer one is for the command line."""
FOLLOW_S = 0.7

acts.register(
    Act("play.pause", "space", "pause/play", help="Stop, or go on", order=1),
    Act("play.back", "left", f"-{STEP_S:.0f} s", help="Back", order=2),
    Act("play.forward", "right", f"+{STEP_S:.0f} s", help="Forward", order=3),
    Act("play.slower", "minus", "slower", help="Half as fast", order=4),
    Act("play.faster", "plus", "faster", help="Twice as fast", order=5),
    Act("play.first", "g", "beginning", help="To the beginning", order=6),
    Act("play.last", "G", "end", help="To the end; of a session that is open: follow it", order=7),
    Act("play.cut", "K", "end it", target="session", level=Level.SAFE, command="gateway.cut", help="End this session, at once", cli="qd access cut {id}", order=8),
)  # fmt: skip


class Tape:
    """The events that were fetched, and a terminal that stands at one moment of them. Pure but for its state."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str, str]] = []
        self.cols, self.rows = 80, 24
        self.held = 0
        self.at = 0.0
        self._fed = 0
        self._screen: Any = None
        self._stream: Any = None

    @property
    def length(self) -> float:
        return self.events[-1][0] if self.events else 0.0

    def header(self, header: dict[str, Any]) -> None:
        self.cols, self.rows = _whole(header.get("width"), 80), _whole(header.get("height"), 24)
        self._reset()

    def add(self, events: tuple[tuple[float, str, str], ...]) -> None:
        for event in events:
            if self.held < MOST_B:
                self.events.append(event)
                self.held += len(event[2])

    def seek(self, at: float) -> None:
        """The terminal as it stood then."""
        at = max(0.0, min(at, self.length))
        if at < self.at or self._screen is None:
            self._reset()
        self.at = at
        while self._fed < len(self.events) and self.events[self._fed][0] <= at:
            _, code, data = self.events[self._fed]
            self._fed += 1
            if code == "o":
                with contextlib.suppress(Exception):  # a sequence the terminal does not know is not worth a screen
                    self._stream.feed(data)
            elif code == "r":
                cols, _, rows = data.partition("x")
                with contextlib.suppress(ValueError):
                    self._screen.resize(min(1000, int(rows)), min(1000, int(cols)))

    def next_after(self, at: float) -> float:
        """When something is said next; the length when nothing is."""
        return self.events[self._fed][0] if self._fed < len(self.events) else max(at, self.length)

    def lines(self, cells: int, height: int) -> list[list[Part]]:
        """What stands on the terminal: its lower part when we are lower, its left part when we are narrower."""
        if self._screen is None:
            self._reset()
        first = max(0, min(self._screen.lines - height, self._screen.cursor.y - height + 1))
        return [self._line(number, cells) for number in range(first, min(self._screen.lines, first + height))]

    def _line(self, number: int, cells: int) -> list[Part]:
        row = self._screen.buffer[number]
        parts: list[Part] = []
        text, tone = "", ""
        for column in range(min(cells, self._screen.columns)):
            char = row[column]
            here = "strong" if char.bold or char.reverse else ""
            if here != tone:
                parts.append((text, tone) if tone else text)
                text, tone = "", here
            text += char.data
        last = text.rstrip()
        return [*parts, (last, tone) if tone else last]

    def _reset(self) -> None:
        import pyte

        self._screen = pyte.Screen(self.cols, self.rows)
        self._stream = pyte.Stream(self._screen)
        self._fed, self.at = 0, 0.0


class PlayScreen(QScreen):
    NAME = "play"
    TITLE_WORD = "Session"
    ACTS = (
        "play.pause",
        "play.back",
        "play.forward",
        "play.slower",
        "play.faster",
        "play.first",
        "play.last",
        "play.cut",
    )
    AUTO_FOCUS = ""
    CSS = """
    PlayScreen #tape { height: 1fr; }
    """

    def __init__(self, recording: str) -> None:
        super().__init__()
        self.recording = recording
        self.record: SshSession | None = None
        self.page: CastPage | None = None
        self.tape = Tape()
        self.playing, self.following, self.speed = True, False, 1.0
        self._next = 0
        self._asking = False
        self._ticked = monotonic()
        self._asked_at = 0.0
        self._watching = False

    def body(self) -> ComposeResult:
        yield Lines(id="tape")

    def on_mount(self) -> None:
        self.set_interval(TICK_S, self._tick)
        self.refetch()

    def refetch(self) -> None:
        if self.recording.startswith("sha256:"):
            self._more()
        else:
            self.ask(lambda: self.client.record("ssh_session", self.recording, SshSession), self._known)

    def _known(self, record: SshSession) -> None:
        self.record = record
        live = record.state in SESSION_LIVE
        me = self.model.me.person if self.model.me else ""
        if live and me not in (record.person, *record.watchers):
            if not self._watching:
                self._watching = True
                self.ask(
                    lambda: self.client.command("gateway.watch", record.id),
                    lambda answer: self.refetch(),
                    group="fetch-watch",
                )
            return
        if self.page is None:
            self.following = live
            self._more()

    def model_changed(self, delta: Delta | None) -> None:
        if delta is not None and delta.of("ssh_session") and self.record is not None:
            self.refetch()

    # -- fetching -------------------------------------------------------------------------------------------------

    def _more(self) -> None:
        """The next part of the recording, when one is wanted."""
        if self._asking or self.tape.held >= MOST_B:
            return
        self._asking, self._asked_at = True, monotonic()
        at = self._next
        query = {"from": at} if at else {}
        self.ask(
            lambda: self.client.read(f"/v1/casts/{self.recording}", CastPage, **query), self._got, group="fetch-cast"
        )

    def failed(self, problem: Any) -> None:
        self._asking = False

    def _got(self, page: CastPage) -> None:
        self._asking = False
        if self.page is None:
            self.tape.header(page.header)
        self.page, self._next = page, page.next
        self.tape.add(page.events)
        if self.following:
            self.tape.seek(self.tape.length)
        self._paint()

    def _tick(self) -> None:
        now = monotonic()
        passed, self._ticked = now - self._ticked, now
        if self.page is None or not self.is_active:
            return
        near_its_end = self.page.more and self.tape.length - self.tape.at < 60
        if near_its_end or (self.page.live and now - self._asked_at > FOLLOW_S and self.online):
            self._more()
        if self.playing and not self.following:
            coming = self.tape.next_after(self.tape.at)
            skip = max(0.0, coming - self.tape.at - PAUSE_S)
            self.tape.seek(self.tape.at + skip + passed * self.speed)
            self._paint()

    def _paint(self) -> None:
        if not self.is_mounted:
            return
        tape = self.query_one("#tape", Lines)
        if self.record is not None and not self.record.recording and self.record.state not in SESSION_LIVE:
            tape.show(
                *(([*line], []) for line in gateways_view.detail(self.record, self.model.now(), self.size.width - 4))
            )
        elif self.page is not None:
            tape.show(*((line, []) for line in self.tape.lines(tape.size.width, max(1, tape.size.height))))
        self.refresh_chrome()

    def each_second(self) -> None:
        self._paint()

    def on_resize(self) -> None:
        super().on_resize()
        self._paint()

    def verdict(self) -> list[Part]:
        if self.page is None:
            record = self.record
            if record is not None and not record.recording and record.state not in SESSION_LIVE:
                return [
                    (record.id, "strong"),
                    f" {record.person} on {record.gateway}: {record.state}, {record.ended_why}",
                ]
            return [("Loading \u2026", "muted")]
        page, record = self.page, self.record
        line: list[Part] = [(page.session or figures.short(page.digest), "strong"), " "]
        if record is not None:
            line += [f"{record.person} on {record.gateway}", *([f" with {record.grant}"] if record.grant else []), "  "]
        if not page.sound:
            line += [("\u2717 NOT WHAT WAS RECORDED: its digest does not fit", "alarm"), "  "]
        if page.live:
            line += [("\u25cf LIVE ", "strong")] if self.following else [("live, behind  ", "caution")]
        more = "\u2026" if page.more else ""
        line += [f"{_clock(self.tape.at)} of {_clock(self.tape.length)}{more}  "]
        if not self.following:
            line += [f"{self.speed:g}x " if self.playing else ("\u2016 paused ", "strong")]
        if self.tape.cols > self.size.width:
            line += [(f"recorded at {self.tape.cols}x{self.tape.rows}: the right is cut ", "caution")]
        if self.tape.held >= MOST_B:
            line += [("too long for here: qd history play ", "caution")]
        if record is not None and record.ended_why and not page.live:
            line += [(record.ended_why, "muted")]
        return line

    # -- keys ---------------------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        return Target("ssh_session", self.record.id, self.record.title) if self.record is not None else None

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "play.cut":
            over = self.record is None or self.record.state not in SESSION_LIVE
            return Reason("it is over") if over else None
        if self.page is None:
            return Reason("there is nothing to play")
        return None

    def done(self, act: Act, answer: CommandAnswer) -> None:
        self.refetch()

    def act_play_pause(self) -> None:
        if self.following:
            self.following, self.playing = False, False
        else:
            self.playing = not self.playing
        self._paint()

    def _to(self, at: float) -> None:
        self.following = False
        self.tape.seek(at)
        self._paint()

    def act_play_back(self) -> None:
        self._to(self.tape.at - STEP_S)

    def act_play_forward(self) -> None:
        self._to(self.tape.at + STEP_S)

    def act_play_first(self) -> None:
        self._to(0.0)

    def act_play_last(self) -> None:
        self._to(self.tape.length)
        self.following = bool(self.page and self.page.live)

    def act_play_slower(self) -> None:
        self.speed = max((one for one in SPEEDS if one < self.speed), default=SPEEDS[0])
        self._paint()

    def act_play_faster(self) -> None:
        self.speed = min((one for one in SPEEDS if one > self.speed), default=SPEEDS[-1])
        self._paint()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}" if seconds < 3600 else age(seconds)


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and 0 < value <= 1000 else otherwise
