"""Causes, clusters, labels, sides, inclusion and effect, through the real book: who may what, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import to_builtins

from engine.capabilities.desk import Refusal
from engine.capabilities.records import RecordError
from tests.unit.corrections.ground import SITE, START, TASK, VERSION, Ground


async def captured(ground: Ground, suggested: str = "policy", **more: object) -> str:
    records = ground.context().records
    fields = {
        "robot": "R-1", "site": SITE, "task": TASK, "t0": START, "suggested": {"cause": suggested, "rule": "r", "why": "w"},
        "window": {"digest": "sha256:" + "a" * 64}, "title": "x",
    }  # fmt: skip
    made = await records.create("correction", {**fields, **more}, key=f"cap{ground.asked}")
    await records.change("correction", made.id, to="captured")
    return str(made.id)


# -- triage ----------------------------------------------------------------------------------------------------------


async def test_another_cause_than_suggested_wants_its_reason(ground: Ground) -> None:
    id_ = await captured(ground, "network")
    with pytest.raises(Refusal) as refusal:
        await ground.do("ann", "correction.triage", id_, cause="policy")
    assert refusal.value.code == "ReasonNeeded" and "network" in str(refusal.value)
    await ground.do("ann", "correction.triage", id_, cause="policy", reason="the link was slow before, too")
    assert ground.case(id_).cause_by == "ann" and ("run-1", "correction.triaged") in ground.signals


async def test_the_run_is_woken_by_the_last_one_only(ground: Ground) -> None:
    one, two = await captured(ground), await captured(ground)
    assert (await ground.do("ann", "correction.triage", one, cause="policy"))["left"] == 1
    assert ground.signals == []
    await ground.do("ann", "correction.triage", two, cause="policy")
    assert ground.signals == [("run-1", "correction.triaged")]


async def test_a_run_that_is_elsewhere_does_not_undo_what_was_said(ground: Ground) -> None:
    ground.deaf = True
    id_ = await captured(ground)
    await ground.do("ann", "correction.triage", id_, cause="policy")
    assert ground.case(id_).state == "triaged"


async def test_only_policy_is_learnt_from(ground: Ground) -> None:
    ids = {cause: await captured(ground, cause) for cause in ("policy", "hardware", "network", "environment")}
    for cause, id_ in ids.items():
        await ground.do("ann", "correction.triage", id_, cause=cause)
    found = await ground.act("correction.sort", cases=list(ids.values()))
    assert found["policy"] == [ids["policy"]] and found["left"] == 0
    assert ground.case(ids["hardware"]).state == "handed_over"
    assert ground.case(ids["network"]).state == "closed" and "network" in ground.case(ids["network"]).reason
    handed = [data for event, data in ground.told() if event == "qd.correction.handedover"]
    assert len(handed) == 1 and handed[0]["robot"] == "R-1" and handed[0]["symptom"]


async def test_not_triaged_in_time_is_closed_by_decision(ground: Ground) -> None:
    id_ = await captured(ground)
    await ground.act("correction.close", cases=[id_], reason="not triaged in time")
    assert ground.case(id_).state == "closed" and ground.case(id_).reason


# -- clusters --------------------------------------------------------------------------------------------------------


async def test_two_runs_at_once_make_one_cluster(ground: Ground) -> None:
    one, two = await ground.triaged(), await ground.triaged(run="run-2")
    made = await asyncio.gather(
        ground.act("correction.cluster", "run-1", cases=[one]), ground.act("correction.cluster", "run-2", cases=[two])
    )
    assert len(ground.find("cluster")) == 1
    assert [bool(each["own"]) for each in made] == [True, False] and made[1]["joined"][0]["run"] == "run-1"


async def test_a_late_one_joins_while_others_are_annotated(ground: Ground) -> None:
    cluster, _ = await ground.clustered(2)
    late = await ground.triaged()
    await ground.act("correction.cluster", "run-2", cases=[late])
    assert ground.case(late).state == "annotating" and ground.case(late).cluster == cluster
    assert late in ground.cluster(cluster).members


async def test_clustering_again_changes_nothing(ground: Ground) -> None:
    case = await ground.triaged()
    first = await ground.act("correction.cluster", cases=[case])
    assert await ground.act("correction.cluster", cases=[case]) == first
    assert len(ground.find("cluster")) == 1


async def test_merging_takes_a_phrase_and_moves_everything(ground: Ground) -> None:
    one, cases = await ground.clustered(2)
    two, more = await ground.clustered(1, features=[-0.5, 0.9, -0.3, 0.5, 0.1, 0.4, 0.1, 0.1, 0.9, 0.0])
    assert one != two
    from engine.capabilities import subjects

    verb = subjects.verbs()["cluster.merge"]
    assert verb.risk and verb.foresee is not None
    await ground.do("lea", "cluster.merge", two, into=one, reason="the same lip")
    assert ground.cluster(two).state == "merged" and ground.cluster(two).merged_into == one
    assert set(ground.cluster(one).members) == {*cases, *more} and ground.case(more[0]).cluster == one
    assert ("run-1", "correction.dropped") in ground.signals
    with pytest.raises(Refusal):
        await ground.do("lea", "cluster.merge", one, into=two)


async def test_gathering_is_ended_by_hand_or_by_time(ground: Ground) -> None:
    cluster, _ = await ground.clustered(1)
    await ground.do("lea", "cluster.gathered", cluster)
    assert ground.signals == [("run-1", "correction.gathered")]
    await ground.annotated(cluster)
    await ground.act("correction.settle", cluster=cluster)
    await ground.act("correction.card", cluster=cluster)
    with pytest.raises(Refusal):
        await ground.do("lea", "cluster.gathered", cluster)


async def test_a_cluster_of_another_task_is_not_the_same(ground: Ground) -> None:
    one, _ = await ground.clustered(1)
    two, _ = await ground.clustered(1, task="bin-pick day")
    with pytest.raises(Refusal) as refusal:
        await ground.do("lea", "cluster.merge", two, into=one)
    assert refusal.value.code == "NotAlike"


async def test_the_place_in_the_queue_is_counted_anew_each_day(ground: Ground) -> None:
    cluster, _ = await ground.clustered(3)
    first = ground.cluster(cluster)
    assert first.score > 0 and first.factors.quality == 1.0, "before the labels their quality counts as full"
    await ground.act("correction.progress", cluster=cluster, stage="annotate")
    assert ground.cluster(cluster).rev == first.rev
    ground.clock.advance(30 * 86_400)
    await ground.act("correction.progress", cluster=cluster, stage="annotate")
    assert ground.cluster(cluster).score == pytest.approx(first.score / 2, rel=0.02), "half after a half life"


# -- labels ----------------------------------------------------------------------------------------------------------


async def test_impossible_phases_are_refused_with_the_reason(ground: Ground) -> None:
    _, (case, *_) = await ground.clustered(1)
    for spans in ([{"t0": 0, "t1": 5, "phase": "flying"}], [{"t0": -500, "t1": 5, "phase": "recovery"}]):
        with pytest.raises(Refusal) as refusal:
            await ground.do("ann", "correction.annotate", case, spans=spans, quality=4)
        assert refusal.value.code == "BadPhases" and refusal.value.field == "spans"
    assert ground.case(case).annotations == ()


async def test_two_people_are_two(ground: Ground) -> None:
    cluster, cases = await ground.clustered(3)
    double = next(id_ for id_ in cases if ground.case(id_).double)
    await ground.do("ann", "correction.annotate", double, quality=4)
    await ground.do("ann", "correction.annotate", double, quality=5)
    assert ground.case(double).state == "annotating" and len(ground.case(double).annotations) == 1, (
        "once more is no second person"
    )
    await ground.do("max", "correction.annotate", double, quality=5)
    assert ground.case(double).state == "adjudicating"
    with pytest.raises(Refusal):
        await ground.do("lea", "correction.annotate", double, quality=5)
    with pytest.raises(RecordError):
        await ground.context().records.change("correction", next(i for i in cases if i != double), to="adjudicating")
    assert cluster


async def test_where_the_clocks_differ_two_people_set_the_edges(ground: Ground) -> None:
    """The station's flag and the robot's own mode are two seconds apart: nobody's single word places that edge."""
    cases = [await ground.triaged() for _ in range(12)]
    for id_ in cases[:2]:
        await ground.context().records.change("correction", id_, set={"flags": ["clocks differ by +2.0 s"]})
    made = await ground.act("correction.cluster", "run-1", cases=cases)
    await ground.act("correction.prepare", "run-1", cluster=made["own"][0])
    double = {id_ for id_ in cases if ground.case(id_).double}
    assert set(cases[:2]) <= double and len(double) < len(cases)
    await ground.do("ann", "correction.annotate", cases[0], quality=4)
    assert ground.case(cases[0]).state == "annotating" and "clocks differ" in ground.case(cases[0]).flags[0]
    await ground.do("max", "correction.annotate", cases[0], quality=4)
    assert ground.case(cases[0]).state == "adjudicating"


async def test_where_people_differ_a_third_settles(ground: Ground) -> None:
    cluster, (case,) = await ground.clustered(1)
    auto = ground.case(case).auto
    spans = [to_builtins(span) for span in auto]
    moved = [dict(span) for span in spans]
    moved[3]["t1"] = moved[4]["t0"] = 9.5
    await ground.do("ann", "correction.annotate", case, spans=spans, quality=4)
    await ground.do("max", "correction.annotate", case, spans=moved, quality=4)
    found = await ground.act("correction.settle", cluster=cluster)
    assert found["left"] == 1 and ground.case(case).agreement.edge_worst_s == pytest.approx(4.0)
    for person in ("ann", "max"):
        with pytest.raises(Refusal) as refusal:
            await ground.do(person, "correction.adjudicate", case, spans=spans, quality=4)
        assert refusal.value.code == "OwnWork"
    await ground.do("lea", "correction.adjudicate", case, spans=spans, quality=2)
    settled = ground.case(case)
    assert settled.state == "in_review" and settled.adjudicated_by == "lea" and settled.use == "detection"
    card = await ground.act("correction.card", cluster=cluster)
    assert card["annotators"] == ["ann", "lea", "max"], "none of them may accept the labels"
    assert card["card"]["not_for_imitation"] == 1 and ground.context().vault.verify(card["digest"])


async def test_who_leaves_known_edges_as_shown_is_named(ground: Ground) -> None:
    ground.packs["correction"] |= {"known_share": 1.0, "double_share": 0.0, "copied_alarm": 2.0}
    cluster, cases = await ground.clustered(3)
    for id_ in cases:
        case = ground.case(id_)
        assert case.known_answer and case.shown != case.auto
        true = [to_builtins(span) for span in case.auto]
        for person in ("ann",) if not case.double else ("ann", "max"):
            spans = [] if person == "ann" else true
            await ground.do(person, "correction.annotate", id_, spans=spans, quality=4)
    assert all(
        one.missed and one.copied for id_ in cases for one in ground.case(id_).annotations if one.author == "ann"
    )
    await ground.act("correction.settle", cluster=cluster)
    from engine.capabilities.corrections.labelling import copiers, members

    rows = await members(ground.context().records, cluster)
    assert copiers(rows, 2) == ("ann",)


async def test_labels_count_only_after_the_gate(ground: Ground) -> None:
    cluster, (case,) = await ground.clustered(1)
    await ground.annotated(cluster)
    await ground.act("correction.settle", cluster=cluster)
    with pytest.raises(RecordError) as error:
        await ground.context().records.change("correction", case, to="prioritised")
    assert error.value.error == "NotYet" and "accepted" in str(error.value)


async def test_a_rejected_review_asks_again_with_clean_hands(ground: Ground) -> None:
    cluster, cases = await ground.clustered(2)
    await ground.annotated(cluster)
    await ground.act("correction.settle", cluster=cluster)
    await ground.act("correction.card", cluster=cluster)
    assert (await ground.act("correction.reopen", cluster=cluster, reason="edges too early"))["again"] == 2
    assert all(ground.case(id_).state == "annotating" and not ground.case(id_).annotations for id_ in cases)
    assert ground.cluster(cluster).state == "annotating"


async def test_hardware_after_all_leaves_its_cluster(ground: Ground) -> None:
    cluster, cases = await ground.clustered(2)
    await ground.do("ann", "correction.maintenance", cases[0], reason="the vacuum was low")
    assert ground.case(cases[0]).state == "handed_over" and ground.case(cases[0]).cause == "hardware"
    from engine.capabilities.corrections.labelling import members

    assert [one.id for one in await members(ground.context().records, cluster)] == [cases[1]]


# -- sides -----------------------------------------------------------------------------------------------------------


async def test_no_group_and_no_session_is_on_both_sides(ground: Ground) -> None:
    _, cases = await ground.routed(6)
    routed = [ground.case(id_) for id_ in cases]
    assert {one.route for one in routed} == {"train", "eval"} and all(one.state == "routed" for one in routed)
    accepted = [data for event, data in ground.told() if event == "qd.correction.accepted"]
    assert len(accepted) == 6 and {one["route"] for one in accepted} == {"train", "eval"}
    again = await ground.triaged(group=next(one.group for one in routed if one.route == "eval"), robot=next(one.robot for one in routed if one.route == "eval"))  # fmt: skip
    made = await ground.act("correction.cluster", "run-2", cases=[again])
    await ground.act("correction.prepare", "run-2", cluster=made["own"][0])
    await ground.annotated(made["own"][0])
    await ground.act("correction.settle", cluster=made["own"][0])
    await ground.act("correction.card", cluster=made["own"][0])
    await ground.do("ann", "correction.train", again)
    await ground.act("correction.prioritise", cluster=made["own"][0], gate="g", by=["lea"])
    await ground.act("correction.route", cluster=made["own"][0], gate="g")
    assert ground.case(again).route == "eval" and "eval side already" in ground.case(again).route_why, (
        "its group was evaluated on"
    )


async def test_a_session_that_was_learnt_from_judges_nothing(ground: Ground) -> None:
    records = ground.context().records
    await records.create(
        "snapshot", {"title": "v1", "sessions": ["S-1"], "root_digest": "sha256:" + "1" * 64}, key="v1", id="v1"
    )
    await records.change("snapshot", "v1", to="review")
    await records.change("snapshot", "v1", to="finalized", facts={"gate": "g", "root_digest": "sha256:" + "1" * 64})
    from engine.capabilities.corrections.routing import _learnt_already

    assert await _learnt_already(records, "S-1") == "train" and await _learnt_already(records, "S-2") == ""


@pytest.mark.parametrize(("how", "state", "event"), [("discard", "discarded", "qd.correction.rejected"), ("safety case", "safety_case", "qd.correction.safety")])  # fmt: skip
async def test_the_review_may_send_all_elsewhere(ground: Ground, how: str, state: str, event: str) -> None:
    cluster, cases = await ground.clustered(2)
    await ground.annotated(cluster)
    await ground.act("correction.settle", cluster=cluster)
    await ground.act("correction.card", cluster=cluster)
    await ground.act("correction.prioritise", cluster=cluster, gate="g", by=["lea"])
    found = await ground.act("correction.route", cluster=cluster, gate="g", route=how, reason="not for us")
    assert found["followed"] == 0 and ground.cluster(cluster).state == "dropped"
    assert all(ground.case(id_).state == state for id_ in cases)
    assert sum(one == event for one, _ in ground.told()) == 2


async def test_the_evaluation_side_becomes_one_new_pack_version(ground: Ground) -> None:
    task = {"task": TASK, "predicate": "the bench says so", "rubric": "", "first_seed": 0, "seeds": 10}
    document = {
        "name": "bins",
        "line": "pick",
        "runner": "bench",
        "simulator": "s",
        "hardware_class": "h",
        "tasks": [task],
    }
    await ground.do("lea", "pack.add", document=document)
    cluster, cases = await ground.routed(6)
    found = await ground.act("correction.to_pack", cluster=cluster)
    evals = [id_ for id_ in cases if ground.case(id_).route == "eval"]
    pack: Any = ground.host.book.reads.get("pack", found["pack"])
    assert found["cases"] == len(evals) and {one.origin for one in pack.regressions} == set(evals) and pack.version == 2
    assert (await ground.act("correction.to_pack", cluster=cluster))["pack"] == "bins-2", (
        "asking again makes no third version"
    )
    await ground.act("correction.inclusion", cluster=cluster)
    assert all(ground.case(id_).pack == "bins-2" for id_ in evals)


async def test_without_a_pack_they_wait_and_that_is_said(ground: Ground) -> None:
    cluster, _ = await ground.routed(6)
    found = await ground.act("correction.to_pack", cluster=cluster)
    assert found["cases"] == 0 and "no evaluation pack" in found["says"]


# -- inclusion and effect --------------------------------------------------------------------------------------------


async def test_what_nobody_used_in_time_is_stale_and_asked_about(ground: Ground) -> None:
    cluster, cases = await ground.routed(4)
    assert not (await ground.act("correction.inclusion", cluster=cluster))["stale"]
    ground.clock.advance(46 * 86_400)
    assert (await ground.act("correction.inclusion", cluster=cluster))["stale"]
    stale = [id_ for id_ in cases if ground.case(id_).state == "stale"]
    assert stale
    await ground.act("correction.keep", cluster=cluster, reason="the campaign is late")
    assert (
        all(ground.case(id_).state == "routed" for id_ in stale)
        and ground.cluster(cluster).stale_at > START + 46 * 86_400
    )
    await ground.act("correction.leave_out", cluster=cluster, reason="not wanted any more")
    assert all(ground.case(id_).state == "discarded" for id_ in cases) and ground.cluster(cluster).state == "closed"


async def test_a_release_that_did_not_learn_is_not_measured(ground: Ground) -> None:
    cluster = await ground.included()
    found = await ground.act("correction.lineage", cluster=cluster, release={"version": "9.9", "rollout": "run-3"})
    assert not found["relevant"] and "no artifact is known" in found["why"]
    assert ground.cluster(cluster).effect is None


async def test_a_release_that_learnt_is_found_by_its_lineage(ground: Ground) -> None:
    cluster = await ground.included()
    records = ground.context().records
    candidate = await records.create(
        "candidate", {"title": "c", "snapshot": "d-v1", "model_digest": "sha256:m"}, key="c"
    )
    await records.create(
        "artifact", {"title": "a", "version": "4.8.2", "digest": "sha256:a", "candidate": candidate.id}, key="a"
    )
    found = await ground.act("correction.lineage", cluster=cluster, release={"version": "4.8.2", "rollout": "run-3"})
    assert found["relevant"] and {"4.8.2", "sha256:a", "sha256:m"} <= set(found["names"])


async def effect(ground: Ground, cluster: str, *, before: int, after: int, again: int = 0) -> str:
    """Sessions before and after the release, `again` of those after with the same intervention."""
    records = ground.context().records
    for number in range(before + after):
        new = number >= before
        fields = {
            "title": "s", "robot": "R", "site": SITE, "task": TASK, "digest": f"sha256:{number}", "duration_s": 360_000.0 / 10,
            "start": START, "end": START + 36_000, "start_ns": int(START * 1e9), "bill": {"policy": "4.8.2" if new else VERSION},
        }  # fmt: skip
        made = await records.create("session", fields, key=f"s{number}")
        await records.change("session", made.id, to="ingested")
        if new and number - before < again:
            id_ = await ground.triaged(session=made.id, version="4.8.2")
            assert id_
    await ground.act("correction.lineage", cluster=cluster, release={"version": "4.8.2"}, asked=True)
    return str((await ground.act("correction.effect", cluster=cluster))["word"])


async def test_rarer_after_the_release_is_confirmed_for_all(ground: Ground) -> None:
    cluster = await ground.included()
    assert await effect(ground, cluster, before=2, after=4) == "CONFIRMED"
    found = await ground.act("correction.conclude", cluster=cluster, word="CONFIRMED")
    assert ground.cluster(cluster).state == "confirmed" and found["corrections"]
    assert all(ground.case(id_).state == "effect_confirmed" for id_ in found["corrections"])
    assert ground.case(found["corrections"][0]).effect.ratio == 0.0  # type: ignore[union-attr]


async def test_not_fixed_goes_round_again_with_its_count(ground: Ground) -> None:
    cluster = await ground.included()
    assert await effect(ground, cluster, before=2, after=3, again=9) == "NOT_FIXED"
    found = await ground.act("correction.conclude", cluster=cluster, word="NOT_FIXED")
    assert found["round"] == 1
    again = await ground.act("correction.round_again", cluster=cluster)
    assert again["corrections"] and ground.cluster(cluster).state == "annotating"
    case = ground.case(again["corrections"][0])
    assert case.state == "annotating" and case.count == 1 and case.annotations == () and case.snapshot == ""


async def test_a_task_that_stopped_running_confirms_nothing(ground: Ground) -> None:
    cluster = await ground.included()
    assert await effect(ground, cluster, before=2, after=0) == "PENDING"
    assert (await ground.act("correction.effect", cluster=cluster, over=True))["word"] == "INCONCLUSIVE"


async def test_an_effect_nobody_measured_is_not_written(ground: Ground) -> None:
    cluster = await ground.included()
    case = next(one for one in ground.find("correction") if one.state == "awaiting_effect")
    with pytest.raises(RecordError) as error:
        await ground.context().records.change("correction", case.id, to="effect_confirmed")
    assert error.value.error == "NotYet" and ground.cluster(cluster).state == "awaiting_effect"


async def test_what_was_included_no_longer_changes(ground: Ground) -> None:
    await ground.included()
    case = next(one for one in ground.find("correction") if one.state == "awaiting_effect")
    for field, value in (("final", []), ("route", "eval"), ("session", "S-9"), ("quality", 1)):
        with pytest.raises(RecordError) as error:
            await ground.context().records.change("correction", case.id, set={field: value})
        assert error.value.error == "IllegalMove", field
