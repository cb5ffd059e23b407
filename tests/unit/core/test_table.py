"""Every state a step can be in, against every command there is: events or a typed refusal, never another exception."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from engine.core import commands as c
from engine.core import events as e
from engine.core import state as s
from engine.core.decide import _VERBS
from engine.core.explain import explain
from tests.unit.core.kitchen import INPUTS, PEOPLE, operator_verbs
from tests.unit.core.rig import Rig
from tests.unit.core.situations import SITUATIONS


def commands(rig: Rig) -> list[c.Command]:
    """Every command, aimed at what stands there, and once more past it."""
    state = rig.state
    tokens = list(state.tokens.values()) + ([state.undoing] if state.undoing is not None else [])
    aims: list[tuple[str, str, int]] = [(one.scope, one.step, one.fence) for one in tokens] or [("", "prepare", 1)]
    aims += [("", "nowhere", 1), ("ghost#3", "prepare", 2), (aims[0][0], aims[0][1], 9999)]
    out: list[c.Command] = [
        c.Start(run="run-1", inputs=INPUTS, by="ana"),
        c.GrantLock(key="fleet"),
        c.DenyLock(key="fleet"),
    ]
    for scope, step, fence in aims:
        at: dict[str, Any] = {"scope": scope, "step": step, "fence": fence}
        out += [
            c.MarkStarted(**at, owner="h"),
            c.Complete(**at, output={"ok": True, "bad": False}),
            c.Complete(**at, output=None),
            c.Fail(**at, failure=e.Failure(error="X")),
            c.Fail(**at, failure=e.Failure(error="X", kind="unknown"), in_doubt=True),
            c.Defer(**at, seconds=3.0, reason="busy"),
            c.EndChild(**at, child="k", status="completed", output=1),
            c.EndChild(**at, child="k", status="failed"),
        ]
        purposes = (
            "wait",
            "retry",
            "defer",
            "window",
            "expiry",
            "reminder",
            "sample",
            "observe_end",
            "timeout",
            "deadline",
            "odd",
        )
        out += [c.FireTimer(**at, purpose=purpose) for purpose in purposes]
    for token in tokens:
        out += [
            c.FireTimer(scope=token.scope, step=token.step, fence=timer.fence, purpose=timer.purpose)
            for timer in token.timers
        ]
    out += [
        c.ReceiveEvent(event=name, id=f"i-{name}", data={"ok": True}, by="x")
        for name in ("pause", "abort", "promote", "odd")
    ]
    for gate in [*state.gates, "run-1.1", "odd"]:
        for who in PEOPLE:
            digest = next((one.question.digest for one in tokens if one.question is not None), "")
            out += [
                c.Vote(gate=gate, voter=who, answer=answer, evidence_digest=digest)
                for answer in ("approve", "reject", "retry", "abort")
            ]
            out += [
                c.WithdrawVote(gate=gate, voter=who),
                c.Claim(gate=gate, voter=who),
                c.Abstain(gate=gate, voter=who),
            ]
            out += [
                c.Delegate(gate=gate, voter=who, to="eve", until=9e9),
                c.AskInfo(gate=gate, voter=who, question="?"),
            ]
        out.append(c.UpdateEvidence(gate=gate, evidence={"new": 1}))
    for path in dict.fromkeys([*(one.path for one in tokens), "nowhere"]):
        out += operator_verbs(path)
    return out


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_command_in_every_state_gives_events_or_a_typed_refusal(name: str) -> None:
    build = SITUATIONS[name]
    count = len(commands(build()))
    tried = set()
    for number in range(count):
        rig = build()
        command = commands(rig)[number]
        tried.add(type(command))
        decision = rig.do(command)
        if decision.refusal is not None:
            assert decision.refusal.code in get_args(c.RefusalCode)
            assert decision.refusal.reason
        if rig.state.open:
            assert explain(rig.definition, rig.state, rig.now), "an open run always waits for something"
            assert (
                rig.state.suspended
                or rig.owed()
                or rig.state.gates
                or any(token.phase == s.EVENT for token in rig.state.tokens.values())
            ), "and something will come for it"
    assert tried == set(_VERBS), "the table is whole"


def test_the_situations_cover_every_phase() -> None:
    seen = set()
    for build in SITUATIONS.values():
        rig = build()
        tokens = [*rig.state.tokens.values(), *([rig.state.undoing] if rig.state.undoing else [])]
        seen |= {token.phase for token in tokens}
    momentary = {s.ENTER, s.BROKEN, s.DOUBT, s.REJECTED, s.EXPIRED}
    assert seen | momentary >= {
        s.CALL, s.GATE, s.MAP, s.EVENT, s.CHILD, s.RETRY, s.DEFERRED, s.HELD, s.DONE, s.FAILED, s.ANSWERED, s.STOPPED,
    }  # fmt: skip
