"""What an update server can't do is said before it matters, in the words all connectors share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.goosebit import GooseBit
from connectors.hawkbit import HawkBit
from connectors.mender import Mender
from engine.api.consequences import _on_a_rollout, _rollout, _with_limits, consequences
from engine.api.verbs import RolloutPause, RolloutRollback
from engine.capabilities.rollout import limits
from tests.fakes import FakeClient

SHARED = ("pause", "stop", "targets", "failure rule", "gate", "health", "roll back", "reported")


@pytest.mark.parametrize("server", [GooseBit, HawkBit, Mender])
def test_each_update_server_says_where_platforms_differ(server: Any) -> None:
    assert set(SHARED) <= set(server.traits), "what a platform can't do is declared, not left to be found out"
    assert server.server and limits.limits(server) == server.traits
    for what, why in server.traits.items():
        assert 10 < len(why) < 200 and why[0].islower() and not why.endswith("."), f"{what}: {why}"


def test_those_that_bear_on_a_verb_are_said_with_whose_they_are() -> None:
    said = limits.sentences("Mender", Mender.traits, "rollout.pause")
    assert [one.partition(":")[0] for one in said] == ["Mender, pause", "Mender, stop", "Mender, latency"]
    assert limits.sentences("", {"pause": "no"}, "rollout.hold") == ("the update server, pause: no",)
    assert limits.sentences("x", {}, "rollout.pause") == () and limits.limits(object()) == {}
    long = type("Long", (), {"traits": {f"w{n}" * 50: "y" * 5000 for n in range(100)}})
    cut = limits.limits(long)
    assert len(cut) <= 30 and all(len(k) <= 40 and len(v) <= 300 for k, v in cut.items())


async def test_previews_say_them_before_anything_is_done() -> None:
    detail = await FakeClient().rollout("run-194")
    assert detail is not None and detail.owner is not None
    meant = _with_limits(_rollout("rollout.pause", detail, RolloutPause()), detail, "rollout.pause")
    assert any(one.startswith("gooseBit, pause: its own pause downgrades") for one in meant.sentences)
    back = _with_limits(_rollout("rollout.rollback", detail, RolloutRollback()), detail, "rollout.rollback")
    assert any(one.startswith("gooseBit, stop:") for one in back.sentences) and back.phrase
    signed = _on_a_rollout("signoff", detail)
    assert signed is not None and any("gooseBit, failure rule:" in one for one in signed.sentences)
    unknown = msgspec.structs.replace(detail, owner=None)
    assert not any("gooseBit" in one for one in _rollout("rollout.pause", unknown, RolloutPause()).sentences)


def test_starting_one_says_them_by_what_is_connected_now(tmp_path: Path) -> None:
    class Door:
        ports = {"updates": Mender}

    said = consequences(Door(), "rollout.start", "", RolloutPause()).sentences  # type: ignore[arg-type]
    assert any("Mender, targets:" in one for one in said) and any("Mender, gate:" in one for one in said)
    Door.ports = {}
    assert consequences(Door(), "rollout.start", "", RolloutPause()).sentences == ()  # type: ignore[arg-type]
