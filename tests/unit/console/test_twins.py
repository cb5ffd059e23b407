"""What the console can do, the command line can: the two lists, compared.

Every act that sends a command, and every list and thing with a screen of its own, has a twin on the command line that
parses as it stands there; and every verb of the engine can be sent from the command line. What has no twin only moves
one's eyes: a cursor, a view of what is on the screen already.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import click
import pytest

import app.cli
import screens
from app.cli import root
from engine.api import verbs
from engine.capabilities import subjects
from screens.acts import REGISTRY, Act, Level
from screens.places import PLACES

for _module in pkgutil.iter_modules(screens.__path__):
    importlib.import_module(f"screens.{_module.name}")

TWINS = {act.name: act.cli for act in REGISTRY.values() if act.cli}
PLACEHOLDER = re.compile(r"^(\{id\}|[A-Z][A-Z-]*)$")


def parsed(line: str) -> str:
    """What is wrong with a command line whose words in capitals stand for values; empty when it parses."""
    words = shlex.split(line)
    assert words.pop(0) == "qd", line
    command: click.Command = root
    context = click.Context(root, info_name="qd")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        if found is None:
            break
        context = click.Context(found, info_name=words.pop(0), parent=context)
        command = found
    if isinstance(command, click.Group):
        return "" if command.invoke_without_command and not words else f"{line}: no such command"
    given = ["1" if PLACEHOLDER.match(word) else word for word in words]
    try:
        command.make_context(context.info_name or "", given, parent=context.parent, resilient_parsing=False)
    except click.BadParameter as error:
        return (
            str(error.format_message()) if isinstance(error, click.MissingParameter) else ""
        )  # `1` is no file, no name
    except click.UsageError as error:
        return error.format_message()
    except click.exceptions.Exit:
        return ""
    return ""


@pytest.mark.parametrize("name", sorted(TWINS))
def test_a_twin_parses_as_it_stands_there(name: str) -> None:
    assert parsed(TWINS[name]) == ""


def test_the_comparison_itself_sees_what_does_not_exist() -> None:
    assert parsed("qd runs explode {id}")
    assert parsed("qd runs suspend {id} --loudly")
    assert parsed("qd runs suspend")
    assert parsed("qd runs suspend {id} now")
    assert not parsed("qd runs suspend {id}")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.noun)
def test_every_list_is_on_the_command_line_too(place: object) -> None:
    assert parsed(place.cli) == "" or place.cli == "qd"  # type: ignore[attr-defined]


def changes(act: Act) -> bool:
    return bool(act.command) or act.level is not Level.READ


def test_what_has_no_twin_only_looks() -> None:
    assert [act.name for act in REGISTRY.values() if changes(act) and not act.cli] == []


def test_every_verb_of_the_engine_can_be_sent_from_the_command_line() -> None:
    """By its name, or by the group's own word for it (`case.{verb}`), in the sources of the command line."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(app.cli.__path__[0]).glob("*.py"))
    known = {*verbs.VERBS, *subjects.verbs()}
    lacking = {verb for verb in known if f'"{verb}"' not in source and not _built(verb, source)}
    assert lacking == set()


def _built(verb: str, source: str) -> bool:
    group, _, word = verb.partition(".")
    return re.search(rf'f"{group}\.{{', source) is not None and f'"{word}"' in source
