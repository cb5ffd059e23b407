"""What is kept of a rollout beside its columns: the part of the screen that the journal's facts give. One JSON text per
rollout; robots stand in a table of their own.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from engine.contract.rollouts import Counts, Series, SignalRow, Verdict

Json = Any

MOST_VERDICTS = 60

ENDINGS = frozenset(
    {"completed", "completed_with_exceptions", "rolled_back", "rollback_incomplete", "aborted", "failed"}
)
"""States of a rollout that is over."""


class Stage(Struct, kw_only=True, omit_defaults=True):
    name: str
    index: int
    robots: list[str]
    targets_digest: str
    sites: list[str] = field(default_factory=list)
    state: str = "pending"
    counts: Counts = Counts()
    exposure_h: float = 0.0
    exposure_needed_h: float = 0.0
    soak_until: float | None = None
    verdict: Verdict | None = None
    next: Json = None


class Pause(Struct, kw_only=True, omit_defaults=True):
    """`at` 0: asked for, the owner has not answered yet."""

    at: float = 0.0
    robots: list[str] = field(default_factory=list)
    worst_s: float = 0.0


class Document(Struct, kw_only=True, omit_defaults=True):
    """`ended` is set once the run has ended; `blocked` are the robots that can't go back, known from the preflight on, and
    so are `server` and `limits`: the update server and what it can't do.
    """

    id: str
    version: str = ""
    previous: str = ""
    release: str = ""
    cohort: str = ""
    selector: str = ""
    incident: str = ""
    away_from: str = ""
    robots: int = 0
    state: str = "draft"
    stage_index: int = -1
    started_at: float = 0.0
    updated_at: float = 0.0
    started_by: str = ""
    gate: str = ""
    sentence: str = ""
    stages: list[Stage] = field(default_factory=list)
    rest: Counts | None = None
    signals: list[SignalRow] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    worst: str = ""
    dispersion: float | None = None
    permutation_p: float | None = None
    control: str = ""
    series: list[Series] = field(default_factory=list)
    policy: dict[str, Json] = field(default_factory=dict)
    preflight: Json = None
    server: str = ""
    limits: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    pause: Pause | None = None
    split: list[int] | None = None
    exceptions: list[list[str]] = field(default_factory=list)
    ended: bool = False

    @property
    def stage(self) -> Stage | None:
        return self.stages[self.stage_index] if 0 <= self.stage_index < len(self.stages) else None

    def say(self, verdict: Verdict) -> None:
        """A verdict joins the list when the word changes; the same word again only becomes newer."""
        last = self.verdicts[-1] if self.verdicts else None
        if last is not None and (last.word, last.stage) == (verdict.word, verdict.stage):
            self.verdicts[-1] = verdict
        else:
            self.verdicts.append(verdict)
        if len(self.verdicts) > MOST_VERDICTS:
            del self.verdicts[0]
        self.sentence = verdict.sentence
