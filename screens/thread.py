"""The thread of causes as lines of a tree. Plain values: the screen and the command line draw the same one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from engine.contract.events import FateView, TraceNode

EVENT, RUN, MORE = "\u25cf", "\u25b8", "more"
ROOMY = 20
"""Lines of a thread that is shown whole."""
HOW = {
    "opened": "opened",
    "attached": "took it",
    "child": "child",
    "took": "took",
    "later": "later",
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


def focused(nodes: Sequence[TraceNode], *, roomy: int = ROOMY) -> list[TraceNode]:
    """The way to what was asked for and all that follows from it; what else hangs on that way is counted in lines of kind
    `more`. A short thread stays whole.
    """
    here = next((at for at, node in enumerate(nodes) if node.here), None)
    if here is None or len(nodes) <= roomy:
        return list(nodes)
    way: set[int] = set()
    level = nodes[here].level + 1
    for at in range(here, -1, -1):
        if nodes[at].level < level:
            way.add(at)
            level = nodes[at].level
    end = next((at for at in range(here + 1, len(nodes)) if nodes[at].level <= nodes[here].level), len(nodes))
    kept: list[TraceNode] = []
    left: dict[int, tuple[int, int]] = {}  # level -> (place in kept, lines) of what is counted there
    for at, node in enumerate(nodes):
        if at in way or here <= at < end:
            kept.append(node)
            left = {one: found for one, found in left.items() if one <= node.level and at > here}
            continue
        top = min((one for one in left if one <= node.level), default=node.level)
        if top not in left:
            left[top] = (len(kept), 0)
            kept.append(TraceNode(kind=MORE, id=f"more-{at}", level=top))
        place, lines = left[top]
        left[top] = (place, lines + 1)
        kept[place] = replace(kept[place], label=f"{lines + 1} more")
    return _gathered(kept)


def _gathered(nodes: Sequence[TraceNode]) -> list[TraceNode]:
    """The same event about the same thing, again and again, as one line with its count."""
    kept: list[TraceNode] = []
    times = 1
    for at, node in enumerate(nodes):
        leaf = at + 1 == len(nodes) or nodes[at + 1].level <= node.level
        if leaf and at and kept and _alike(nodes[at - 1], node):
            times += 1
            kept[-1] = replace(kept[-1], label=f"{node.label} \u00d7{times}")
        else:
            times = 1
            kept.append(node)
    return kept


def _alike(one: TraceNode, other: TraceNode) -> bool:
    if one.kind != "event" or one.here or other.here:
        return False
    return (one.kind, one.level, one.label, one.subject) == (other.kind, other.level, other.label, other.subject)


def made(records: Sequence[str], most: int = 3) -> str:
    """What a run made, in a few words."""
    more = f" and {len(records) - most} more" if len(records) > most else ""
    return ", ".join(records[:most]) + more


def unheard(fates: Sequence[FateView]) -> str:
    """Why nothing came of an event, where rules let it pass; empty when something did."""
    return "" if any(fate.outcome in ("opened", "attached") for fate in fates) else ignored(fates)


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
