"""A message to a channel: that it is being sent stands on disk before it is, so that a crash in between is seen."""

from __future__ import annotations

from engine.capabilities.entities import Entity
from engine.contract.notices import NoticeView

ENTITIES = (
    Entity(
        kind="notice",
        table="notices",
        prefix="NT",
        shape=NoticeView,
        start=("waiting",),
        moves={
            "waiting": ("sending", "failed", "over"),
            "sending": ("told", "waiting", "doubtful", "failed"),
        },
        immutable_in={"told": ("channel", "text", "once"), "doubtful": ("channel", "text", "once")},
        title="notice",
        quiet=True,
    ),
)
