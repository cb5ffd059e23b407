"""Keys that a person moved: what may be written in the settings, and where two acts now want the same key.

Screens are loaded when they are first shown, so the console takes a map by its form alone; who asks (`qd config keys`,
the help of a screen) sees it held against the acts themselves.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from screens import acts
from screens.acts import REGISTRY, SHOWN, Act
from screens.widgets.clean import clean

if TYPE_CHECKING:
    from screens.base import QScreen

_NAME = re.compile(r"[a-z]\w*(\.\w+)+")
_TYPED = {shown: key for key, shown in SHOWN.items() if len(shown) == 1}
NAMED = frozenset(
    ("enter", "escape", "tab", "shift+tab", "space", "backspace", "delete", "insert", "up", "down", "left", "right")
) | frozenset(("home", "end", "pageup", "pagedown", *(f"f{number}" for number in range(1, 13))))
FIXED = {"ctrl+c": "leaves the console", "ctrl+m": "is Enter", "ctrl+j": "is Enter", "ctrl+i": "is Tab"}
"""Keys that can't be given away: the way out, and those a terminal sends for others."""
IN_LISTS = {"j": "down", "k": "up", "G": "to the end", "g": "to the top", "enter": "opens"}
"""What the cursor of a list takes for itself before any act."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A key that more than one act of a screen has; `holders` by the order in which they are asked."""

    screen: str
    key: str
    holders: tuple[str, ...]

    @property
    def said(self) -> str:
        names = " and ".join(self.holders)
        return f"{self.screen}: {acts.shown_key(self.key)} is {names}; give one of them another key"


def written(key: str) -> str:
    """A key as settings hold it: `?` is question_mark, `^r` is ctrl+r, `F8` is f8."""
    key = key.strip()
    if key in _TYPED:
        return _TYPED[key]
    if len(key) == 2 and key[0] == "^":
        return f"ctrl+{key[1].lower()}"
    return key if len(key) == 1 else key.lower()


def why_not(key: str) -> str:
    """Why a key can't be had; empty when it can."""
    if key in FIXED:
        return f"{acts.shown_key(key)} {FIXED[key]}"
    known = key in NAMED or key in SHOWN or (len(key) == 1 and key.isprintable()) or re.fullmatch(r"ctrl\+[a-z]", key)
    if not known:
        return (
            f"{clean(key, 30)!r} is no key that every terminal sends: a sign, f1 to f12, ctrl+a letter, or a named one"
        )
    return ""


def accepted(wanted: Any) -> tuple[dict[str, str], list[str]]:
    """The part of a key map that can be used as it is written, and what is wrong with the rest."""
    good: dict[str, str] = {}
    problems: list[str] = []
    if not isinstance(wanted, Mapping):
        return {}, ["key map: it is a table of act and key"] if wanted else []
    for name, key in wanted.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(f"key map: {clean(str(name), 40)!r} is no name of an act")
        elif not isinstance(key, str) or not key:
            problems.append(f"key map: {name} needs a key, like 'f5' or 'ctrl+r'")
        else:
            keys = [written(one) for one in key.split(",")]
            wrong = next(filter(None, map(why_not, keys)), "")
            if wrong:
                problems.append(f"key map: {name}: {wrong}")
            else:
                good[name] = ",".join(keys)
    return good, problems


def keys_on(screen: type[QScreen], moved: Mapping[str, str]) -> dict[str, list[Act]]:
    """What each key of a screen is asked of, the screen's own acts first."""
    own = screen.own_keys()
    found: dict[str, list[Act]] = {}
    for name in dict.fromkeys((*screen.ACTS, *screen.everywhere())):
        act = REGISTRY[name]
        keys = moved.get(name) or (act.key if name in screen.ACTS else acts.free(act, own))
        for key in filter(None, keys.split(",")):
            found.setdefault(key, []).append(act)
    return found


def clashes(screen: type[QScreen], moved: Mapping[str, str]) -> list[Clash]:
    """Keys of a screen that a move has given two meanings."""
    title = screen.TITLE_WORD or screen.NAME or "Console"
    found = []
    for key, holders in keys_on(screen, moved).items():
        names = [act.name for act in holders]
        if any(name in moved for name in names):
            if key in IN_LISTS and not all(key in REGISTRY[name].key.split(",") for name in names):
                names.append(f"the cursor of lists ({IN_LISTS[key]})")
            if len(names) > 1:
                found.append(Clash(title, key, tuple(names)))
    return found


def every_screen() -> list[type[QScreen]]:
    """All screens there are. Loads them: for commands and tests, not for the way to a first frame."""
    import screens
    from screens.base import QScreen

    for module in pkgutil.walk_packages(screens.__path__, "screens."):
        importlib.import_module(module.name)

    def below(kind: type[QScreen]) -> Iterable[type[QScreen]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    return sorted({one for one in below(QScreen) if one.ACTS}, key=lambda one: (one.NAME, one.__name__))


def unknown(moved: Mapping[str, str]) -> list[str]:
    """Names in a key map that are no act. Only after `every_screen`."""
    import difflib

    told = []
    for name in moved:
        if name not in REGISTRY:
            close = difflib.get_close_matches(name, REGISTRY, 1)
            told.append(f"key map: no act is called {name!r}" + (f"; did you mean {close[0]}?" if close else ""))
    return told
