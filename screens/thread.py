"""The thread of causes as lines of a tree. Plain values: the screen and the command line draw the same one."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.events import FateView, TraceNode

EVENT, RUN = "\u25cf", "\u25b8"
HOW = {
    "opened": "opened",
    "attached": "took it",
    "child": "child",
    "took": "took",
    "emitted": "",
    "followed": "then",
    "": "",
}
"""How a line follows from the one it hangs on, in words."""


def branches(nodes: Sequence[TraceNode]) -> list[str]:
    """What stands before each line: where it hangs, and which branches go on below it."""
    found = [""] * len(nodes)
    open_: set[int] = set()
    for at in range(len(nodes) - 1, -1, -1):  # upwards: a branch goes on where a later line of its level hangs on it
        level = nodes[at].level
        open_ = {one for one in open_ if one <= level}
        text = "".join("\u2502  " if one in open_ else "   " for one in range(1, level))
        if level:
            text += "\u251c\u2500 " if level in open_ else "\u2514\u2500 "
            open_.add(level)
        found[at] = text
    return found


def ignored(fates: Sequence[FateView]) -> str:
    """How many rules let an event pass, and why, when it is one; empty when none did."""
    passed = [fate for fate in fates if fate.rule and fate.outcome in ("ignored", "failed")]
    if not passed:
        return ""
    if len(passed) == 1:
        return f"{passed[0].rule.partition(':')[0]} {passed[0].outcome} it: {passed[0].reason}"
    return f"{len(passed)} rules ignored it"


def plain_branches(text: str) -> str:
    """The same for a terminal that shows no more than ASCII."""
    return text.translate({0x2502: "|", 0x251C: "|", 0x2514: "`", 0x2500: "-"})
