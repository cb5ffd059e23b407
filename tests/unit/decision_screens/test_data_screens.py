"""Data screens at 80x24 and 160x45: worst first, what bars a signature is said, keys open the gates."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from engine.contract.datasets import (
    Agreement,
    AnnotationView,
    Audit,
    Cell,
    Checkpoint,
    Curation,
    EpisodePage,
    EpisodeRow,
    Funnel,
    Label,
    LabelField,
    LabelSchema,
    LabelTaskView,
    Shift,
    SnapshotDiff,
    SnapshotView,
    TrainingLog,
    TrainingView,
)
from engine.contract.gates import GateDetail, GateSummary
from screens import label
from screens.acts import act
from screens.confirm import Confirm
from screens.training import spoken
from tests.fakes import FakeClient

CELLS = (("jam recovery", (19, 20, 24)), ("bin-pick night", (26, 7, 11)), ("bin-pick day", (48, 31, 22)))


def cell(task: str, site: str, have: int, waived: str = "") -> Cell:
    return Cell(
        key=f"task={task} site={site}",
        dims={"task": task, "site": site},
        have=have,
        need=20,
        waived=waived,
        waived_until=1_796_000_000.0,
    )


def snapshot(now: float, **fields: Any) -> SnapshotView:
    cells = sorted(
        (
            cell(task, site, have)
            for task, row in CELLS
            for site, have in zip(("HAM2", "HAM5", "UTR1"), row, strict=True)
        ),
        key=lambda one: one.have - one.need,
    )
    values: dict[str, Any] = {
        "id": "bins-v14", "kind": "snapshot", "state": "review", "title": "bins v14", "dataset": "bins", "version": 14, "run": "run-42",
        "region": "eu-central", "line": "pick", "episodes": 318, "hours": 12.4, "updated_at": now - 60, "created_at": now - 7200,
        "root_digest": "sha256:" + "ab" * 32, "funnel": Funnel(found=412, ingested=412, valid=391, labelled=353, kept=318, quarantined=17, repaired=4, reasons={"clock_jump": 9, "low_score": 20}),
        "agreement": Agreement(alpha=0.84, low=0.79, high=0.88, n=61, word="accept"), "audit": Audit(k=0, n=59, need=59, u95=0.0495, word="pass"),
        "coverage": tuple(cells), "shift": (Shift(feature="gripper_force", psi=0.31, flag=True), Shift(feature="lighting", psi=0.08)),
        "shift_against": "bins-v13", "parents": ("bins-v13",), "splits": {"train": 254, "val": 32, "test": 32}, "groups": 41,
        "blockers": ("3 coverage gaps, the largest task=bin-pick night site=HAM5 (7/20)",), "curation": Curation(rule="score-v1", kept=318, excluded=35, baseline_excluded=30, rank_correlation=0.21),
        "gpu_hours": 6.5, "interventions": 40, "failures": 12,
    }  # fmt: skip
    return SnapshotView(**(values | fields))


def gate(kind: str, now: float) -> GateDetail:
    head = GateSummary(
        id="run-42.7",
        run="run-42",
        path="signoff",
        kind=kind,
        question="Sign?",
        opened_at=now,
        expires_at=now + 3600,
        seats_open=1,
        seats_total=1,
    )
    return GateDetail(
        gate=head,
        evidence={},
        evidence_digest="sha256:0",
        evidence_at=now,
        seats=(),
        votes=(),
        excluded=(),
        answers=("approve", "reject"),
    )


def held(**fields: Any) -> FakeClient:
    client = FakeClient()
    now = client.now()
    client.held["snapshot"] = [
        snapshot(now, **fields),
        snapshot(now, id="bins-v13", version=13, state="superseded", run=""),
    ]
    client.held["training"] = [
        TrainingView(
            id="T-3", kind="training", state="succeeded", snapshot="bins-v13", line="pick", seed=7, done=24, of=24, unit="epochs", metrics={"val_loss": 0.031},
            checkpoint=Checkpoint(digest="sha256:" + "cd" * 32, size=1234, step=24), spent_s=61.0, budget_s=600.0, updated_at=now - 9, run="run-41",
        ),
    ]  # fmt: skip
    client.held["label_task"] = [task(now, "L-1"), task(now, "L-2", purpose="audit", audits="AN-1")]
    client.held["annotation"] = [
        AnnotationView(id="AN-1", kind="annotation", state="current", labels=(Label(name="phase", value="grasp", t0=0.0, t1=10.0), Label(name="outcome", value="success")))
    ]  # fmt: skip
    rows = (
        EpisodeRow(session="S-9", decision="left out", code="low_score", why="among the lowest scores of its task", score=0.31, baseline=0.9, task="bin-pick day"),
        EpisodeRow(session="S-1", split="train", code="kept", why="kept", score=0.97, baseline=0.88, site="HAM2", task="bin-pick day"),
    )  # fmt: skip
    client.answers_to["/v1/snapshots/bins-v14/episodes"] = EpisodePage(snapshot="bins-v14", rows=rows, total=2)
    client.answers_to["/v1/snapshots/bins-v14/diff"] = SnapshotDiff(
        snapshot="bins-v14", before="bins-v13", added=("S-1",), cells=(("task=a", 3, 5),)
    )
    log = '{"event":"progress","done":24}\nloss \x1b[31mred\n'
    client.answers_to["/v1/trainings/T-3/log"] = TrainingLog(training="T-3", next=len(log), text=log, ended=True)
    return client


def task(now: float, id: str, **fields: Any) -> LabelTaskView:
    schema = LabelSchema(
        name="phases", version=1,
        fields=(
            LabelField(name="phase", title="Phase", values=("approach", "grasp", "place"), covers=True),
            LabelField(name="outcome", title="Outcome", kind="value", values=("success", "failure")),
        ),
    )  # fmt: skip
    values: dict[str, Any] = {
        "id": id, "kind": "label_task", "state": "open", "session": "S-1", "snapshot": "bins-v14", "dataset": "bins", "task": "bin-pick day", "site": "HAM2",
        "duration_s": 10.0, "schema": schema, "updated_at": now - 30, "created_at": now - 90,
    }  # fmt: skip
    return LabelTaskView(**(values | fields))


async def test_the_list_says_what_waits_and_what_is_in_the_way(at) -> None:
    async with at("data", client=held()) as desk:
        assert "1 snapshot in work" in desk.text and "2 label tasks open" in desk.text
        assert "bins-v14" in desk.text and "NOT READY: 3 cov" in desk.text
        assert "trainings" in desk.text and "T-3" in desk.text and "24/24 epochs" in desk.text
        assert all(len(line) <= 80 for line in desk.text.splitlines())


async def test_a_snapshot_fits_80x24_with_its_matrix_gaps_first(at) -> None:
    async with at("data", client=held()) as desk:
        await desk.press("enter")
        text = desk.text
        assert "NOT READY: 3 coverage gaps, 1 shift flag" in text
        assert "ingested 412 > valid 391 > labelled 353 > kept 318" in text and "quarantined 17" in text
        assert "a=.84 [.79 .88] n=61" in text and "0/59 bad" in text and "(95%)" in text and "leak 0/318" in text
        lines = [line for line in text.splitlines() if "bin-pick night" in line or "bin-pick day" in line]
        assert "! 7" in lines[0] and "! 11" in lines[0] and "bin-pick day" in lines[1]
        assert "gripper force PSI 0.31 !" in text and "need 20 per cell" in text
        assert all(len(line) <= 80 for line in text.splitlines())


async def test_signing_is_barred_while_something_is_in_the_way_and_says_what(at) -> None:
    async with at("data", client=held()) as desk:
        await desk.press("enter", "A")
        assert "not ready: 3 coverage gaps" in desk.text and not desk.client.commands
        await desk.press("w")
        assert "nobody asks to waive" in desk.text


async def test_signing_opens_the_gate_of_its_run(at) -> None:
    full = tuple(replace(one, have=30) for one in snapshot(0.0).coverage)
    client = held(blockers=(), coverage=full)
    client.gate_rows["run-42.7"] = gate("dataset_signoff", client.now())
    async with at("data", client=client) as desk:
        assert "1 wait for a decision" in desk.text and "dataset signoff" in desk.text
        await desk.press("enter")
        assert desk.console.screen.reason_against(act("snapshot.signoff")) is None


async def test_findings_sessions_and_difference_are_a_key_away(at) -> None:
    async with at("data", client=held()) as desk:
        await desk.press("enter", "f")
        assert (
            "clock jump" in desk.text
            and "length alone would leave out 30" in desk.text
            and "among the lowest" in desk.text
        )
        await desk.press("d")
        assert "bins-v14 against bins-v13" in desk.text and "added" in desk.text
        await desk.press("s")
        assert "S-9" in desk.text and "0.31" in desk.text and "0.90" in desk.text
        await desk.press("z")
        assert desk.asking


async def test_wide_screens_show_the_reasons_beside(at) -> None:
    async with at("data", client=held(), size=(160, 45)) as desk:
        await desk.press("enter")
        assert "What did not get in, and why" in desk.text and "need 20 per cell" in desk.text


async def test_withdrawing_wants_its_phrase(at) -> None:
    async with at("data", client=held(state="finalized", blockers=())) as desk:
        await desk.press("enter", "exclamation_mark")
        assert isinstance(desk.console.screen, Confirm)


async def test_a_label_task_is_taken_filled_and_handed_in_by_keys(at) -> None:
    label.drafts.clear()
    client = held()
    me = client.me_view.person if hasattr(client, "me_view") else (await client.me()).person
    async with at("data", client=client) as desk:
        await desk.press("l")
        assert "2 tasks wait (1 audit)" in desk.text
        await desk.press("enter")
        assert "spans that cover all of it" in desk.text and "a takes it" in desk.text
        await desk.press("n")
        assert "it is open" in desk.text
        client.held["label_task"][0] = task(client.now(), "L-1", state="claimed", assignee=me)
        await desk.press("ctrl+r")
        assert "Still needed: phase; outcome" in desk.text
        label.drafts["L-1"] += [
            Label(name="phase", value="grasp", t0=0.0, t1=10.0),
            Label(name="outcome", value="success"),
        ]
        await desk.press("ctrl+r", "S")
        sent = desk.sent("label.submit")[0]
        assert sent.target == "L-1" and sent.args["labels"][0]["value"] == "grasp"
        assert "L-1" not in label.drafts or not label.drafts["L-1"]


async def test_an_audit_marks_what_is_wrong(at) -> None:
    client = held()
    me = (await client.me()).person
    client.held["label_task"] = [
        task(client.now(), "L-2", purpose="audit", audits="AN-1", state="claimed", assignee=me)
    ]
    async with at("data", client=client) as desk:
        await desk.press("l", "enter", "x")
        assert "1 of 2 labels are wrong" in desk.text
        await desk.press("n")
        assert "an audit says which labels are wrong" in desk.text
        await desk.press("S")
        assert desk.sent("label.audit")[0].args == {"wrong": [0]}


async def test_a_training_shows_its_log_cleaned(at) -> None:
    async with at("data", client=held()) as desk:
        desk.console.open("training", "T-3")
        await desk.settle()
        assert "checkpoint cdcdcd" in desk.text and "epochs" in desk.text and "progress  done 24" in desk.text
        assert "\x1b" not in desk.text
        await desk.press("X")
        assert "it is succeeded" in desk.text


def test_reports_of_a_program_are_said_in_words_and_the_rest_as_it_is() -> None:
    report = '{"event":"progress","done":3,"of":24,"unit":"epochs","what":"training","val_loss":0.0068794}'
    assert spoken(report) == "progress 3/24 epochs  what training  val loss 0.006879"
    for line in ("plain words", "{broken", "[1]", '{"no": "event"}', '{"event": 3}', '{"a":' * 600):
        assert spoken(line) == line
