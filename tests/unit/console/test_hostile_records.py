"""Text in records comes from robots, files, remote systems and strangers: on every screen of records it stays text.

Each screen is shown what its own tests show it, with every free word of it made hostile: control sequences, markup
with actions in it, text that runs right to left, marks without end, and lengths no column has.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from screens.widgets.line_table import LineTable
from tests.fakes import FakeClient
from tests.unit.access import test_screens as access
from tests.unit.cases import fake_cases
from tests.unit.corrections import world as corrections
from tests.unit.data import test_session_screens as sessions
from tests.unit.decision_screens import test_data_screens as data
from tests.unit.decision_screens import test_events_screens as events
from tests.unit.decision_screens.conftest import at  # noqa: F401  a fixture
from tests.unit.incidents import test_screens as incidents
from tests.unit.models import test_screens as models

taken = sessions.taken

EVIL = (
    "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m[@click=app.quit()]press[/] [bold red]\\[ [/nothing] \r\n\t"
    "\u202e\u0645\u0631\u062d\u0628\u0627 \u2066 \u200f\u200b Z\u0301\u0302\u0303\u0304\u0305\u0306\u0307 \U0001f469\u200d\U0001f680 \u6f22\u5b57"
)
LONG = "W" * 4000
NAMES_OF_OURS = frozenset(
    [
        "answer",
        "answers",
        "at",
        "by_rule",
        "case",
        "cause",
        "checkpoint",
        "code",
        "color",
        "consequence",
        "correction",
        "cluster",
        "decision",
        "digest",
        "enforced_by",
        "evidence_digest",
        "gate",
        "hypothesis",
        "id",
        "ids",
        "key",
        "kind",
        "level",
        "media",
        "mode",
        "modes",
        "name",
        "order",
        "outcome",
        "phase",
        "prefix",
        "record",
        "request",
        "role",
        "route",
        "run",
        "seats",
        "session",
        "severity",
        "sort",
        "snapshot",
        "source",
        "split",
        "stage",
        "state",
        "status",
        "step",
        "steps",
        "task",
        "training",
        "type",
        "unit",
        "verb",
        "verbs",
        "verdict",
        "word",
        "workflow",
    ]
)
"""Fields that hold ids or words of the contract. Everything else that is text may hold anything."""

SIZES = ((80, 24), (160, 45))
Shown = tuple[str, Callable[[Any], FakeClient], tuple[str, ...]]
"""Where the console opens, who answers it, which keys are pressed there."""
SCREENS: tuple[Shown, ...] = (
    ("data", lambda _: data.held(), ("x",)),
    ("snapshot bins-v14", lambda _: data.held(), ("f", "m", "s", "d", "l")),
    ("label L-1", lambda _: data.held(), ()),
    ("training T-3", lambda _: data.held(), ()),
    ("data", sessions.client_with, ("s",)),
    ("session S-1", sessions.client_with, ("f", "t")),
    ("session S-2", sessions.client_with, ("f",)),
    ("models", lambda _: models.client(), ("b",)),
    ("candidate C-7c41aa00", lambda _: models.client(), ("r", "q", "v", "b")),
    ("corrections", lambda _: corrections.client(), ("x",)),
    ("correction COR-1", lambda _: corrections.client(), ("space",)),
    ("correction COR-5", lambda _: corrections.client(), ()),
    ("incidents", lambda _: incidents.client(), ()),
    ("incident I-44", lambda _: incidents.client(), ("r", "t")),
    ("cases", lambda _: fake_cases.client(), ("x",)),
    ("case M-311", lambda _: fake_cases.client(), ("e", "t")),
    ("case M-312", lambda _: fake_cases.client(), ()),
    ("access", lambda _: access.client(), ("g",)),
    ("request Q-208", lambda _: access.client(), ("e", "g", "t")),
    ("workflows", lambda _: events.client(), ("enter", "d")),
    ("events", lambda _: events.client(), ("e", "o")),
    ("trace run-195", lambda _: events.client(), ("e",)),
    ("watch", lambda _: fake_cases.client(hostile=True), ()),
)


def poisoned(value: Any, text: str, name: str = "") -> Any:
    """The same value with `text` behind every word that is not ours."""
    if isinstance(value, msgspec.Struct):
        fields = {field: poisoned(getattr(value, field), text, field) for field in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, str):
        return value if name in NAMES_OF_OURS or not value else value + text
    if isinstance(value, dict):
        return {key: poisoned(one, text, name) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(poisoned(one, text, name) for one in value)
    return value


def poison(client: FakeClient, text: str) -> FakeClient:
    client.held = {kind: [poisoned(row, text) for row in rows] for kind, rows in client.held.items()}
    client.answers_to = {path: poisoned(answer, text) for path, answer in client.answers_to.items()}
    return client


def wrong(screen: Any, columns: int) -> list[str]:
    """What must stand on no line: control characters, marks that turn text around, actions, and more cells than there are."""
    found = []
    for number, strip in enumerate(screen._compositor.render_strips()):
        bad = [f"{ord(c):#x}" for c in strip.text if unicodedata.category(c) in ("Cc", "Cs") or c in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"]  # fmt: skip
        if bad:
            found.append(f"line {number} holds {bad}")
        if cell_len(strip.text) != columns:
            found.append(f"line {number} is {cell_len(strip.text)} cells wide")
        found += [
            f"line {number} acts" for part in strip if part.style is not None and "@click" in (part.style.meta or {})
        ]
    return found


@pytest.mark.parametrize("text", [EVIL, LONG], ids=["evil", "long"])
@pytest.mark.parametrize("shown", SCREENS, ids=[" ".join((one[0], *one[2])) for one in SCREENS])
async def test_hostile_records_stay_text(at: Any, taken: Any, shown: Shown, text: str) -> None:  # noqa: F811
    start, made, keys = shown
    for size in SIZES:
        client = poison(made(taken), text)
        async with at(f":{start}", size=size, client=client) as desk:
            told = desk.text
            assert "can't be shown" not in told and "Loading" not in told, told
            assert not wrong(desk.console.screen, size[0]), (wrong(desk.console.screen, size[0]), told)
            for key in keys:
                await desk.press(key)
                assert not wrong(desk.console.screen, size[0]), (key, wrong(desk.console.screen, size[0]), desk.text)
            for table in desk.console.screen.query(LineTable):
                table.action_edge(1)
            assert desk.console.is_running and not client.commands


def test_the_poison_reaches_what_is_shown() -> None:
    """A test of the test: hostile words are where screens read them."""
    client = poison(models.client(), EVIL)
    assert any(EVIL in row.title for row in client.held["candidate"])
