"""From recordings that passed to a signed snapshot: what counts, who may do what, and what never goes in silence."""

from __future__ import annotations

import msgspec
import pytest

from engine.capabilities.data import manifest
from engine.capabilities.desk import Refusal
from engine.capabilities.ports import ActionError
from engine.capabilities.records import RecordError
from tests.unit.data.conftest import Table, labels


async def test_a_campaign_ends_in_a_signed_snapshot_that_hashes_to_what_was_signed(table: Table) -> None:
    snapshot = await table.finalized()
    assert (snapshot.id, snapshot.state, snapshot.version) == ("bins-v1", "finalized", 1)
    assert snapshot.episodes == 12 and sum(snapshot.splits.values()) == 12 and snapshot.splits["train"] >= 8
    assert snapshot.agreement.word == "accept" and snapshot.audit.word == "pass" and snapshot.contamination == 0
    assert snapshot.funnel.ingested == 12 and snapshot.funnel.kept == 12 and snapshot.signed_by == ("lea",)
    kept = manifest.read(table.context.vault.read(snapshot.episodes_digest))
    assert manifest.root_digest(kept) == snapshot.root_digest
    assert {one.state for one in await table.find("session")} == {"curated"}
    assert (await table.get("dataset", "bins")).newest == "bins-v1"


async def test_a_group_is_never_divided_and_keeps_its_split_in_the_next_version(table: Table) -> None:
    first = await table.finalized()
    before = {one.group: one.split for one in manifest.read(table.context.vault.read(first.episodes_digest))}
    for number in range(13, 25):
        await table.session(f"S-{number}", site="HAM2", group=f"HAM2-d{number % 4}|r|o")
    table.run = "run-2"
    second = await table.finalized(sessions=24)
    after: dict[str, set[str]] = {}
    for one in manifest.read(table.context.vault.read(second.episodes_digest)):
        after.setdefault(one.group, set()).add(one.split)
    assert all(len(splits) == 1 for splits in after.values())
    assert all(after[group] == {split} for group, split in before.items())
    assert second.parents == ("bins-v1",) and (await table.get("snapshot", "bins-v1")).state == "superseded"


async def test_nobody_labels_a_session_twice_or_audits_their_own_labels(table: Table) -> None:
    await table.session("S-1")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    label, overlap = sorted(await table.find("label_task"), key=lambda one: one.purpose)
    assert (label.purpose, overlap.purpose) == ("label", "overlap")
    await table.label("ann", label)
    with pytest.raises(Refusal, match="second pair of eyes"):
        await table.do("ann", "label.claim", overlap.id)
    await table.label("max", overlap)
    await table.act("data.label_quality", snapshot=snapshot)
    audit = next(one for one in await table.find("label_task") if one.purpose == "audit")
    for person in ("ann", "max"):
        with pytest.raises(Refusal):
            await table.do(person, "label.claim", audit.id)
    with pytest.raises(RecordError, match="nobody checks their own labels"):
        await table.records.change("label_task", audit.id, to="claimed", set={"assignee": "ann"})
    await table.do("lea", "label.claim", audit.id)
    assert (await table.do("lea", "label.audit", audit.id, wrong=[0]))["wrong"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda every: every[:-1], "labels"),
        (lambda every: [*every, {"name": "mood", "value": "good"}], "labels[5].name"),
        (lambda every: [{**every[0], "t1": 99.0}, *every[1:]], "labels[0].t1"),
        (lambda every: [{**every[0], "t0": 5.0, "t1": 2.0}, *every[1:]], "labels[0].t1"),
        (lambda every: [{**every[0], "value": "dance"}, *every[1:]], "labels[0].value"),
        (lambda every: every[1:], "labels"),
        (lambda every: [*every, {"name": "outcome", "value": "failure"}], "labels"),
        (lambda every: [*every[:-1], {"name": "outcome", "value": "success", "t0": 1.0, "t1": 2.0}], "labels[4].t0"),
    ],
)
async def test_labels_that_are_incomplete_or_impossible_are_refused_with_their_place(
    table: Table, change, field: str
) -> None:
    await table.session("S-1")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    task = (await table.find("label_task"))[0]
    await table.do("ann", "label.claim", task.id)
    with pytest.raises(Refusal) as refused:
        await table.do("ann", "label.submit", task.id, labels=change(labels(10.0)))
    assert refused.value.field == field and (await table.get("label_task", task.id)).state == "claimed"


async def test_people_who_do_not_agree_are_rejected_and_label_again(table: Table) -> None:
    for number in range(1, 9):
        await table.session(f"S-{number}")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    await table.label_all(shift=1.9)
    quality = await table.act("data.label_quality", snapshot=snapshot)
    assert quality["agreement"]["word"] == "reject" and quality["agreement"]["n"] >= 6
    await table.label_all()
    verdict = await table.act("data.label_verdict", snapshot=snapshot)
    assert verdict["complete"] and verdict["word"] == "reject" and verdict["worst"]
    again = await table.act("data.relabel", snapshot=snapshot, reason="edges are late")
    assert again["count"] >= 6
    opened = [one for one in await table.find("label_task", state="open") if one.purpose != "audit"]
    assert opened and {one.rounds for one in opened} == {1} and {one.why for one in opened} == {"edges are late"}
    await table.label_all()
    quality = await table.act("data.label_quality", snapshot=snapshot)
    assert quality["agreement"]["alpha"] == 1.0 and quality["agreement"]["word"] == "accept"


async def test_a_defect_in_the_audit_fails_it(table: Table) -> None:
    for number in range(1, 7):
        await table.session(f"S-{number}")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    await table.label_all()
    await table.act("data.label_quality", snapshot=snapshot)
    audits = await table.find("label_task", state="open")
    for number, task in enumerate(audits):
        await table.do("lea", "label.claim", task.id)
        await table.do("lea", "label.audit", task.id, wrong=[1] if number == 0 else [])
    verdict = await table.act("data.label_verdict", snapshot=snapshot)
    assert verdict["audit"]["k"] == 1 and verdict["audit"]["word"] == "fail" and verdict["word"] == "reject"
    assert "1/20 wrong" in verdict["sentence"]


async def test_a_session_that_comes_while_people_label_joins(table: Table) -> None:
    await table.session("S-1")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    await table.label_all()
    await table.session("S-2", run="")
    sample = await table.act("data.label_progress", snapshot=snapshot)
    assert not sample["complete"] and sample["sessions"] == 2


async def test_an_old_recording_that_comes_by_itself_is_admitted_by_a_person_alone(table: Table) -> None:
    await table.session("S-1")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    old = (await table.get("snapshot", snapshot)).created_at - 30 * 86_400
    await table.session("S-2", end=old, run="run-77")
    assert (await table.act("data.queue", snapshot=snapshot))["sessions"] == 1
    await table.do("lea", "snapshot.admit", snapshot, sessions=["S-2"])
    assert ("signal", "run-1", "data.admitted") in table.told
    assert (await table.act("data.queue", snapshot=snapshot))["sessions"] == 2


async def test_a_task_nobody_hands_in_is_free_again(table: Table) -> None:
    await table.session("S-1")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    task = (await table.find("label_task"))[0]
    await table.do("ann", "label.claim", task.id)
    table.clock.at = (await table.get("label_task", task.id)).updated_at + table.policy["labels"]["claim"] + 1
    await table.act("data.label_progress", snapshot=snapshot)
    freed = await table.get("label_task", task.id)
    assert (freed.state, freed.assignee) == ("open", "")


async def test_a_label_schema_that_changed_asks_again_and_never_mixes(table: Table) -> None:
    await table.finalized()
    schema = {
        "name": "grasps",
        "version": 2,
        "fields": [{"name": "quality", "kind": "number", "minimum": 0, "maximum": 5}],
    }
    table.run = "run-2"
    snapshot = (await table.act("data.open", dataset="bins", label_schema=schema))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    tasks = [one for one in await table.find("label_task", snapshot=snapshot) if one.purpose == "label"]
    assert len(tasks) == 12 and {one.schema.name for one in tasks} == {"grasps"}
    await table.do("ann", "label.claim", tasks[0].id)
    with pytest.raises(Refusal):
        await table.do("ann", "label.submit", tasks[0].id, labels=labels(10.0))
    await table.do("ann", "label.submit", tasks[0].id, labels=[{"name": "quality", "value": "4"}])


async def test_what_is_short_is_requested_waived_by_people_for_a_time_and_blocks_when_that_is_over(
    table: Table,
) -> None:
    strata = [
        {"dims": {"task": "bin-pick day", "site": "HAM2"}, "need": 3},
        {"dims": {"task": "jam recovery"}, "need": 5},
    ]
    snapshot = await table.campaign(strata=strata)
    found = await table.act("data.coverage", snapshot=snapshot)
    assert found["short"] and found["cells"][0]["key"] == "task=jam recovery" and found["cells"][0]["have"] == 0
    asked = await table.act("data.request_collection", snapshot=snapshot)
    assert (await table.get("collection", asked["collection"])).state == "requested"
    blocked = await table.act("data.freeze", snapshot=snapshot)
    assert blocked["blocked"] and "jam recovery" in blocked["blockers"][0]
    await table.act("data.waive", snapshot=snapshot, by=["dirk"], reason="no jams this week", days=7)
    assert (await table.get("collection", asked["collection"])).state == "waived"
    frozen = await table.act("data.freeze", snapshot=snapshot)
    assert not frozen["blocked"] and "1 cells are waived" in frozen["evidence"]["flags"]
    table.clock.at += 8 * 86_400
    with pytest.raises(ActionError, match="waiver of task=jam recovery has run out"):
        await table.act("data.finalize", snapshot=snapshot, root_digest=frozen["root_digest"], gate="g", by=["lea"])


async def test_a_session_withdrawn_after_the_signature_stops_the_finalizing(table: Table) -> None:
    snapshot = await table.campaign()
    frozen = await table.act("data.freeze", snapshot=snapshot)
    await table.records.change("session", "S-3", to="withdrawn", reason="consent")
    with pytest.raises(ActionError) as stopped:
        await table.act("data.finalize", snapshot=snapshot, root_digest=frozen["root_digest"], gate="g", by=["lea"])
    assert stopped.value.error == "SnapshotChanged" and "S-3 is withdrawn" in stopped.value.message
    await table.act("data.curate", snapshot=snapshot)
    again = await table.act("data.freeze", snapshot=snapshot)
    assert again["root_digest"] != frozen["root_digest"] and again["evidence"]["episodes"] == 11


async def test_a_snapshot_is_finalized_by_a_gate_and_then_never_changes(table: Table) -> None:
    snapshot = await table.campaign()
    frozen = await table.act("data.freeze", snapshot=snapshot)
    with pytest.raises(RecordError, match="no gate decided"):
        await table.records.change("snapshot", snapshot, to="finalized")
    with pytest.raises(RecordError, match="root digest differs"):
        await table.records.change(
            "snapshot", snapshot, to="finalized", facts={"gate": "g", "root_digest": "sha256:other"}
        )
    await table.act("data.finalize", snapshot=snapshot, root_digest=frozen["root_digest"], gate="g", by=["lea"])
    for field, value in (("sessions", []), ("root_digest", "sha256:x"), ("splits", {})):
        with pytest.raises(RecordError, match="no longer changes"):
            await table.records.change("snapshot", snapshot, set={field: value})


async def test_duplicates_near_duplicates_and_what_evaluation_holds_stay_out_and_are_counted(table: Table) -> None:
    for number in range(1, 11):
        await table.session(f"S-{number}", group=f"g{number % 3}")
    await table.session("S-11", content="sha256:" + f"{1:064x}")
    await table.session("S-12", trajectory="t-S-2")
    await table.session("S-13", consent_basis="")
    snapshot = await table.campaign(sessions=13)
    codes = {one.id: one.code for one in await table.find("session", state="excluded")}
    assert codes == {"S-11": "duplicate", "S-12": "near_duplicate", "S-13": "consent"}
    frozen = await table.act("data.freeze", snapshot=snapshot)
    checks = (await table.get("snapshot", snapshot)).checks
    assert checks.near_duplicates == 2 and checks.consent == 1
    assert frozen["evidence"]["contamination"].startswith("0/10;") and "consent 1" in frozen["evidence"]["exceptions"]


async def test_the_campaign_that_ends_early_closes_what_it_opened(table: Table) -> None:
    await table.session("S-1")
    snapshot = (await table.act("data.open", dataset="bins"))["snapshot"]
    await table.act("data.queue", snapshot=snapshot)
    await table.act("data.abandon", reason="Rejected: not now")
    assert (await table.get("snapshot", snapshot)).state == "withdrawn"
    assert {one.state for one in await table.find("label_task")} == {"dropped"}
    assert (await table.get("session", "S-1")).state == "valid"


async def test_withdrawn_consent_reaches_sessions_labels_snapshots_and_names_what_was_made(table: Table) -> None:
    for number in range(1, 13):
        await table.session(f"S-{number}", group=f"g{number % 4}", consent_subjects=["op-9"] if number == 5 else [])
    snapshot = await table.finalized()
    await table.records.create("training", {"snapshot": snapshot.id, "title": "t"}, key="t")
    told = await table.act("data.withdraw", subjects=["op-9"], reason="asked for it")
    assert told["sessions"] == ["S-5"] and told["dependants"] == ["training T-1 (submitted)"]
    gone = await table.get("snapshot", snapshot.id)
    assert (
        gone.state == "withdrawn"
        and "asked for it" in gone.withdrawn_for
        and gone.dependants == ("training T-1 (submitted)",)
    )
    assert {one.state for one in await table.find("annotation", session="S-5")} == {"withdrawn"}
    again = await table.act("data.withdraw", subjects=["op-9"], reason="asked for it")
    assert (
        again["session_count"] == 1
        and (await table.get("session", "S-5")).rev == (await table.get("session", "S-5")).rev
    )
    with pytest.raises(ActionError):
        await table.act("data.withdraw", subjects=[])


async def test_the_manifest_names_every_file_with_its_digest(table: Table) -> None:
    snapshot = await table.finalized()
    document = msgspec.json.decode(table.context.vault.read(snapshot.manifest))
    files = {one["@id"]: one for one in document["distribution"]}
    assert document["conformsTo"].endswith("croissant/1.1") and document["identifier"] == snapshot.root_digest
    assert len(files) == 13 and all(len(one["sha256"]) == 64 for one in files.values())
    assert files["episodes"]["sha256"] == snapshot.episodes_digest.removeprefix("sha256:")


@pytest.mark.parametrize("name", ["", "Bins", "../etc", "a" * 80, "bins v1"])
async def test_a_dataset_has_a_name_one_can_type(table: Table, name: str) -> None:
    with pytest.raises(ActionError):
        await table.act("data.open", dataset=name)


async def test_rules_that_changed_name_what_they_no_longer_allow_and_withdraw_nothing(table: Table) -> None:
    snapshot = await table.finalized()
    assert (await table.act("data.recheck"))["session_count"] == 0
    table.policy["consent"]["bases"] = ["operator-consent"]
    found = await table.act("data.recheck")
    assert found["session_count"] == 12 and found["snapshots"][0]["snapshot"] == snapshot.id
    assert "its basis is sandbox" in found["snapshots"][0]["first"]
    assert (await table.get("snapshot", snapshot.id)).state == "finalized"


async def test_the_session_of_a_correction_joins_unless_it_is_elsewhere(table: Table) -> None:
    for number in (1, 2, 3):
        await table.session(f"S-{number}", dataset="" if number < 3 else "other")
        fields = {"session": f"S-{number}", "route": "train", "title": "t"}
        await table.records.create("correction", fields, key=f"c{number}", id=f"COR-{number}")
    snapshot = (await table.act("data.open", dataset="corrections"))["snapshot"]
    told = await table.act("data.admit", snapshot=snapshot, corrections=["COR-2", "COR-3", "COR-9"])
    assert told["joined"] == ["S-2"] and ["S-3", "it belongs to other"] in told["refused"]
    assert (await table.get("session", "S-2")).dataset == "corrections" and not (
        await table.get("session", "S-1")
    ).dataset
