"""Runs standing in every kind of place a run can stand in: where tables and chance begin."""

from __future__ import annotations

from collections.abc import Callable

from engine.core import commands as c
from engine.core.deciding import WindowState
from engine.core.definition import Retry
from tests.unit.core.kitchen import INPUTS, PEOPLE, kitchen
from tests.unit.core.rig import Rig, action, flow, undo


def at_start() -> Rig:
    return Rig(kitchen()).start(INPUTS)


def asked() -> Rig:
    rig = at_start()
    rig.complete("prepare")
    return rig


def rolling() -> Rig:
    rig = asked()
    rig.vote(PEOPLE[1])
    rig.vote(PEOPLE[2])
    return rig


def at_start_by(by: str) -> Rig:
    return Rig(kitchen()).start(INPUTS, by=by)


def watching() -> Rig:
    rig = rolling()
    for robot in ("0", "1"):
        rig.complete(f"stages#0/push#{robot}.robot")
        rig.complete(f"stages#0/push#{robot}.check")
    return rig


def held_back() -> Rig:
    rig = watching()
    rig.complete("stages#0.watch", {"ok": False, "bad": False})
    rig.fire("stages#0.watch", "observe_end")
    return rig


def at_child() -> Rig:
    definition = kitchen()
    rig = Rig(definition).start({"stages": []}, by="zoe")
    rig.complete("prepare")
    rig.vote(PEOPLE[0])
    rig.vote(PEOPLE[2])
    return rig


def failing() -> Rig:
    rig = at_start()
    rig.fail("prepare", "Refused")
    return rig


def in_doubt() -> Rig:
    rig = at_start()
    rig.fail("prepare", in_doubt=True)
    return rig


def deferred() -> Rig:
    rig = rolling()
    token = rig.token("stages#0/push#0.robot")
    rig.do(c.Defer(scope=token.scope, step=token.step, fence=token.fence, seconds=9.0, reason="busy"))
    return rig


def leaving() -> Rig:
    rig = rolling()
    rig.signal("pause")
    return rig


def stopping() -> Rig:
    rig = rolling()
    rig.do(c.Cancel(by="op"))
    return rig


def undoing() -> Rig:
    rig = stopping()
    for robot in ("0", "1"):
        rig.complete(f"stages#0/push#{robot}.robot")
    return rig


def undo_waits() -> Rig:
    rig = undoing()
    assert rig.state.undoing is not None
    rig.fail(rig.state.undoing.path, "Down")
    return rig


def concluding() -> Rig:
    rig = at_start_by("zoe")
    rig.complete("prepare")
    rig.vote(PEOPLE[0], "reject")
    rig.complete("prepare")
    return rig


def locked() -> Rig:
    return Rig(kitchen(lock=True)).start(INPUTS)


def held_by_window() -> Rig:
    rig = Rig(kitchen(freeze=True))
    rig.windows = {"freeze": WindowState(open=False, until=9000.0)}
    return rig.start(INPUTS)


def suspended_done() -> Rig:
    rig = at_start()
    rig.do(c.Suspend(by="op"))
    rig.complete("prepare")
    return rig


def suspended_failed() -> Rig:
    rig = at_start()
    rig.do(c.Suspend(by="op"))
    rig.fail("prepare", "Refused")
    return rig


def escalated() -> Rig:
    rig = failing()
    rig.fire("prepare", "retry")
    rig.fail("prepare", "Refused")
    return rig


def suspended_answered() -> Rig:
    rig = escalated()
    rig.do(c.Suspend(by="op"))
    rig.vote(PEOPLE[3], "retry")
    return rig


def closed(how: str) -> Rig:
    rig = Rig(flow(action("prepare", compensate=undo("x"), retry=Retry(attempts=2)))).start()
    if how == "completed":
        rig.complete("prepare")
    elif how == "terminated":
        rig.do(c.Terminate(by="op", reason="x"))
    elif how == "cancelled":
        rig.do(c.Cancel(by="op"))
        rig.complete("prepare")
        rig.complete("prepare")
    return rig


SITUATIONS: dict[str, Callable[[], Rig]] = {
    "new": lambda: Rig(kitchen()),
    "call": at_start,
    "gate": asked,
    "map": rolling,
    "sample": watching,
    "event": held_back,
    "child": at_child,
    "retry": failing,
    "doubt asked": in_doubt,
    "deferred": deferred,
    "leaving": leaving,
    "stopping": stopping,
    "undoing": undoing,
    "undo waits": undo_waits,
    "concluding": concluding,
    "locked": locked,
    "held": held_by_window,
    "suspended done": suspended_done,
    "suspended failed": suspended_failed,
    "escalated": escalated,
    "suspended answered": suspended_answered,
    "completed": lambda: closed("completed"),
    "cancelled": lambda: closed("cancelled"),
    "terminated": lambda: closed("terminated"),
}
