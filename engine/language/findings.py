"""What is wrong with a text: every finding names its line, the field, what is wrong and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Severity = Literal["error", "warning"]


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong. `line` counts from 1; `field` is a path such as `steps.approve.seats.0.role`."""

    line: int
    field: str
    message: str
    fix: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        fix = f" ({self.fix})" if self.fix else ""
        return (
            f"line {self.line}: {self.field}: {self.message}{fix}"
            if self.field
            else f"line {self.line}: {self.message}{fix}"
        )


class DefinitionError(Exception):
    """A text was not taken. `findings` holds all that is wrong with it, in the order of lines; nothing was kept."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: finding.line))
        super().__init__("\n".join(str(finding) for finding in self.findings))


class Findings:
    """Collects findings while a text is read on, so that its author sees all of them at once."""

    LIMIT = 200
    """More than that helps nobody; a hostile text must not grow a report without end."""

    def __init__(self) -> None:
        self.found: list[Finding] = []

    def add(self, line: int, field: str, message: str, fix: str = "", severity: Severity = "error") -> None:
        finding = Finding(line=line, field=field, message=message, fix=fix, severity=severity)
        if len(self.found) < self.LIMIT and finding not in self.found:
            self.found.append(finding)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.found if finding.severity == "error"]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word an author most likely meant, or None when nothing is near."""
    if len(word) > 64:
        return None
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """The fix for an unknown word: the nearest known one, else what is known (when that is short)."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f"did you mean {near!r}?"
    if otherwise:
        return otherwise
    return f"known here: {', '.join(names)}" if 0 < len(names) <= 24 else ""


def quoted(text: object) -> str:
    """A word of the author's, shortened and printable: it may hold anything."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return f"'{shown[:60]}…'" if len(shown) > 60 else f"'{shown}'"
