"""The rules: pure, explainable, deny by default; every failure the field knows has its answer."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from engine.capabilities.access import filing, people, rules
from engine.capabilities.access.classify import Item, classify
from engine.capabilities.access.rules import RulesError
from engine.capabilities.packs import load_pack
from engine.contract.access import AccessRequest, Grant, Used
from tests.unit.access.site import START, pack

FACTS: dict[str, Any] = {
    "request": {
        "sort": "cross_border", "action": "view", "purpose": "look at the jam", "ticket": "M-1", "duration_s": 3600.0, "from_region": "eu",
        "to_region": "eu", "transform": "", "on_behalf_of": "", "has_key": False, "robots": 0.0, "sessions": 1.0, "files": 0.0,
        "waited_s": 0.0, "confirmed": True, "breakglass": False,
    },
    "actor": {
        "id": "tom", "known": True, "active": True, "shared": False, "kind": "staff", "employer": "QR", "internal": True, "location": "DE",
        "location_source": "device", "region": "eu", "mfa_age_s": 60.0, "managed": True, "until_s": -1.0, "age": 30.0,
        "licence_years": 8.0, "trained": True, "qualified_s": 1e6, "qualified_until": "2027-01-01", "on_shift": True, "network": "",
    },
    "data": {
        "classes": ["telemetry"], "personal": False, "video": False, "precise": False, "confidential": False, "export_controlled": False,
        "kept_in_region": [], "kept_text": "", "bytes": 1e6, "files": 1.0, "minutes": 10.0, "robots": 1.0, "faces": 0.0,
        "faces_text": "", "odd": 0.0, "odd_text": "", "missing": 0.0, "missing_text": "", "subject_regions": ["eu"], "live": False,
    },
    "transfer": {"crosses": False, "covered": False, "pairs": [], "text": ""},
    "contract": {
        "customers": ["Nordlicht"], "on_file": True, "missing": "", "text": "Nordlicht", "region_ok": True, "names_people": False,
        "named_ok": True, "action_ok": True, "notice_s": 0.0,
    },
    "history": {"grants_30d": 0.0, "over_scope_30d": 0.0, "denials_30d": 0.0, "bytes_12m": 0.0, "devices_12m": 0.0, "requests_12m": 0.0},
    "teleop": {
        "robot": "R-1", "known": True, "online": True, "mode": "AUTOMATIC", "recording": True, "deadman": True, "latency_p95_ms": 142.0,
        "latency_text": "142 ms", "stop_test_age_s": 60.0, "zone_clear": False, "site_ack": True, "site_ack_by": "sia",
        "lease_free": True, "held_by": "", "holder_free": True, "holds": "", "qualified": True,
    },
    "site": {"sites": ["HAM2"], "desk": "EU desk", "desk_qualified": 2.0, "countries": ["DE"]},
    "holds": {"on": [], "text": ""},
}  # fmt: skip
PERSONAL = {"data": {"classes": ["telemetry", "personal_video"], "personal": True, "video": True, "faces": -1.0}}
ABROAD = {
    "request": {"to_region": "us"},
    "transfer": {"crosses": True, "covered": True, "pairs": ["eu>us"], "text": "SCC on file"},
}
DIRECT = {"request": {"sort": "teleop", "action": "direct", "robots": 1.0}}


def facts(*changes: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(FACTS)
    for change in changes:
        for part, values in change.items():
            found[part] |= values
    return found


def answered(rule: str, *changes: dict[str, Any], policy: dict[str, Any] | None = None) -> tuple[str, str]:
    """The verdict and what one rule came to."""
    found = rules.evaluate(policy or pack(), facts(*changes))
    return found.verdict, next((one.result for one in found.trace if one.rule == rule), "skip")


def test_what_asks_nobody_and_touches_nothing_is_allowed_by_itself() -> None:
    found = rules.evaluate(pack(), facts())
    assert (found.verdict, found.seats, found.holds) == ("allow_auto", (), ())


DENIED = [
    ("IDN-1", {"actor": {"known": False}}, "deny"),
    ("IDN-1", {"actor": {"active": False}}, "deny"),
    ("IDN-2", {"actor": {"shared": True}}, "deny"),  # a shared account
    ("IDN-3", {"actor": {"managed": False}}, "deny"),
    ("IDN-4", {"actor": {"mfa_age_s": 901.0}}, "needs_info"),
    ("IDN-4", {"actor": {"mfa_age_s": people.NEVER}}, "needs_info"),  # not known is not a yes
    ("IDN-5", {"actor": {"location_source": "vpn"}}, "needs_info"),  # a VPN hides where
    ("IDN-6", {"request": {"purpose": ""}}, "needs_info"),
    ("IDN-6", {"request": {"ticket": ""}, "actor": {"internal": False}}, "needs_info"),
    ("IDN-7", {"request": {"confirmed": False}}, "needs_info"),  # in somebody's name
    ("CON-1", {"contract": {"on_file": False, "missing": "Delta"}, "actor": {"internal": False}}, "needs_info"),
    ("CON-2", {"contract": {"region_ok": False}}, "deny"),
    ("CON-3", {"contract": {"names_people": True, "named_ok": False}}, "deny"),
    ("CON-4", {"contract": {"action_ok": False}}, "deny"),
    ("RES-2", {"data": {"odd": 1.0}}, "needs_info"),  # a mis-tagged region
    ("RES-3", {"data": {"missing": 1.0}}, "needs_info"),
]


@pytest.mark.parametrize(("rule", "change", "verdict"), DENIED)
def test_the_rule_decides_and_is_named(rule: str, change: dict[str, Any], verdict: str) -> None:
    found = rules.evaluate(pack(), facts(change))
    assert found.verdict == verdict
    assert found.reasons[0].startswith(rule) and next(one for one in found.trace if one.rule == rule).fact


def test_looking_from_abroad_is_a_transfer() -> None:
    assert answered("TRF-02", PERSONAL, ABROAD) == ("needs_approval", "ok")
    found = rules.evaluate(pack(), facts(PERSONAL, ABROAD))
    assert set(found.seats) == {"data-owner", "privacy-officer"}
    uncovered = {"transfer": {"covered": False, "text": "no mechanism covers eu>us"}}
    assert answered("TRF-02", PERSONAL, ABROAD, uncovered) == ("deny", "deny")


def test_what_stays_in_its_region_stays_unless_it_is_derived() -> None:
    copy_out = {
        "request": {"sort": "export", "action": "copy"},
        "data": {"kept_in_region": ["personal_video"], "kept_text": "personal video"},
    }
    assert answered("RES-1", PERSONAL, ABROAD, copy_out) == ("deny", "deny")
    found = rules.evaluate(pack(), facts(PERSONAL, ABROAD, copy_out))
    assert {"derived", "desk"} <= {one.name for one in found.alternatives}
    assert answered("RES-1", PERSONAL, ABROAD, copy_out, {"request": {"transform": "derived"}})[1] == "ok"


def test_derived_data_of_people_is_still_personal() -> None:
    derived = {"request": {"transform": "blurred"}}
    found = rules.evaluate(pack(), facts(PERSONAL, ABROAD, derived))
    assert "privacy-officer" in found.seats and any(one.rule == "RES-5" for one in found.trace)


def test_a_request_split_in_many_is_added_up() -> None:
    taken = {"request": {"sort": "export", "action": "copy"}, "history": {"bytes_12m": 499.9995e9}}
    assert "privacy-officer" in rules.evaluate(pack(), facts(taken)).seats
    bulk = {
        "data": {"precise": True, "subject_regions": ["us"], "robots": 400.0},
        "history": {"devices_12m": 600.0},
        "request": {"to_region": "cn"},
    }
    policy = pack(concern_regions=["cn"])
    assert answered("TRF-04", bulk, policy=policy) == ("deny", "deny")
    assert answered("TRF-04", bulk, {"history": {"devices_12m": 599.0}}, policy=policy)[1] == "ok"


def test_over_scope_lately_brings_compliance_to_the_gate() -> None:
    assert "compliance" in rules.evaluate(pack(), facts({"history": {"over_scope_30d": 1.0}})).seats


HELD = [
    ("TEL-01", {"teleop": {"online": False}}),
    ("TEL-02", {"teleop": {"mode": "MANUAL"}}),
    ("TEL-02", {"teleop": {"mode": "TEACH_IN"}}),
    ("TEL-02", {"teleop": {"mode": "SERVICE"}}),
    ("TEL-03", {"teleop": {"recording": False}}),
    ("TEL-04", {"teleop": {"latency_p95_ms": 201.0}}),
    ("TEL-04", {"teleop": {"latency_p95_ms": people.NEVER}}),
    ("TEL-05", {"teleop": {"deadman": False}}),
    ("TEL-06", {"teleop": {"stop_test_age_s": people.NEVER}}),
    ("TEL-07", {"teleop": {"site_ack": False, "zone_clear": False}}),
    ("TEL-08", {"teleop": {"lease_free": False, "held_by": "ann"}}),
    ("TEL-09", {"teleop": {"holder_free": False, "holds": "R-9"}}),
    ("TEL-09", {"request": {"robots": 2.0}}),
]


@pytest.mark.parametrize(("rule", "change"), HELD)
def test_a_drive_waits_for_what_it_needs(rule: str, change: dict[str, Any]) -> None:
    found = rules.evaluate(pack(), facts(DIRECT, change))
    assert rule in found.holds and found.verdict == "needs_approval"
    assert "site-safety" in found.seats


def test_a_clear_zone_stands_in_for_somebody_on_site() -> None:
    assert answered("TEL-07", DIRECT, {"teleop": {"site_ack": False, "zone_clear": True}})[1] == "ok"


@pytest.mark.parametrize("missing", [{"age": 20.0}, {"licence_years": 2.0}, {"trained": False}, {"age": people.NEVER}])
def test_a_remote_driver_in_germany_is_what_the_law_wants(missing: dict[str, Any]) -> None:
    assert answered("TEL-11", DIRECT, {"actor": missing}) == ("deny", "deny")
    assert answered("TEL-11", DIRECT, {"actor": missing, "site": {"countries": ["NL"]}})[1] == "skip"


def test_a_hold_stops_hands_and_shells() -> None:
    held = {"holds": {"on": ["R-1: I-44"], "text": "R-1: I-44"}}
    assert answered("HLD-1", DIRECT, held) == ("deny", "deny")


def test_nothing_is_allowed_by_silence() -> None:
    found = rules.evaluate(pack(), facts({"request": {"sort": "unheard", "action": "of"}}))
    assert found.verdict == "deny" and found.trace[-1].rule == rules.NOTHING_PERMITS


def test_what_can_not_be_evaluated_denies() -> None:
    broken = facts()
    del broken["actor"]["mfa_age_s"]
    found = rules.evaluate(pack(), broken)
    assert found.verdict == "deny" and any(one.rule == "IDN-4" and one.result == "error" for one in found.trace)
    assert rules.evaluate(pack(), {}).verdict == "deny"


def test_the_trace_says_everything_in_the_order_of_the_stages() -> None:
    found = rules.evaluate(pack(), facts(DIRECT, PERSONAL, ABROAD))
    order = [rules.STAGES.index(one.stage) for one in found.trace]
    assert order == sorted(order)
    assert {one.rule for one in found.trace} | set(found.skipped) == set(pack()["rules"])
    assert all(one.says and "${" not in one.says for one in found.trace)
    law = next(one for one in found.trace if one.rule == "TEL-11")
    assert (law.source, law.verified_on) == ("StVFernLV § 10", "2026-11-23")


def test_rules_that_come_from_law_say_when_they_were_looked_up() -> None:
    for name, rule in load_pack("access")["rules"].items():
        law = str(rule.get("source", ""))
        if any(mark in law for mark in ("GDPR", "StVFernLV", "CFR", "Act", "VDA")):
            assert rule.get("verified_on"), name


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"stage": "identity", "says": "x", "require": "actor.known +"}, "require"),
        ({"stage": "identity", "says": "x", "require": "nobody.known"}, "nobody"),
        ({"stage": "identity", "says": "x", "require": "1 + 1"}, "integer"),
        ({"stage": "elsewhere", "says": "x"}, "stage"),
        ({"stage": "identity", "says": "x", "else": "maybe"}, "else"),
        ({"stage": "identity", "says": "x", "requires": "true"}, "requires"),
        ({"stage": "identity"}, "says nothing"),
        ({"stage": "identity", "says": "x", "offer": ["nothing"]}, "nothing"),
    ],
)
def test_a_mistake_in_a_rule_is_found_before_it_decides_anything(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(RulesError, match=says):
        rules.compiled(pack(rules={"BAD-1": rule}))


def test_the_same_facts_and_rules_give_the_same_answer_and_another_pack_another_digest() -> None:
    given = facts(DIRECT, PERSONAL, ABROAD)
    assert rules.evaluate(pack(), given) == rules.evaluate(pack(), given)
    assert rules.compiled(pack()).digest != rules.compiled(pack(latency_p95_ms=150)).digest
    assert rules.compiled(pack()).digest == rules.compiled(pack(actors={"new": {"employer": "X"}})).digest


def test_large_inputs_are_classified_and_evaluated_within_two_seconds() -> None:
    items = [
        Item(
            id=f"S-{n}", robot=f"R-{n % 900}", site="HAM2", region="eu", home_region="eu", customer="Nordlicht", bytes=10**8, minutes=3.0,
            topics=("/camera/front/image", "/odom", "/joint_states"), camera=True,
        )
        for n in range(100_000)
    ]  # fmt: skip
    many = {
        f"X-{n}": {"stage": "contract", "says": "ok", "require": f"history.bytes_12m < {n + 1}.0e15"}
        for n in range(2_000)
    }
    policy = pack(rules=many)
    rules.compiled(policy)
    began = time.process_time()
    found = classify(items, policy)
    classified = time.process_time() - began
    verdict = rules.evaluate(policy, facts(PERSONAL, {"data": {"bytes": float(found.volume.bytes)}}))
    took = time.process_time() - began
    assert found.volume.files == 100_000 and found.volume.robots == 900 and found.volume.faces is None
    assert len(verdict.trace) > 2_000
    assert took < 2.0, f"classified in {classified:.2f} s, evaluated in {took - classified:.2f} s"


def test_classes_come_from_what_is_there_and_the_requester_only_adds() -> None:
    item = Item(id="S-1", customer="Straits", region="eu", home_region="us", topics=("/gps/fix",), bytes=5)
    found = classify([item], pack(), declared=["export_controlled"], missing=["S-9"])
    assert set(found.classes) == {"telemetry", "precise_location", "customer_confidential", "export_controlled"}
    assert next(one for one in found.counts if one.name == "export_controlled").declared
    assert found.odd == ("S-1 is tagged eu, its robot stands in us",) and found.missing == ("S-9",)
    assert classify([item], pack(), declared=[]).classes == tuple(c for c in found.classes if c != "export_controlled")


def test_faces_that_nobody_counted_are_taken_to_be_there() -> None:
    counted = Item(id="a", camera=True, faces=2, plates=0)
    assert classify([counted], pack()).volume.faces == 2
    assert classify([counted, Item(id="b", camera=True)], pack()).volume.faces is None


def test_the_reporting_line_goes_up_and_down_and_ends_in_circles_too() -> None:
    line = {"a": {"manager": "b"}, "b": {"manager": "c"}, "c": {"manager": "a"}, "d": {"manager": "a"}, "e": {}}
    assert set(people.reporting_line({"actors": line}, "a")) == {"b", "c", "d"}
    assert people.reporting_line({"actors": line}, "e") == ()


def test_an_unknown_place_is_never_ours() -> None:
    assert people.region_of(pack(), "DE") == "eu" and people.region_of(pack(), "eu") == "eu"
    assert people.region_of(pack(), "Atlantis") == "Atlantis"
    assert people.actor(pack(), "nobody", now=START, seen_at=START)["known"] is False


def test_a_mechanism_that_is_over_or_of_somebody_else_covers_nothing() -> None:
    from engine.capabilities.access.facts import _transfer

    assert _transfer(pack(), ["eu"], "us", "VendorCo", START)["covered"]
    assert not _transfer(pack(), ["eu"], "us", "OtherCo", START)["covered"]
    over = _transfer(pack(), ["eu"], "us", "VendorCo", people.when("2027-03-02") or 0.0)
    assert not over["covered"] and "over since" in over["text"]
    assert not _transfer(pack(), ["eu", "apac"], "us", "VendorCo", START)["covered"]
    for regions, to in (
        (["eu"], ""),
        ([""], "eu"),
        ([], "eu"),
    ):  # nobody says where: that is across, and nothing covers it
        unknown = _transfer(pack(), regions, to, "VendorCo", START)
        assert unknown["crosses"] and not unknown["covered"] and "not known" in unknown["text"]


def test_every_direct_drive_and_broken_glass_is_looked_at_and_a_tenth_of_the_rest() -> None:
    """By lot over what was decided on: nobody can know beforehand whether theirs is drawn, and asking again draws the same."""
    policy = pack()

    def due(**fields: Any) -> tuple[str, float]:
        return filing.review_of(policy, AccessRequest(id="Q-1", **fields), None, False)

    assert due(action="shell", breakglass=True) == ("breakglass", 24 * 3600.0)
    assert due(action="direct")[0] == "always"
    over = Grant(id="GR-1", used=Used(excess=("a file more",)))
    assert filing.review_of(policy, AccessRequest(id="Q-1", action="view"), over, False)[0] == "always"
    drawn = [
        filing.review_of(policy, AccessRequest(id=f"Q-{n}", action="view", facts=f"sha256:{n}"), None, False)
        for n in range(2_000)
    ]
    share = sum(kind == "sample" for kind, _ in drawn) / len(drawn)
    assert 0.08 < share < 0.12 and {limit for kind, limit in drawn if kind == "sample"} == {14 * 86_400.0}
    assert {kind for kind, _ in drawn} == {"sample", "none"}
