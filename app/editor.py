"""Long text in the person's own editor: `$VISUAL`, `$EDITOR`, else what is installed.

Rules: the console is suspended and waits: nothing of it may repaint meanwhile, so the call is synchronous. The text stands in
a file only its owner can read, in a folder that is gone afterwards. An editor that fails, or ends with another status than 0
(`:cq`), changes nothing. What is read back is cleaned like anything else that comes from outside.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from screens.widgets.clean import clean

LARGEST = 100_000
"""Characters taken from an editor: a rationale, not a log."""
USUAL = ("nano", "vim", "vi")


def command(environment: dict[str, str]) -> list[str]:
    """The editor to start; empty when there is none."""
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environment.get(name, ""))
        except ValueError:
            words = []
        if words and shutil.which(words[0], path=environment.get("PATH")):
            return words
    found = next((one for one in USUAL if shutil.which(one, path=environment.get("PATH"))), "")
    return [found] if found else []


def edited(initial: str, name: str, words: list[str]) -> tuple[str | None, str]:
    """The text as the editor left it, or None and why it is not taken. Runs the editor in this terminal and waits."""
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        path = Path(folder) / f"{_word(name)}.txt"
        path.write_text(initial, encoding="utf-8")
        path.chmod(0o600)
        try:
            status = subprocess.run([*words, str(path)], check=False).returncode
        except OSError as error:
            return None, f"{words[0]} could not be started: {error.strerror}"
        if status:
            return None, f"{words[0]} ended with status {status}: nothing was changed"
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None, f"{words[0]} left no text: nothing was changed"
    if len(text) > LARGEST:
        return None, f"a text holds at most {LARGEST:,} characters, this one {len(text):,}: nothing was changed"
    lines = [clean(line, LARGEST) for line in text.replace("\r\n", "\n").replace("\t", "    ").split("\n")]
    return "\n".join(lines).rstrip("\n"), ""


def _word(name: str) -> str:
    """A name for a file, whatever was asked for."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)[:40] or "text"
