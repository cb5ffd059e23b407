"""What an incident does by itself, and each way in which it could go wrong (domain section 7, failures)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.capabilities.access import leases
from engine.capabilities.incidents import closing, deciding, declaring, mending
from engine.capabilities.ports import ActionError, InDoubt, Robot
from engine.capabilities.records import RecordError
from engine.capabilities.rollout import actions as rollout
from engine.contract.incidents import Decision, OptionRow
from tests.unit.incidents.ground import BAD, FORWARD, OLD, START, Ground

HOUR = 3600.0


async def weighed(ground: Ground, **fields: Any) -> str:
    """An incident whose options are known."""
    id_ = await ground.declared(**fields)
    for step in (deciding.rank, deciding.scope, deciding.options):
        await step(ground.context(), {"incident": id_})
    return id_


async def decided(ground: Ground, option: str = "rollback", **fields: Any) -> str:
    id_ = await weighed(ground, **fields)
    await deciding.choose(ground.context(), {"incident": id_, "option": option, "by": "ivo"})
    await deciding.authorise(ground.context(), {"incident": id_, "gate": "decide", "by": ["ivo", "ana"]})
    return id_


def option(ground: Ground, id_: str, kind: str) -> OptionRow:
    return next(row for row in ground.incident(id_).options if row.kind == kind)


# -- the first minutes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "given", "sev"),
    [
        ("a robot touched a person", 3, 1),
        ("it is slow", 0, 2),  # six of twelve robots: a tenth of the fleet and more
        ("it is slow", 4, 4),  # somebody was sure
    ],
)
async def test_severity_is_the_higher_when_nobody_is_sure(ground: Ground, title: str, given: int, sev: int) -> None:
    made = await ground.context().records.create("incident", {"title": title, "version": BAD, "sev": given}, key="one")
    told = await declaring.triage(ground.context(), {"incident": made.id})
    assert (told["sev"], ground.incident(made.id).state) == (sev, "triaged")


async def test_a_fleet_that_cannot_be_read_is_no_reason_to_assume_little(ground: Ground) -> None:
    async def broken() -> list[Robot]:
        raise ActionError("Unreachable", "no answer", kind="communication")

    ground.owners.robots = broken  # type: ignore[method-assign]
    made = await ground.context().records.create("incident", {"title": "slow", "version": BAD}, key="one")
    assert (await declaring.triage(ground.context(), {"incident": made.id}))["sev"] == 2


async def test_containing_withdraws_what_has_not_begun_names_what_moves_and_takes_robots_out(ground: Ground) -> None:
    for name, state in (("HAM5-0", "assigned"), ("HAM5-1", "installing")):
        ground.owners.desired[name], ground.owners.state[name] = BAD, state
    id_ = await ground.declared(state="triaged")
    first = await declaring.contain(ground.context(), {"incident": id_})
    assert not first["contained"] and first["withdrawn"] == 1 and first["moving"] == ["HAM5-1"]
    assert ("withdraw", ("HAM5-0",), "") in ground.owners.calls
    second = await declaring.contain(ground.context(), {"incident": id_})
    assert second["contained"] and "can't be stopped" in second["sentence"]
    robots = {one.id: one for one in ground.find("robot")}
    assert all(not robots[f"HAM2-{i}"].dispatchable and id_ in robots[f"HAM2-{i}"].holds for i in range(6))
    assert "HAM5-2" not in robots, "who does not run it stays at work"


async def test_containing_that_gets_no_answer_is_not_called_contained(ground: Ground) -> None:
    async def doubtful(robots: object, *, key: str) -> list[str]:
        raise InDoubt("Unanswered", "sent and not answered")

    ground.owners.desired["HAM5-0"], ground.owners.state["HAM5-0"] = BAD, "assigned"
    ground.owners.withdraw = doubtful  # type: ignore[method-assign]
    id_ = await ground.declared(state="triaged")
    assert (await declaring.contain(ground.context(), {"incident": id_}))["told"] == ["HAM5-0"]


async def test_evidence_is_kept_by_digest_and_a_sev1_robot_stays_on_hold(ground: Ground) -> None:
    id_ = await ground.declared(sev=1, involved=["HAM2-0", "HAM2-1"])
    kept = await declaring.preserve(ground.context("p"), {"incident": id_})
    assert kept["preserved"] == kept["of"] == 2 and "process list" in kept["missing"]
    holds = ground.find("hold", incident=id_)
    assert {(hold.state, hold.purpose) for hold in holds} == {("active", "legal")}
    for name, digest in ground.incident(id_).bundles:
        bundle = msgspec.json.decode(ground.host.vault.read(digest))
        assert bundle["robot"] == name and bundle["runs"]["version"] == BAD and bundle["signals"]
        assert ground.get("evidence", digest).legal_hold == id_
    again = await declaring.preserve(ground.context("p"), {"incident": id_})
    assert again["preserved"] == 2 and len(ground.find("hold", incident=id_)) == 2, (
        "asked again it makes no second hold"
    )


async def test_a_hold_for_evidence_goes_when_it_is_kept(ground: Ground) -> None:
    id_ = await ground.declared(sev=3, involved=["HAM2-0"])
    await declaring.preserve(ground.context(), {"incident": id_})
    assert [hold.state for hold in ground.find("hold", incident=id_)] == ["released"]


# -- what it is, who has it, what could be done -----------------------------------------------------------------------


async def test_the_release_is_blamed_with_its_bounds_and_what_came_with_it(ground: Ground) -> None:
    id_ = await ground.declared()
    told = await deciding.rank(ground.context(), {"incident": id_})
    first = ground.incident(id_).suspects[0]
    assert told["blamed"] == first.change == BAD and first.low is not None and first.low > 1
    assert "site HAM2" in ground.incident(id_).also_changed, "it can't be told apart from the site"


async def test_no_cause_is_named_below_five_events(ground: Ground) -> None:
    ground.owners.rates = {OLD: 0.0, BAD: 0.01}
    id_ = await ground.declared()
    assert (await deciding.rank(ground.context(), {"incident": id_}))["blamed"] == ""
    assert any("no cause is named" in one.text or one.low is None for one in ground.incident(id_).suspects)


async def test_a_detector_that_is_blind_blames_nobody(ground: Ground) -> None:
    """The cause may be the telemetry itself."""
    ground.owners.silent = {f"HAM2-{i}" for i in range(6)}
    id_ = await ground.declared()
    told = await deciding.rank(ground.context(), {"incident": id_})
    assert told["blamed"] == "" and "telemetry" in told["blind"] and told["coverage"] < 0.9


async def test_the_wrong_cohort_shows_a_configuration_is_the_cause_and_not_the_artifact(ground: Ground) -> None:
    """Everybody runs the same release; those with a new map need people."""
    for name in ground.owners.fleet:
        ground.owners.runs(name, OLD)
        ground.owners.since[name] = [(START - 48 * HOUR, "new map" if name.startswith("HAM2") else OLD)]
    ground.owners.rates["new map"] = 0.5
    id_ = await ground.declared(version=OLD, changes=[{"name": "map HAM2/77", "kind": "map", "robots": [f"HAM2-{i}" for i in range(6)]}])  # fmt: skip
    assert (await deciding.rank(ground.context(), {"incident": id_}))["blamed"] == "map HAM2/77"


async def test_who_cannot_be_asked_stays_concerned_under_a_standing_rule(ground: Ground) -> None:
    ground.owners.set("HAM2-5", online=False, mode="OFFLINE")
    id_ = await weighed(ground)
    one = ground.incident(id_)
    assert len(one.affected) == 5 and [name for name, _ in one.unsure] == ["HAM2-5"]
    rule = ground.get("standing_rule", one.standing_rule)
    assert rule.waiting == ("HAM2-5",)
    asleep = await closing.rule_look(ground.context(), {"incident": id_})
    assert not asleep["over"] and asleep["waiting"] == 1
    ground.owners.set("HAM2-5", online=True, mode="AUTOMATIC")
    awake = await closing.rule_look(ground.context(), {"incident": id_})
    assert awake["over"] and awake["drained"] == ["HAM2-5"], "it woke with the bad version: out of dispatch first"
    assert ground.get("standing_rule", one.standing_rule).state == "satisfied"
    with pytest.raises(RecordError, match="final"):
        await ground.context().records.change("standing_rule", rule.id, to="active")


async def test_the_matrix_has_all_six_and_its_lists_are_disjoint(ground: Ground) -> None:
    for i in range(2):
        ground.owners.set(f"HAM2-{i}", rollback_floor=BAD)
    id_ = await weighed(ground, forward=FORWARD)
    rows = {row.kind: row for row in ground.incident(id_).options}
    assert list(rows) == ["rollback", "forward", "hotfix", "config", "restrict", "monitor"]
    back = rows["rollback"]
    assert (len(back.covered), back.of, back.seats, back.phrase) == (4, 6, 2, "rollback 4 HAM2")
    assert {name for name, _ in back.blocked} == {"HAM2-0", "HAM2-1"} and not set(back.covered) & {
        n for n, _ in back.blocked
    }
    assert len(rows["forward"].covered) == 6, "a higher number is refused by no bootloader"
    assert rows["forward"].seats == 3 and rows["hotfix"].note == "no fixed release is named"
    assert not rows["config"].feasible and "connected" in rows["config"].note
    # poll 60 s, then 660 s each; a quarter of six robots at the site is one at a time, 95 % of four are four rounds
    assert back.estimate_s == 60 + 660 * 4


@pytest.mark.parametrize("what", ["gone from the store", "bad itself"])
async def test_a_target_that_is_gone_or_bad_itself_makes_the_rollback_infeasible(ground: Ground, what: str) -> None:
    if what == "bad itself":
        await ground.declared(version=OLD)
    else:
        ground.owners.held = [release for release in ground.owners.held if release.version != OLD]
    id_ = await weighed(ground, previous=OLD)
    row = option(ground, id_, "rollback")
    assert not row.feasible and len(row.blocked) == 6
    assert ("incident" if what == "bad itself" else "no longer holds") in row.blocked[0][1]
    with pytest.raises(ActionError, match="not feasible"):
        await deciding.choose(ground.context(), {"incident": id_, "option": "rollback"})


async def test_a_robot_on_hold_is_in_no_bulk_action(ground: Ground) -> None:
    id_ = await ground.declared(sev=1, involved=["HAM2-0"])
    await declaring.preserve(ground.context(), {"incident": id_})
    for step in (deciding.rank, deciding.scope, deciding.options):
        await step(ground.context(), {"incident": id_})
    for kind in ("rollback", "restrict"):
        row = option(ground, id_, kind)
        assert "HAM2-0" not in row.covered and "hold" in dict(row.blocked)["HAM2-0"]
    assert not option(ground, id_, "monitor").feasible, "nobody only watches a SEV-1"


async def test_any_difference_to_what_was_decided_stops_it(ground: Ground) -> None:
    id_ = await weighed(ground)
    await deciding.choose(ground.context(), {"incident": id_, "option": "rollback"})
    await ground.do("bo", "hold.place", robot="HAM2-2", reason="its lidar is examined")
    with pytest.raises(ActionError, match="HAM2-2: legal hold") as stopped:
        await deciding.authorise(ground.context(), {"incident": id_, "gate": "decide", "by": ["ivo", "ana"]})
    assert stopped.value.error == "TargetsChanged" and ground.incident(id_).decision is None


# -- doing it ---------------------------------------------------------------------------------------------------------


async def test_only_what_was_decided_is_carried_out_without_another_signature(ground: Ground) -> None:
    id_ = await decided(ground)
    wave = await mending.wave(ground.context(), {"incident": id_})
    asked = {"incident": id_, "version": wave["version"], "only": wave["robots"]}
    assert (await rollout.authority(ground.context(), asked))["away_from"] == BAD
    for wrong in ({"only": [*wave["robots"], "HAM5-0"]}, {"version": FORWARD}, {"incident": "I-99"}):
        with pytest.raises(ActionError, match=r"incident|decided"):
            await rollout.authority(ground.context(), asked | wrong)
    undecided = await weighed(ground)
    with pytest.raises(ActionError, match="decided nothing"):
        await rollout.authority(ground.context(), asked | {"incident": undecided})


async def test_waves_begin_with_one_robot_and_never_send_anybody_back_to_the_bad_version(ground: Ground) -> None:
    id_ = await decided(ground)
    wave = await mending.wave(ground.context(), {"incident": id_})
    frozen = await rollout.freeze(
        ground.context(),
        {"version": OLD, "selector": "all", "only": wave["robots"], "plan": wave["plan"], "away_from": BAD},
    )
    assert [stage["size"] for stage in frozen["stages"]] == [1, 1, 4]
    stage = frozen["stages"][0]
    name = stage["robots"][0]
    await ground.owners.assign([name], OLD, key="x")
    undone = await rollout.revert(ground.context(), {"stage": stage})
    assert undone["restored"] == [] and "incident" in undone["blocked"][0][1]
    assert ground.owners.fleet[name].version == OLD


async def test_robots_are_verified_by_their_own_report_and_only_after_they_worked(ground: Ground) -> None:
    """A fix that was seen on stationary robots only was not seen."""
    id_ = await decided(ground)
    await mending.wave(ground.context(), {"incident": id_})
    await ground.owners.assign([f"HAM2-{i}" for i in range(6)], OLD, key="x")
    await mending.waved(ground.context(), {"incident": id_, "rollout": "run-2"})
    ground.owners.idle = {f"HAM2-{i}" for i in range(6)}
    ground.clock.advance(4 * HOUR)
    seen = await mending.verify(ground.context(), {"incident": id_})
    assert seen["done"] == 6 and not seen["verified"] and "too little" in seen["sentence"]
    ground.owners.idle = set()
    seen = await mending.verify(ground.context(), {"incident": id_})
    assert seen["verified"] and not seen["worse"]
    one = ground.incident(id_)
    assert set(one.before.values()) == {BAD} and set(one.after.values()) == {OLD}


async def test_a_robot_that_says_success_and_runs_the_old_binary_is_not_verified(ground: Ground) -> None:
    id_ = await decided(ground)
    await mending.wave(ground.context(), {"incident": id_})
    await ground.owners.assign([f"HAM2-{i}" for i in range(5)], OLD, key="x")
    ground.owners.state["HAM2-5"] = "done"
    await mending.waved(ground.context(), {"incident": id_})
    ground.clock.advance(4 * HOUR)
    seen = await mending.verify(ground.context(), {"incident": id_})
    assert not seen["verified"] and seen["left"] == [["HAM2-5", f"runs {BAD}"]]


async def test_a_fix_that_is_as_bad_is_found_while_it_is_watched(ground: Ground) -> None:
    ground.owners.rates[OLD] = 0.03
    id_ = await decided(ground, "forward", forward=FORWARD)
    await mending.wave(ground.context(), {"incident": id_})
    await ground.owners.assign([f"HAM2-{i}" for i in range(6)], FORWARD, key="x")
    await mending.waved(ground.context(), {"incident": id_})
    watched = await mending.watching(ground.context(), {"incident": id_})
    assert ground.incident(id_).state == "monitoring" and watched["needed_h"] >= 8
    ground.owners.rates[FORWARD] = 0.6
    ground.clock.advance(12 * HOUR)
    seen = await mending.monitor(ground.context(), {"incident": id_, "since": watched["since"]})
    assert seen["recurs"] and not seen["over"]
    await closing.recurs(ground.context(), {"incident": id_})
    assert (ground.incident(id_).state, ground.incident(id_).decision) == ("mitigating", None)


async def test_out_of_dispatch_reaches_those_that_are_offline_too(ground: Ground) -> None:
    ground.owners.set("HAM2-5", online=False, mode="OFFLINE")
    id_ = await decided(ground, "restrict")
    await mending.apply(ground.context(), {"incident": id_})
    assert not ground.get("robot", "HAM2-5").dispatchable


# -- what is owed -----------------------------------------------------------------------------------------------------


async def test_nothing_is_resolved_before_what_follows_is_written_down(ground: Ground) -> None:
    id_ = await decided(ground)
    records = ground.context().records
    await records.change("incident", id_, to="monitoring", set={"required": ["problem", "capture"]})
    with pytest.raises(RecordError, match="follow-ups are missing: problem, capture"):
        await closing.resolve(ground.context(), {"incident": id_})
    await closing.follow(ground.context(), {"incident": id_, "left": [["HAM2-0", "bootloader refuses"]]})
    assert {one.what for one in ground.find("followup", incident=id_)} == {"problem", "capture", "case"}
    await closing.resolve(ground.context(), {"incident": id_})
    with pytest.raises(RecordError, match="gate"):
        await records.change("incident", id_, to="reviewed")
    await closing.reviewed(ground.context(), {"incident": id_, "findings": "none", "gate": "review", "by": ["bo"]})
    with pytest.raises(ActionError, match="3 follow-ups are not filed"):
        await closing.close(ground.context(), {"incident": id_})
    for one in ground.find("followup", incident=id_):
        await ground.do("ivo", "followup.file", one.id, ref="register")
    assert (await closing.close(ground.context(), {"incident": id_}))["ending"] == "closed"


async def test_robots_change_only_by_a_decision(ground: Ground) -> None:
    id_ = await ground.declared(state="mitigating")
    records = ground.context().records
    with pytest.raises(RecordError, match="nothing was decided"):
        await records.change("incident", id_, to="monitoring")
    with pytest.raises(RecordError, match="neither a decision nor a break-glass"):
        await records.change("incident", id_, to="monitoring", set={"decision": Decision(option="monitor")})


async def test_a_false_alarm_gives_everything_back_and_keeps_what_it_saw(ground: Ground) -> None:
    id_ = await ground.declared(state="triaged", involved=["HAM2-0"])
    await declaring.contain(ground.context(), {"incident": id_})
    await declaring.preserve(ground.context(), {"incident": id_})
    await closing.false_alarm(ground.context(), {"incident": id_, "by": ["ivo"], "reason": "a test drive"})
    assert ground.incident(id_).state == "false_alarm" and ground.incident(id_).bundles
    assert all(robot.dispatchable for robot in ground.find("robot"))


async def test_a_robot_that_somebody_drives_is_left_out_until_the_hand_is_off(ground: Ground) -> None:
    """The lease as the teleoperation desk takes it: no matrix, no freeze of a wave and no bulk action goes past it."""
    records = ground.context().records
    lease = await leases.acquire(
        records, robot="HAM2-1", holder="olga", mode="direct", grant="GR-7", expires_at=START + HOUR, now=START,
        site_ack_by="sia",
    )  # fmt: skip
    id_ = await weighed(ground)
    row = option(ground, id_, "rollback")
    assert dict(row.blocked) == {"HAM2-1": f"under a control lease ({lease.id})"} and "HAM2-1" not in row.covered
    assert (len(row.covered), row.phrase, row.note) == (5, "rollback 5 HAM2", "1 under control")
    await records.change("lease", lease.id, to="relinquished", reason="given back")
    await leases.off_robot(ground.context().records, lease)
    await deciding.options(ground.context(), {"incident": id_})
    assert option(ground, id_, "rollback").blocked == ()
