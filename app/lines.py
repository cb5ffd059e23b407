"""`qd --plain`: the same work in lines, for screen readers, serial consoles and whoever wants no screen drawn.

What stands is printed once, top to bottom; then one line is read at a time, and each is a command of the command line as
it stands in the manual. Nothing moves the cursor, nothing is overwritten, nothing comes unasked.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable

import click

from app import plain

PROMPT = "qd> "
LEAVE = ("q", "quit", "exit")
AGAIN = ("", "w", "watch")


def converse(look: Callable[[], list[str]], *, person: str = "", read: Callable[[], str] | None = None) -> int:
    """Until the person leaves or the input ends; the exit code of the process. `look` says how things stand."""
    ask = read or _read
    _say(look())
    _say(["Enter or w: how things stand. Any command without its qd, like: gates ls. help, q."])
    while True:
        try:
            line = ask()
        except (EOFError, KeyboardInterrupt):
            return 0
        try:
            words = shlex.split(line)
        except ValueError as error:
            _say([f"not understood: {error}"])
            continue
        first = words[0] if words else ""
        if first in LEAVE and len(words) == 1:
            return 0
        if first in AGAIN and len(words) <= 1:
            _say(look())
        else:
            status = carry_out(words, person)
            if status:
                _say([f"ended with {status}"])


def carry_out(words: list[str], person: str = "") -> int:
    """One command of the command line; its exit code. A person of the sandbox stays who they are from line to line."""
    from app.cli import root

    words = words[1:] if words[0] == "qd" else words
    words = ["--help"] if words in ([], ["help"], ["?"]) else words
    if person and "--as" not in words and _knows_as(words):
        words = [*words, "--as", person]
    try:
        root.main(args=words, prog_name="qd")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _knows_as(words: list[str]) -> bool:
    from app.cli import root

    command: click.Command = root
    context = click.Context(root, info_name="qd")
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(context, word)
        if found is None:
            break
        command, context = found, click.Context(found, info_name=word, parent=context)
    return command is not root and any("--as" in option.opts for option in command.params)


def _read() -> str:
    return input(PROMPT) if sys.stdin.isatty() else input()


def _say(lines: list[str]) -> None:
    for line in lines:
        print(plain.clean(line, 300), flush=True)  # noqa: T201
