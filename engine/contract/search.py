"""Looking for anything by its id or a word of its name."""

from __future__ import annotations

from engine.contract.common import View


class Found(View, frozen=True, kw_only=True):
    """One thing. `kind` is `run`, `gate`, `rollout`, `robot`, `site`, `cohort`, `workflow`, `person`, or the kind of a record.

    `title` is what people call it, `at` when it last changed (UTC epoch s; 0 when that means nothing).
    """

    kind: str
    id: str
    title: str = ""
    state: str = ""
    at: float = 0.0


class FoundPage(View, frozen=True, kw_only=True):
    """Best first. `cut`: there may be more; the look is bounded in time, so a longer word finds what a short one missed."""

    rows: tuple[Found, ...] = ()
    cut: bool = False
    as_of: float = 0.0
