"""From a checkpoint to an eligible artifact, and every way in which it does not get there."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sandbox.policy_model import decode, digest_of, encode
from engine.capabilities.desk import Refusal
from engine.capabilities.models import signing
from engine.capabilities.models.reads import verify
from engine.capabilities.ports import ActionError
from engine.capabilities.records import RecordError
from tests.unit.models.conftest import NAMES, Fleet, Site, pack_document

Models = dict[str, bytes]


async def compared(
    site: Site, models: Models, name: str = "better", *, n_max: int = 200, **given: Any
) -> tuple[str, Any]:
    """A candidate with its comparison."""
    await site.pack({"4.7.3": site.keep(models["today"])}, plan={"n_max": n_max, "batch": 25})
    id_ = await site.candidate(models[name], **given)
    await site.act("models.attach", candidate=id_)
    await site.act("models.replay", candidate=id_)
    return id_, await site.act("models.evaluate", candidate=id_)


async def built(site: Site, models: Models) -> tuple[str, str]:
    id_, found = await compared(site, models, version="4.8.1")
    await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana"])
    made = await site.act("models.build", candidate=id_)
    await site.act("models.sign", artifact=made["artifact"])
    await site.act("models.attest", artifact=made["artifact"])
    return id_, made["artifact"]


async def test_a_better_checkpoint_becomes_an_eligible_artifact(site: Site, models: Models) -> None:
    id_, artifact = await built(site, models)
    smoke = await site.act("models.smoke", artifact=artifact)
    assert smoke["drilled"] == 3 and smoke["differ"] == 0 and smoke["cases"] >= 8
    out = await site.act("models.eligible", artifact=artifact)
    candidate, made = await site.get("candidate", id_), await site.get("artifact", artifact)
    assert (candidate.state, made.state, candidate.verdict) == ("eligible", "eligible", "better")
    assert out["expires_at"] == site.now + 30 * 86_400 and out["version"] == "4.8.1"
    assert candidate.baseline.robots == 60 and candidate.baseline.version == "4.7.3"
    assert made.rollback_target == "4.7.3" and made.reproduced is True
    found = verify(_look(site), {"artifact": artifact}, {})
    assert (
        found is not None
        and found.sound
        and {one.name for one in found.checks} >= {"archive", "signature", "provenance"}
    )
    assert [step.step for step in made.smoke if step.robot == "LAB-A-1"] == [
        "provision", "install", "boot", "trial", "rollback", "report",
    ]  # fmt: skip


async def test_every_action_can_be_asked_again_and_changes_nothing(site: Site, models: Models) -> None:
    id_, artifact = await built(site, models)
    await site.act("models.smoke", artifact=artifact)
    first = await site.act("models.eligible", artifact=artifact)
    before = {kind: len(await site.find(kind)) for kind in ("candidate", "trial", "comparison", "artifact")}
    await site.act("models.evaluate", candidate=id_)
    for name, target in (
        ("build", {"candidate": id_}),
        ("sign", {"artifact": artifact}),
        ("attest", {"artifact": artifact}),
    ):
        await site.act(f"models.{name}", **target)
    assert await site.act("models.eligible", artifact=artifact) == first
    assert {kind: len(await site.find(kind)) for kind in before} == before
    known = await site.act("models.register", model_digest=site.keep(models["better"]), line="pick")
    assert known["candidate"] == id_


async def test_the_same_checkpoint_is_noticed_whoever_brings_it(site: Site, models: Models) -> None:
    id_ = await site.candidate(models["better"])
    site.run = "run-2"
    again = await site.act("models.register", model_digest=site.keep(models["better"]), line="pick")
    assert again["duplicate"] and again["candidate"] == id_
    path = site.folder / "same.qdp"
    path.write_bytes(models["better"])
    with pytest.raises(Refusal, match=id_):
        await site.do("lea", "candidate.register", path=str(path), line="pick")


async def test_what_a_checkpoint_says_about_itself_is_held_against_what_is_claimed(site: Site, models: Models) -> None:
    await site.pack({"4.7.3": site.keep(models["today"])})
    with pytest.raises(ActionError, match="of line pick, not place"):
        await site.act("models.register", model_digest=site.keep(models["better"]), line="place")
    with pytest.raises(ActionError) as refused:
        await site.act("models.register", model_digest=site.keep(b"a picture of a cat"), line="pick")
    assert refused.value.error == "BadModel" and not refused.value.retryable
    with pytest.raises(ActionError, match="not kept here"):
        await site.act("models.register", model_digest="sha256:" + "0" * 64, line="pick")


async def test_files_come_only_from_where_the_policy_says_and_never_through_a_link(
    site: Site, models: Models, tmp_path: Path
) -> None:
    site.policy["inbox"] = [str(tmp_path / "in")]
    (tmp_path / "in").mkdir()
    good = tmp_path / "in" / "model.qdp"
    good.write_bytes(models["better"])
    link = tmp_path / "in" / "link.qdp"
    link.symlink_to(good)
    for bad in (
        "model.qdp",
        str(tmp_path / "model.qdp"),
        str(link),
        str(tmp_path / "in" / ".." / "x"),
        str(tmp_path / "in"),
        "/etc/shadow",
    ):
        with pytest.raises(Refusal):
            await site.do("lea", "candidate.keep", path=bad)
    kept = await site.do("lea", "candidate.keep", path=str(good))
    assert stat.S_IMODE(site.context().vault.path(kept["digest"]).stat().st_mode) == 0o400


async def test_no_pack_no_baseline_no_comparison(site: Site, models: Models) -> None:
    id_ = await site.candidate(models["better"])
    with pytest.raises(ActionError) as refused:
        await site.act("models.attach", candidate=id_)
    assert refused.value.error == "NoPack"
    await site.pack({})
    with pytest.raises(ActionError) as refused:
        await site.act("models.attach", candidate=id_)
    assert refused.value.error == "NoBaseline"
    assert (await site.get("candidate", id_)).state == "registered"


async def test_the_baseline_is_what_most_robots_say_they_run(site: Site, models: Models) -> None:
    site.ports["fleet"] = Fleet({"4.7.3": 3, "4.6.2": 40})
    await site.pack({"4.7.3": site.keep(models["careless"]), "4.6.2": site.keep(models["today"])})
    id_ = await site.candidate(models["better"])
    found = await site.act("models.attach", candidate=id_)
    assert found["baseline"]["version"] == "4.6.2" and found["baseline"]["robots"] == 40


async def test_a_pack_that_holds_what_was_trained_on_is_not_used_in_silence(site: Site, models: Models) -> None:
    session = site.keep(json.dumps({"task": "tote-stack", "observation": [0.1, 0, 0, 0, 0], "action": [0, 0]}).encode())
    clean = site.keep(json.dumps({"task": "tote-stack", "observation": [0.2, 0, 0, 0, 0], "action": [0, 0]}).encode())
    replay = [{"id": "S-1", "digest": session}, {"id": "S-2", "digest": clean}]
    await site.pack({"4.7.3": site.keep(models["today"])}, replay=replay)
    id_ = await site.candidate(models["better"], sessions=[session])
    with pytest.raises(ActionError) as refused:
        await site.act("models.attach", candidate=id_)
    assert refused.value.error == "PackContaminated" and refused.value.detail["shared"] == ["S-1"]
    assert (await site.get("candidate", id_)).state == "registered"
    await site.act("models.attach", candidate=id_, leave_out=True)
    assert (await site.act("models.replay", candidate=id_))["sessions"] == 1
    assert (await site.get("candidate", id_)).left_out == ("S-1",)


async def test_a_worse_candidate_can_not_be_approved_by_anybody(site: Site, models: Models) -> None:
    id_, found = await compared(site, models, "careless")
    assert found["verdict"] == "worse"
    with pytest.raises(RecordError, match="can't be approved"):
        await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana", "bo"])
    await site.act("models.reject", candidate=id_, reason=found["sentence"])
    assert (await site.get("candidate", id_)).why.startswith("Worse overall")


async def test_inconclusive_needs_two_people_and_more_trials_are_given_twice_at_most(
    site: Site, models: Models
) -> None:
    id_, found = await compared(site, models, "twin", n_max=10)
    assert found["verdict"] == "inconclusive" and found["rounds_left"] == 2
    with pytest.raises(RecordError, match="2 people"):
        await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana"])
    for _ in range(2):
        found = await site.act("models.evaluate", candidate=id_, more=5)
    assert (await site.get("candidate", id_)).rounds == 2 and found["verdict"] == "inconclusive"
    with pytest.raises(RecordError) as refused:
        await site.act("models.evaluate", candidate=id_, more=5)
    assert refused.value.error == "NotYet"
    with pytest.raises(Refusal, match="2 times already"):
        await site.do("ana", "candidate.more", id_)
    await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana", "bo"])
    assert (await site.get("candidate", id_)).decisions[0].people == ("ana", "bo")


async def test_a_trial_left_out_after_the_evidence_was_shown_makes_the_decision_stale(
    site: Site, models: Models
) -> None:
    id_, found = await compared(site, models)
    trial = next(one for one in await site.find("trial") if one.arm == "candidate")
    await site.do("ana", "candidate.exclude", trial.id, reason="the part was put down by hand")
    with pytest.raises(ActionError) as refused:
        await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana"])
    assert refused.value.error == "EvidenceStale"
    again = await site.act("models.compare", candidate=id_)
    assert again["evidence"] != found["evidence"] and again["excluded"] == {"operator": 1}
    left = await site.get("trial", trial.id)
    assert left.state == "excluded" and left.outcome == trial.outcome and left.excluded_by == "ana"
    with pytest.raises(RecordError):
        await site.context().records.change("trial", trial.id, set={"outcome": "changed"})
    await site.act("models.approve", candidate=id_, evidence=again["evidence"], gate="g", people=["ana"])


async def test_a_trial_that_changes_between_approval_and_build_stops_the_build(site: Site, models: Models) -> None:
    id_, found = await compared(site, models)
    await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana"])
    trial = next(one for one in await site.find("trial") if one.arm == "candidate")
    await site.do("ana", "candidate.exclude", trial.id, reason="the clock was wrong", sort="environment")
    with pytest.raises(ActionError) as refused:
        await site.act("models.build", candidate=id_)
    assert refused.value.error == "EvidenceStale" and not await site.find("artifact")
    again = await site.act("models.compare", candidate=id_)
    assert (await site.get("candidate", id_)).state == "compared", "the approval was for other evidence"
    await site.act("models.approve", candidate=id_, evidence=again["evidence"], gate="g", people=["ana"])
    await site.act("models.build", candidate=id_)
    with pytest.raises(Refusal, match="no longer changes"):
        other = next(one for one in await site.find("trial") if one.state == "recorded")
        await site.do("ana", "candidate.exclude", other.id, reason="late")


async def test_what_a_snapshot_was_made_of_counts_as_trained_on(site: Site, models: Models) -> None:
    session = site.keep(json.dumps({"task": "tote-stack", "observation": [0.1, 0, 0, 0, 0], "action": [0, 0]}).encode())
    rows = [
        {"session": "S-7", "digest": session, "split": "train"},
        {"session": "S-8", "digest": "sha256:x", "split": "test"},
    ]
    episodes = site.keep("\n".join(json.dumps(row) for row in rows).encode())
    await site.context().records.create(
        "snapshot", {"dataset": "bins", "episodes_digest": episodes}, key="s", id="bins-v1"
    )
    case = {"task": "tote-stack", "seed": 9}
    await site.pack(
        {"4.7.3": site.keep(models["today"])}, replay=[{"id": "R", "digest": session}],
        regressions=[{"id": "from-7", "origin": "S-7", **case}, {"id": "from-8", "origin": "S-8", **case}],
    )  # fmt: skip
    id_ = await site.candidate(models["better"], snapshot="bins-v1")
    with pytest.raises(ActionError) as refused:
        await site.act("models.attach", candidate=id_)
    assert refused.value.detail["shared"] == ["R", "from-7"]


async def test_evidence_that_is_too_old_carries_no_approval(site: Site, models: Models) -> None:
    id_, found = await compared(site, models)
    site.now = (await site.get("candidate", id_)).created_at + 15 * 86_400
    with pytest.raises(ActionError) as refused:
        await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana"])
    assert refused.value.error == "EvidenceOld"


async def test_a_safety_relevant_line_needs_two(site: Site, models: Models) -> None:
    id_, found = await compared(site, models, safety_relevant=True)
    with pytest.raises(RecordError, match="2 people"):
        await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana"])


async def test_too_slow_an_answer_ends_it_before_a_trial_is_made(site: Site, models: Models) -> None:
    step = json.dumps({"task": "tote-stack", "observation": [0.1, 0, 0, 0, 0], "action": [0, 0]})
    session = site.keep((f"{step}\n" * 50).encode())
    await site.pack(
        {"4.7.3": site.keep(models["today"])}, replay=[{"id": "S", "digest": session}], control_period_ms=0.0001
    )
    id_ = await site.candidate(models["better"])
    await site.act("models.attach", candidate=id_)
    with pytest.raises(ActionError) as refused:
        await site.act("models.replay", candidate=id_)
    assert refused.value.error == "TooSlow" and not await site.find("trial")
    check = {one.name: one for one in (await site.get("candidate", id_)).checks}
    assert check["latency"].ok is False


async def test_a_conversion_that_changes_what_it_does_is_caught_on_what_was_built(site: Site, models: Models) -> None:
    """The artifact is tried, not the model it was made from."""
    original = site.ports["evaluation"].lines

    async def careless(argv: Any, job: dict[str, Any], **more: Any) -> Any:
        """A converter that writes another model than it was given."""
        if job["kind" if "kind" in job else "robot"] != "convert":
            async for said in original(argv, job, **more):
                yield said
            return
        data = encode(decode(models["careless"]), job["precision"])
        Path(job["out"]).write_bytes(data)
        yield {"event": "converted", "digest": digest_of(data)}

    site.ports["evaluation"].lines = careless
    site.policy["build"] = {**site.policy["build"], "precision": "f32"}
    id_, artifact = await built(site, models)
    with pytest.raises(ActionError, match="end otherwise than with the model that was evaluated"):
        await site.act("models.smoke", artifact=artifact)
    assert (await site.get("artifact", artifact)).rollback_drilled is False
    with pytest.raises(RecordError):
        await site.act("models.eligible", artifact=artifact)
    await site.act("models.reject", candidate=id_, reason="smoke")
    assert (await site.get("candidate", id_)).state == "rejected"


async def test_a_faithful_conversion_passes_and_says_which_model_it_is(site: Site, models: Models) -> None:
    site.policy["build"] = {**site.policy["build"], "precision": "f32"}
    _, artifact = await built(site, models)
    assert (await site.act("models.smoke", artifact=artifact))["differ"] == 0
    made = await site.get("artifact", artifact)
    manifest = msgspec.json.decode(site.context().vault.read(made.manifest))
    assert manifest["model"]["precision"] == "f32"
    assert manifest["model"]["digest"] != manifest["model"]["evaluated_digest"]


async def test_without_a_lab_robot_of_every_variant_nothing_is_eligible(site: Site, models: Models) -> None:
    _, artifact = await built(site, models)
    robots = [one for one in site.policy["lab"]["robots"] if one["variant"] != "rev-C"]
    site.policy["lab"] = {**site.policy["lab"], "robots": robots}
    with pytest.raises(ActionError, match="no lab robot of rev-C"):
        await site.act("models.smoke", artifact=artifact)


async def test_a_robot_installs_nothing_whose_signature_is_not_by_the_key_it_trusts(site: Site, models: Models) -> None:
    _, artifact = await built(site, models)
    made = await site.get("artifact", artifact)
    site.keyring.held.clear()
    signer = signing.KeyringSigner(site.keyring)
    other = signer.sign(signing.statement({"x": made.digest}, "t", {}), key="artifact-signing", create=True)
    forged = site.keep(msgspec.json.encode(other.envelope))
    bench: Any = site.ports["evaluation"]
    envelope = msgspec.json.decode(site.context().vault.read(forged))
    job = {
        "bench": str(site.folder / "lab"), "robot": "LAB-A-1", "variant": "rev-A", "public_key": made.public_key,
        "steps": [
            {"do": "provision", "version": "4.7.3"},
            {"do": "install", "artifact": str(site.context().vault.path(made.digest)), "digest": made.digest, "signature": envelope},
        ],
    }  # fmt: skip
    said = []
    with pytest.raises(ActionError):
        async for one in bench.lines(_argv(site), job, wanted=lambda: True, limit_s=30):
            said.append(one)
    assert said[-1]["ok"] is False and "not by the key" in said[-1]["says"]
    found = signing.verified(envelope, made.public_key, made.digest)
    assert found and not signing.verified(other.envelope, other.public_key, made.digest)


def _argv(site: Site) -> list[str]:
    from engine.capabilities.models.runner import filled

    return filled(site.policy["lab"]["argv"])


async def test_revoked_is_final_and_told(site: Site, models: Models) -> None:
    id_, artifact = await built(site, models)
    await site.act("models.smoke", artifact=artifact)
    await site.act("models.eligible", artifact=artifact)
    await site.do("ana", "artifact.revoke", artifact, reason="drops parts")
    assert (await site.get("artifact", artifact)).revoked_by == "ana" and (
        await site.get("candidate", id_)
    ).state == "revoked"
    assert (await site.act("models.expire", artifact=artifact))["state"] == "revoked"
    with pytest.raises(Refusal, match="already"):
        await site.do("ana", "artifact.revoke", artifact, reason="again")


async def test_it_expires_with_its_candidate(site: Site, models: Models) -> None:
    id_, artifact = await built(site, models)
    await site.act("models.smoke", artifact=artifact)
    await site.act("models.eligible", artifact=artifact)
    assert (await site.act("models.expire", artifact=artifact, reason="its time is over"))["state"] == "expired"
    assert (await site.get("candidate", id_)).state == "expired"


async def test_hardware_trials_are_blind_and_entered_once(site: Site, models: Models) -> None:
    site.policy["hardware"] = {**site.policy["hardware"], "n_max": 4}
    await site.pack({"4.7.3": site.keep(models["today"])}, hardware=True)
    id_ = await site.candidate(models["better"])
    await site.act("models.attach", candidate=id_)
    out = await site.act("models.evaluate", candidate=id_)
    assert out["hardware"] is True
    sheet = await site.act("models.order_sheet", candidate=id_)
    shown = msgspec.json.decode(site.context().vault.read(sheet["sheet"]))
    assert sheet["trials"] == 32 == len(shown) and not any("arm" in row for row in shown)
    assert {row["code"] for row in shown} == {"red", "blue"}
    with pytest.raises(Refusal, match="no trial of the sheet"):
        await site.do("tom", "candidate.hardware_done", id_)
    for row in shown[:8]:
        await site.do("tom", "candidate.enter", id_, number=row["number"], outcome="success", duration_s=4.0)
    with pytest.raises(Refusal, match="entered already"):
        await site.do("tom", "candidate.enter", id_, number=1, outcome="failure")
    with pytest.raises(Refusal, match="the sheet has 32"):
        await site.do("tom", "candidate.enter", id_, number=33, outcome="success")
    await site.do("tom", "candidate.hardware_done", id_)
    again = await site.act("models.compare", candidate=id_)
    assert again["verdict"] == "inconclusive" and (await site.get("candidate", id_)).hardware_trials == 8
    arms = [one.arm for one in await site.find("trial", where={"purpose": "hardware"})]
    assert set(arms) == {"candidate", "baseline"} and all(secret.startswith("blind-") for secret in site.keyring.held)


async def test_a_locked_pack_no_longer_changes_and_a_case_makes_the_next_version(site: Site, models: Models) -> None:
    first = await site.pack({"4.7.3": site.keep(models["today"])})
    assert first == "bins-1" and await site.pack({"4.7.3": site.keep(models["today"])}) == first
    await site.do("lea", "pack.lock", first)
    with pytest.raises(RecordError, match="no longer changes"):
        await site.context().records.change("pack", first, set={"simulator": "other"})
    made = await site.act("models.add_case", line="pick", task="tote-stack", seed=77, origin="I-44")
    assert made["pack"] == "bins-2" and (await site.get("pack", "bins-2")).regressions[0].origin == "I-44"
    assert (await site.act("models.add_case", line="pick", task="tote-stack", seed=77, origin="I-44"))["version"] == 2
    with pytest.raises(ActionError, match="has no task"):
        await site.act("models.add_case", line="pick", task="dance", seed=1, origin="I-44")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": []}, "1 to 64 tasks"),
        ({"tasks": [{"task": "a", "seeds": 10, "predicate": "policy reports success"}]}, "the bench judges"),
        ({"tasks": [{"task": "a", "seeds": 10}]}, "no predicate"),
        ({"tasks": [{"task": "a", "seeds": 10, "predicate": "x"}] * 2}, "there twice"),
        ({"tasks": [{"task": "a", "seeds": 0, "predicate": "x"}]}, "seeds is 1"),
        ({"surprise": 1}, "surprise"),
        ({"line": 3}, "line"),
    ],
)  # fmt: skip
async def test_a_pack_that_would_prove_nothing_is_refused(site: Site, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ActionError, match=says) as refused:
        await site.do("lea", "pack.add", document=pack_document({}) | change)
    assert refused.value.error == "BadPack"


async def test_a_pack_with_fewer_seeds_than_its_plan_is_not_locked(site: Site) -> None:
    tasks = [{"task": NAMES[0], "seeds": 10, "predicate": "x"}]
    made = await site.do("lea", "pack.add", document=pack_document({}) | {"tasks": tasks})
    with pytest.raises(ActionError, match="can't be used twice"):
        await site.do("lea", "pack.lock", made["id"])


async def test_a_champion_is_asked_again_on_a_new_pack_and_its_verdict_stays(site: Site, models: Models) -> None:
    id_, artifact = await built(site, models)
    await site.act("models.smoke", artifact=artifact)
    await site.act("models.eligible", artifact=artifact)
    before = await site.get("candidate", id_)
    second = await site.pack(
        {"4.7.3": site.keep(models["today"])}, tasks=pack_document({}, tasks=NAMES[2:])["tasks"], plan={"n_max": 200}
    )
    found = await site.act("models.recheck", candidate=id_, pack=second)
    assert found["holds"] and found["verdict"] in ("better", "non_inferior")
    assert (await site.get("candidate", id_)).evidence == before.evidence
    made = await site.get("comparison", found["comparison"])
    assert made.purpose == "recheck" and made.pack == second


def _look(site: Site) -> Any:
    class Look:
        vault = site.context().vault

        def get(self, kind: str, id: str) -> Any:
            return site.host.book.reads.get(kind, id)

    return Look()
