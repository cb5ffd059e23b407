"""The registry of acts: everything a key can do. Footer, help, palette, key map and the command-line twin are projections.

Rules: an act that can't be used now keeps its key and says why (`Reason`), it never just vanishes. Acts that make things
safer go at once; acts that raise risk show what they will do and ask for a typed phrase; both are previewed by the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from screens.places import PLACES

if TYPE_CHECKING:
    from textual.binding import Binding

    from screens.base import QScreen


class Level(Enum):
    """READ changes nothing. SAFE makes things safer: at once. CHANGE: one confirmation. RISK: typed phrase."""

    READ = "read"
    SAFE = "safe"
    CHANGE = "change"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an act can't be used now, and what to do about it if anything."""

    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.fix})" if self.fix else self.text


@dataclass(frozen=True, slots=True)
class Field:
    """Something asked before an act is sent: shown in the confirmation, sent in the command's args under `name`."""

    name: str
    label: str
    required: bool = False
    choices: tuple[str, ...] = ()
    default: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that can be done.

    `name` is stable (`run.cancel`; key maps use it); `verb` the word on the bar; `target` what it acts on (`run`, `gate`,
    `rollout`, `robot`, `row`, `` = the console); `command` the engine's verb, empty for acts of the console itself, which
    call the screen's method `act_<name with _>`; `cli` the same on the command line, `{id}` being the target.
    """

    name: str
    key: str
    verb: str
    target: str = ""
    level: Level = Level.READ
    help: str = ""
    command: str = ""
    cli: str = ""
    fields: tuple[Field, ...] = ()
    enabled: Callable[[QScreen], Reason | None] | None = None
    order: int = 50
    """Place on the action bar, small first; 0 = not on the bar (help and palette still list it)."""
    do: Callable[[QScreen], None] | None = None
    """What it does, for an act of every screen whose home is a module of its own."""


REGISTRY: dict[str, Act] = {}


def register(*acts: Act) -> None:
    """Add acts; a name can be registered once."""
    for act in acts:
        if act.name in REGISTRY:
            raise ValueError(f"act {act.name} is registered twice")
        REGISTRY[act.name] = act


def act(name: str) -> Act:
    return REGISTRY[name]


def acts(names: Iterable[str]) -> list[Act]:
    return [REGISTRY[name] for name in names]


def bindings(names: Iterable[str], taken: Collection[str] = ()) -> list[Binding]:
    """Textual bindings of acts; ids are the act names, so a key map can move them. Keys in `taken` have another meaning."""
    from textual.binding import Binding

    return [
        Binding(keys, f"act('{one.name}')", one.verb, id=one.name, show=False, priority=False)
        for one in acts(names)
        if (keys := free(one, taken)) or not one.key
    ]


def free(act: Act, taken: Collection[str]) -> str:
    """The keys of an act that nothing else has."""
    return ",".join(key for key in act.key.split(",") if key not in taken)


moved: dict[str, str] = {}
"""Keys a person moved: act name -> key. Set once by the console from its settings."""


def key_of(act: Act) -> str:
    """The key of an act as it is now."""
    return moved.get(act.name, act.key)


SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "full_stop": ".",
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "shift+tab": "S-Tab",
    "exclamation_mark": "!",
    "at": "@",
    "dollar_sign": "$",
    "plus": "+",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "comma": ",",
    "equals_sign": "=",
    "asterisk": "*",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "apostrophe": "'",
    "quotation_mark": '"',
    "backspace": "BkSp",
}


def shown_key(key: str) -> str:
    """A key as people write it; of several the first."""
    first = key.split(",", maxsplit=1)[0]
    if first.startswith("ctrl+"):
        return "^" + first[5:]
    return SHOWN.get(first, first)


def _watch(screen: QScreen) -> None:
    from screens import watching

    watching.toggle(screen)


def _sandbox_only(screen: QScreen) -> Reason | None:
    me = screen.model.me
    return (
        None
        if me is not None and me.people
        else Reason("only the sandbox has people to be", "elsewhere log in as yourself")
    )


def _lists_only(screen: QScreen) -> Reason | None:
    return None if screen.list_here() is not None else Reason("there is no list on this screen")


register(
    *(Act(f"console.{place.noun}", place.key, place.noun, help=place.help, cli=place.cli) for place in PLACES),
    Act("console.filter", "slash", "filter", help="Show only rows with these words", order=90),
    Act("console.command", "colon", "command", help="Jump or command: :runs failed, :run 42, :theme day", order=91),
    Act(
        "console.palette",
        "ctrl+p",
        "palette",
        help="Find anything: what can be done here, screens, things by id or name",
        cli="qd find TEXT",
        order=0,
    ),
    Act("console.help", "question_mark", "help", help="The keys that work here", order=92),
    Act(
        "console.manual",
        "f1",
        "manual",
        help="The manual: the page of this screen, or of the error it shows",
        cli="qd manual",
        order=0,
    ),
    Act("console.back", "escape,ctrl+g", "back", help="Back to where I came from; clears a filter first", order=0),
    Act("console.quit", "q", "back/quit", help="Back; on a root screen leave (the engine goes on)", order=93),
    Act("console.theme", "T", "theme", help="Next theme; :theme NAME puts one on", order=0),
    Act(
        "console.as", "at", "act as", help="Be another person of the sandbox: :as NAME", enabled=_sandbox_only, order=0
    ),
    Act(
        "oncall.watch",
        "w",
        "watch it",
        target="row",
        help="Be told when what is under the cursor changes; again: no longer",
        cli="qd oncall watch {id}",
        order=0,
        do=_watch,
    ),
    Act("console.notices", "N", "notices", help="What the console said, newest last", order=0),
    Act("console.copy", "y", "copy id", target="row", help="Copy the id under the cursor to the clipboard", order=0),
    Act("console.refresh", "ctrl+r", "ask again", help="Ask the engine again now", order=0),
    Act("console.previous", "ctrl+o", "go back", help="Where I was before, also across lists; :back", order=0),
    Act("console.next", "ctrl+n", "go forward", help="Forward again after going back; :forward", order=0),
    Act(
        "console.mark",
        "m,quotation_mark",
        "mark",
        help="Remember this place, its filter and row, under a letter: m a",
        order=0,
    ),
    Act(
        "console.return",
        "apostrophe",
        "to mark",
        help="Back to a mark: ' a; '' where I was; :marks lists them",
        order=0,
    ),
    Act(
        "console.count",
        "ctrl+u",
        "count",
        help="A number for the next key: ^U 12 j moves 12 down, ^U 40 G to row 40",
        order=0,
    ),
    Act("console.region", "tab", "region", help="Next region of this screen", order=0),
    Act("console.region_back", "shift+tab", "region back", help="Previous region of this screen", order=0),
)
TABLE = tuple(
    Act(f"table.{name}", key, verb, help=help, enabled=_lists_only, order=0)
    for name, key, verb, help in (
        ("mark", "space", "mark", "Mark the row, or let it go; keys then act on all that are marked, Esc lets go"),
        ("range", "V", "mark up to here", "Mark every row from the one marked last to this one"),
        ("all", "asterisk", "mark all", "Mark every row that is here, or let go of all"),
        ("sort", "s", "sort", "Order by a column; the same one again turns it round"),
        ("columns", "comma", "columns", "Pick columns and widths, freeze, order, group; kept for next time"),
        ("left", "less_than_sign", "columns left", "Scroll sideways, towards the first column"),
        ("right", "greater_than_sign", "columns right", "Scroll sideways, towards the last column"),
        ("copy", "Y", "copy rows", "Copy the row, a column, or what is marked, as text, CSV or JSON"),
        ("export", "ctrl+e", "export", "Write the list, or what is marked, to a CSV or JSON file"),
    )
)
register(*TABLE)

ROOTS = tuple(f"console.{place.noun}" for place in PLACES)
EVERYWHERE = (
    *ROOTS,
    "console.filter",
    "console.command",
    "console.palette",
    "console.help",
    "console.manual",
    "console.back",
    "console.quit",
    "console.theme",
    "console.as",
    "oncall.watch",
    "console.notices",
    "console.copy",
    "console.refresh",
    "console.previous",
    "console.next",
    "console.mark",
    "console.return",
    "console.count",
    "console.region",
    "console.region_back",
    *(act.name for act in TABLE),
)
