"""Models by keyboard: what people see of a candidate, and what their keys send."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engine.contract.models import (
    ArtifactView,
    BaselineView,
    CandidateView,
    Check,
    ComparisonView,
    Latency,
    PackPlan,
    PackTask,
    PackView,
    Scoreboard,
    SmokeStep,
    TaskRow,
    TrialView,
)
from screens import candidate_view
from screens.candidate import CandidateScreen
from screens.form import FormScreen
from screens.widgets.parts import plain
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At, at  # noqa: F401

CANDIDATE = CandidateView(
    id="C-7c41aa00", kind="candidate", rev=4, state="compared", title="pick 7c41", run="run-7", created_at=BASE - 9000,
    updated_at=BASE - 600, line="pick", model_digest="sha256:7c41" + "0" * 60, pack="bins-9", pack_digest="sha256:aa",
    baseline=BaselineView(model_digest="sha256:5b90", version="4.7.3", label="pick 5b90 (4.7.3)", robots=212, found="runs on most robots"),
    verdict="inconclusive", sentence="No more than 5 pts worse overall (95%), 1 task undecided, 0 safety events in 41.0 h.",
    comparison="CP-3", evidence="sha256:ee" + "0" * 62, blind="codes", latency=Latency(p50_ms=40, p95_ms=60, p99_ms=71, limit_ms=80, period_ms=100, frames=900),
    checks=(Check(name="pack vs train", ok=True, says="0 of 300 sessions shared"), Check(name="replay", ok=True, says="4 sessions")),
)  # fmt: skip
ROWS = (
    TaskRow(task="bin-pick day", k1=178, n1=200, k0=171, n0=200, diff=0.035, low=-0.02, high=0.09, k_better=2.3, k_no_worse=1500, word="no worse", pairs=200, path=(1.0, 20.0, 1500.0)),
    TaskRow(task="tote-stack", k1=186, n1=200, k0=181, n0=200, diff=0.025, low=-0.02, high=0.07, k_better=1.5, k_no_worse=1200, word="no worse", pairs=200, path=(1.0, 1200.0)),
    TaskRow(task="jam\x1b[31m-recovery", k1=31, n1=50, k0=38, n0=50, diff=-0.14, low=-0.28, high=0.01, k_better=0.1, k_no_worse=0.2, word="undecided", pairs=50, path=(1.0, 0.2)),
)  # fmt: skip
COMPARISON = ComparisonView(
    id="CP-3", kind="comparison", candidate=CANDIDATE.id, pack="bins-9", plan=PackPlan(alpha=0.05, n_max=200), verdict="inconclusive",
    sentence=CANDIDATE.sentence, tasks=ROWS, safety_events=0, hours=41.0, safety_upper_100h=7.3, excluded=3,
    reasons={"infra": 2, "operator": 1}, regressions=12, regressions_passed=12,
)  # fmt: skip
TRIAL = TrialView(
    id="TR-9", kind="trial", state="recorded", candidate=CANDIDATE.id, arm="candidate", task="jam-recovery", seed=4, outcome="failure",
    rubric=0.1, duration_s=9.0, mode="stayed jammed", purpose="sim",
)  # fmt: skip
ARTIFACT = ArtifactView(
    id="A-11ff22ee", kind="artifact", state="eligible", title="pick 4.8.1", digest="sha256:11ff22ee" + "0" * 56, line="pick",
    version="4.8.1", candidate="C-00000001", expires_at=BASE + 86_400, size_b=10_240, targets=("rev-A",), key_id="sha256:" + "k" * 64,
    smoke=(SmokeStep(robot="LAB-A-1", variant="rev-A", step="rollback", ok=True, says="back on 4.7.3"),), reproduced=True,
)  # fmt: skip
PACK = PackView(
    id="bins-9", kind="pack", state="locked", name="bins", version=9, line="pick", simulator="sim/4", used_by=3,
    tasks=(PackTask(task="jam-recovery", seeds=200),), plan=PackPlan(test="sequential", n_max=200, margin=0.05, task_margin=0.1),
)  # fmt: skip


def client(candidate: CandidateView = CANDIDATE, *, gate: str = "run-7.5") -> FakeClient:
    found = FakeClient()
    found.held = {"candidate": [candidate], "artifact": [ARTIFACT], "pack": [PACK], "trial": [TRIAL]}
    found.answers_to[f"/v1/candidates/{candidate.id}/scoreboard"] = Scoreboard(
        candidate=candidate, comparison=COMPARISON, artifact=None, pack=PACK, worst=(TRIAL,), open_gate=gate, seats="0 of 2" if gate else "",
    )  # fmt: skip
    return found


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_list_says_what_waits_and_fits(at: At, size: tuple[int, int]) -> None:  # noqa: F811
    async with at(":models", size=size, client=client()) as desk:
        assert "1 wait for a decision" in desk.text and "1 of them inconclusive" in desk.text
        assert "C-7c41aa00" in desk.text and "A-11ff22ee" in desk.text and "? inconclusive" in desk.text
        await desk.press("b")
        assert "bins-9" in desk.text and "A-11ff22ee" not in desk.text
        assert all(len(line) <= size[0] for line in desk.text.splitlines())


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_table_people_decide_on(at: At, size: tuple[int, int]) -> None:  # noqa: F811
    async with at(":candidate C-7c41aa00", size=size, client=client()) as desk:
        text = desk.text
        assert "1 task undecided" in text and "on 212 robots now" in text
        assert "178/200" in text and "31/50" in text and "-14 [-28  +1]" in text and ">1000" in text
        assert "incident cases 12/12" in text and "p99 71 of 80 ms" in text
        assert "excluded 3 trials (2 infra, 1 operator)" in text and "overlap: 0" in text
        assert "approvals 0 of 2" in text and "\x1b" not in text
        lines = [line[:80] for line in text.splitlines()]
        rows = [next(at for at, line in enumerate(lines) if name in line) for name in ("jam", "bin-pick day")]
        assert rows[0] < rows[1], "what is undecided stands above what is decided"


async def test_a_vote_is_given_where_its_evidence_is(at: At) -> None:  # noqa: F811
    held = client()
    async with at(":candidate C-7c41aa00", client=held) as desk:
        await desk.press("A")
        assert type(desk.console.screen).__name__ == "GateScreen" and not desk.sent()
    async with at(":candidate C-7c41aa00", client=client(gate="")) as desk:
        await desk.press("A")
        assert "no question about this candidate is open" in desk.text


async def test_approvals_that_an_incident_holds_say_so(at: At) -> None:  # noqa: F811
    async with at(":candidate C-7c41aa00", client=client(replace(CANDIDATE, frozen_by="I-44"), gate="")) as desk:
        assert "Approvals of pick wait for I-44" in desk.text
        await desk.press("A")
        assert "its commander releases them" in desk.text


async def test_a_trial_is_left_out_only_with_a_reason(at: At) -> None:  # noqa: F811
    async with at(":candidate C-7c41aa00", client=client()) as desk:
        await desk.press("x")
        assert "stayed jammed" in desk.text and not desk.asking
        await desk.press("x")
        await desk.armed()
        await desk.write("part put by hand")
        await desk.press("tab", "tab", "tab", "enter")
        (sent,) = desk.sent("candidate.exclude")
        assert sent.target == "TR-9" and sent.args["reason"] == "part put by hand" and sent.args["sort"] == "operator"


async def test_its_views_open_and_close_by_their_key(at: At) -> None:  # noqa: F811
    async with at(":candidate C-7c41aa00", client=client()) as desk:
        await desk.press("q")
        assert "pairs" in desk.text and "decides" in desk.text
        await desk.press("escape")
        assert isinstance(desk.console.screen, CandidateScreen) and "incident cases" in desk.text
        for key, says in (
            ("b", "baseline and candidate"),
            ("o", "Nothing was built"),
            ("v", "worst trials"),
            ("W", "checks"),
        ):
            await desk.press(key)
            assert says in desk.text
            await desk.press(key)
            assert "incident cases" in desk.text


async def test_more_trials_are_asked_for_with_one_confirmation(at: At) -> None:  # noqa: F811
    async with at(":candidate C-7c41aa00", client=client()) as desk:
        await desk.press("plus")
        await desk.armed()
        await desk.press("tab", "tab", "enter")
        (sent,) = desk.sent("candidate.more")
        assert sent.target == CANDIDATE.id
    async with at(":candidate C-7c41aa00", client=client(replace(CANDIDATE, state="rejected", why="worse"))) as desk:
        assert "Rejected: worse" in desk.text
        await desk.press("plus")
        assert "it is rejected" in desk.text and not desk.asking


async def test_an_artifact_is_revoked_from_its_row_with_a_reason(at: At) -> None:  # noqa: F811
    async with at(":models", client=client()) as desk:
        await desk.press("X")
        assert "no artifact is selected" in desk.text
        await desk.press("tab")
        await desk.press("X")
        await desk.armed()
        await desk.write("drops parts")
        await desk.press("tab", "tab", "enter")
        (sent,) = desk.sent("artifact.revoke")
        assert sent.target == ARTIFACT.id and sent.args["reason"] == "drops parts"


async def test_a_checkpoint_is_registered_by_a_form(at: At) -> None:  # noqa: F811
    async with at(":models", client=client()) as desk:
        await desk.press("plus")
        assert isinstance(desk.console.screen, FormScreen)
        await desk.write("/data/model.qdp")
        await desk.press("enter")
        await desk.write("pick")
        await desk.press("ctrl+s")
        (sent,) = desk.sent("candidate.register")
        assert sent.args["path"] == "/data/model.qdp" and sent.args["line"] == "pick"


def test_words_never_say_more_than_was_shown() -> None:
    board = Scoreboard(candidate=CANDIDATE, comparison=COMPARISON)
    said = " ".join(plain(line) for line in candidate_view.overview(board, 78, BASE, room=40)).lower()
    assert " safe " not in said and "%" not in said.replace("90%", "").replace("95%", "")
    built = candidate_view.artifact(ARTIFACT, 78, BASE)
    assert "built twice, same digest" in " ".join(plain(line) for line in built)
