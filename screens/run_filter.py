"""Filters on runs, which the engine carries out: `screens.query` cut down to what it can look for. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from engine.contract.runs import RUN_STATUS
from screens import query
from screens.query import ANYWHERE, Term, Wrong

GROUPS = {
    "open": "running,waiting,suspended,compensating,cancelling",
    "ended": "completed,failed,cancelled,terminated",
    "stuck": "failed,suspended,compensating,cancelling",
}
"""Filter words for several statuses at once."""
FIELDS = ("status", "workflow")
_SHORT = {"s": "status", "w": "workflow"}


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What the engine is asked: statuses with commas, one workflow, one text."""

    status: str = ""
    workflow: str = ""
    text: str = ""


def parse(words: str) -> RunFilter | Wrong:
    """`failed`, `open`, `-ended`, `status:waiting,failed`, `workflow:staged-rollout` and free words, in any order."""
    asked = query.parse(words)
    if isinstance(asked, Wrong):
        return asked
    wanted: list[str] = []
    without: list[str] = []
    workflow = ""
    texts: list[str] = []
    for term in asked.terms:
        field = _SHORT.get(term.field) or query.field_of(term.field, FIELDS) or term.field
        statuses = _statuses(term, field)
        if isinstance(statuses, Wrong):
            return statuses
        if statuses:
            (without if term.negated else wanted).extend(statuses)
        elif field == "workflow" and term.op in (":", "=") and not term.negated and len(term.values) == 1:
            workflow = term.values[0]
        elif field == ANYWHERE and not term.negated:
            texts.append(term.values[0])
        else:
            return _wrong(term, field)
    chosen = [one for one in (wanted or RUN_STATUS) if one not in without]
    if not chosen:
        return Wrong(words, "no status is left that a run could have")
    status = ",".join(dict.fromkeys(chosen)) if wanted or without else ""
    return RunFilter(status, workflow, " ".join(texts))


def _statuses(term: Term, field: str) -> list[str] | Wrong:
    """The statuses a term is about; none when it is about something else."""
    if field == ANYWHERE:
        word = term.values[0].lower()
        return [] if '"' in term.said else GROUPS[word].split(",") if word in GROUPS else [word] * (word in RUN_STATUS)
    if field != "status" or term.op not in (":", "="):
        return []
    found: list[str] = []
    for value in term.values:
        name = value.lower()
        known = [one for one in RUN_STATUS if one.startswith(name)]
        if name in GROUPS:
            found += GROUPS[name].split(",")
        elif name in RUN_STATUS or len(known) == 1:
            found.append(name if name in RUN_STATUS else known[0])
        else:
            close = difflib.get_close_matches(name, (*RUN_STATUS, *GROUPS), 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join((*RUN_STATUS, *GROUPS))}"
            return Wrong(term.said, f"no run has the status {value}; {hint}")
    return found


def _wrong(term: Term, field: str) -> Wrong:
    if field == ANYWHERE:
        return Wrong(term.said, "the engine finds words in runs, it can't leave them out; -status: it can")
    if field == "workflow":
        return Wrong(term.said, "runs are listed of one workflow, by its name")
    return Wrong(term.said, "runs are looked for by status:, workflow: and words")
