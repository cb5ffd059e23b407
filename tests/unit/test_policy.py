"""Who may do what, where and when; and that nothing is given by silence."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.capabilities.policy import Identity, Policy, PolicyError, load
from engine.capabilities.policy_file import VERBS

SITE = """\
policy: 1
people:
  ana: {roles: [release-manager], users: [a.smith, asmith]}
  bo: [safety-officer]
  cy: {roles: [eu-operator, night]}
groups:
  robot-ops: [operator]
roles:
  eu-operator:
    may:
      - {verbs: [run.*, rollout.*], scope: {region: eu}}
    robots: 20
  night:
    may:
      - {verbs: rollout.promote, scope: {site: [HAM*, MUC1], region: eu}}
second_factor: [run.terminate, rollout.rollback]
delegations:
  - {from: bo, to: cy, roles: [safety-officer], until: 2026-12-01T00:00:00Z}
windows:
  freeze:
    zone: Europe/Berlin
    reason: nobody is on site
    deny:
      - {days: fri, from: 16:00, to: 24:00}
      - {days: sat-sun}
      - {days: mon, to: 06:00}
  night:
    allow:
      - {days: mon-fri, from: 22:00, to: 04:00}
    deny:
      - {from: 2026-12-24T00:00:00Z, to: 2026-12-27T00:00:00Z}
  first:
    allow: [{cron: "0 8 1 * *", for: 10h}]
  open: {}
"""


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


NOW = at("2026-11-23T10:00:00Z")


def site() -> Policy:
    return Policy.load(SITE, owner="keeper")


def test_production_gives_the_owner_alone() -> None:
    policy = Policy.load("policy: 1\n", owner="keeper")
    assert policy.identify(1000, "keeper", ("wheel",)).roles == ("admin",)
    assert policy.identify(1001, "somebody", ("wheel", "sudo")).roles == ()
    for verb in VERBS:
        assert policy.may(policy.identify(1000, "keeper", ()), verb) is None
        refused = policy.may(policy.identify(1001, "somebody", ()), verb)
        assert refused is not None and refused.code == "no_role"
    assert policy.people == ()


def test_the_sandbox_has_its_people_and_one_of_them_is_never_enough() -> None:
    policy = Policy.load("policy: 1\n", environment="sandbox", owner="keeper")
    assert set(policy.people) >= {"ana", "bo", "cy", "dana", "eve"}
    assert set(policy.roles("keeper", ())) == {"operator", "release-manager", "admin"}
    assert "safety-officer" not in policy.roles("keeper", ())
    assert policy.people_with("safety-officer") == ("bo",)
    assert set(policy.people_with("release-manager")) >= {"keeper", "ana"}
    assert policy.refusal(policy.roles("eve", ()), "rollout.pause")
    assert policy.roles("stranger", ()) == ()
    assert policy.window_state("change-freeze", NOW).open


def test_an_account_without_a_name_is_nobody() -> None:
    policy = Policy.load("policy: 1\n", owner="")
    assert policy.identify(4711, "", ()) == Identity(person="uid 4711")


def test_accounts_lead_to_people_and_only_the_listed_ones() -> None:
    policy = site()
    assert policy.identify(1, "a.smith", ()).person == "ana"
    assert policy.roles("a.smith", ()) == ("release-manager",)
    assert policy.roles("ana", ()) == (), "an account that happens to be called ana is not ana"
    assert policy.roles("bo", ()) == ("safety-officer",)


def test_groups_give_roles() -> None:
    assert site().roster["@robot-ops"] == ("operator",) and "@robot-ops" not in site().people_with("operator")
    assert site().roles("guest", ("robot-ops", "audio")) == ("operator",)


def test_roles_are_bound_to_scopes_and_an_unknown_place_is_outside() -> None:
    policy, cy = site(), Identity(person="cy", roles=("eu-operator",))
    assert policy.may(cy, "run.cancel", {"region": "eu"}) is None
    assert policy.may(cy, "run.cancel", {"region": ["eu"]}) is None
    for scope in ({"region": "us"}, {"region": ["eu", "us"]}, {}, None, {"region": []}, {"site": "HAM2"}):
        refused = policy.may(cy, "run.cancel", scope)
        assert refused is not None and refused.code == "scope"
    night = Identity(person="cy", roles=("night",))
    assert policy.may(night, "rollout.promote", {"region": "eu", "site": ["HAM2", "MUC1"]}) is None
    assert policy.may(night, "rollout.promote", {"region": "eu", "site": ["HAM2", "BER1"]}) is not None


def test_a_cap_bounds_what_one_act_touches_but_never_a_pause() -> None:
    policy, cy = site(), Identity(person="cy", roles=("eu-operator",))
    assert policy.may(cy, "rollout.start", {"region": "eu", "robots": 20}) is None
    for robots in (21, None, "20"):
        refused = policy.may(cy, "rollout.start", {"region": "eu", "robots": robots})
        assert refused is not None and refused.code == "robots"
    assert policy.may(cy, "rollout.pause", {"region": "eu", "robots": 500}) is None


def test_a_second_factor_that_cannot_be_had_refuses() -> None:
    policy, ana = site(), Identity(person="ana", roles=("release-manager", "admin"))
    for verb in ("rollout.rollback", "run.terminate"):
        refused = policy.may(ana, verb)
        assert refused is not None and refused.code == "second_factor"
    assert "rollout.rollback" not in policy.verbs(ana.roles) and "rollout.promote" in policy.verbs(ana.roles)


def test_roles_can_be_lent_until_a_time_and_not_lent_on() -> None:
    policy = site()
    assert "safety-officer" in policy.roles("cy", (), at=NOW)
    assert "safety-officer" not in policy.roles("cy", (), at=at("2026-12-01T00:00:00Z"))
    assert "safety-officer" not in policy.roles("cy", ()), "without a time nothing counts as lent"
    assert policy.people_with("safety-officer", at=NOW) == ("bo", "cy")
    chain = SITE.replace(
        "until: 2026-12-01T00:00:00Z}",
        "until: 2026-12-01T00:00:00Z}\n  - {from: cy, to: ana, roles: [safety-officer], until: 2026-12-01T00:00:00Z}",
    )
    with pytest.raises(PolicyError, match="cy does not hold 'safety-officer'"):
        Policy.load(chain)


def test_an_unknown_verb_or_role_gives_nothing() -> None:
    refused = site().may(Identity(person="x", roles=("admin",)), "run.explode")
    assert refused is not None and refused.code == "unknown_verb"
    assert site().refusal(("made-up",), "run.start")


@pytest.mark.parametrize(
    ("name", "when", "is_open", "until"),
    [
        ("freeze", "2026-11-23T10:00:00+01:00", True, "2026-11-27T16:00:00+01:00"),
        ("freeze", "2026-11-27T16:00:00+01:00", False, "2026-11-30T06:00:00+01:00"),
        ("freeze", "2026-11-29T12:00:00+01:00", False, "2026-11-30T06:00:00+01:00"),
        ("freeze", "2026-11-30T06:00:00+01:00", True, "2026-12-04T16:00:00+01:00"),
        ("freeze", "2026-10-25T12:00:00+01:00", False, "2026-10-26T06:00:00+01:00"),  # the clocks went back that night
        ("night", "2026-11-23T12:00:00Z", False, "2026-11-23T22:00:00Z"),
        ("night", "2026-11-24T03:59:00Z", True, "2026-11-24T04:00:00Z"),
        ("night", "2026-11-28T02:00:00Z", True, "2026-11-28T04:00:00Z"),  # Friday's night ends on Saturday
        ("night", "2026-11-29T02:00:00Z", False, "2026-11-30T22:00:00Z"),
        ("night", "2026-12-24T23:00:00Z", False, "2026-12-28T22:00:00Z"),  # deny beats allow
        ("first", "2026-12-01T09:00:00Z", True, "2026-12-01T18:00:00Z"),
        ("first", "2026-11-23T09:00:00Z", False, "2026-12-01T08:00:00Z"),
        ("open", "2026-11-23T09:00:00Z", True, None),
    ],
)
def test_windows(name: str, when: str, is_open: bool, until: str | None) -> None:
    state = site().window_state(name, at(when))
    assert state.open is is_open
    assert state.until == (None if until is None else at(until))
    assert bool(state.reason) is not is_open


def test_a_window_nobody_defined_is_closed() -> None:
    state = site().window_state("made-up", NOW)
    assert not state.open and "made-up" in state.reason


@settings(max_examples=60, deadline=None)
@given(st.floats(at("2026-01-01T00:00:00Z"), at("2027-12-31T00:00:00Z")), st.sampled_from(["freeze", "night", "first"]))
def test_a_window_stays_as_it_is_until_it_says(when: float, name: str) -> None:
    policy = site()
    state = policy.window_state(name, when)
    if state.until is not None:
        assert state.until > when
        assert policy.window_state(name, state.until).open is not state.open
        middle = (when + state.until) / 2
        assert policy.window_state(name, middle).open is state.open


@pytest.mark.parametrize(
    ("change", "by", "line", "field", "message", "fix"),
    [
        ("[release-manager]", "[release-manger]", 3, "people.ana.roles", "there is no role 'release-manger'", "'release-manager'"),
        ("bo: [safety", "bo: {roles: [safety-officer], users: [asmith]}\n  b2: [safety", 4, "people.bo.users", "is ana's already", "one account"),
        ("run.*, r", "run.strat, r", 11, "roles.eu-operator.may.0.verbs.0", "there is no verb 'run.strat'", "'run.start'"),
        ("scope: {region: eu}}\n    robots", "scope: {regoin: eu}}\n    robots", 11, "roles.eu-operator.may.0.scope.regoin", "unknown key 'regoin'", "'region'"),
        ("robots: 20", "robots: many", 12, "roles.eu-operator.robots", "a whole number is expected", ""),
        ("to: cy", "to: zed", 18, "delegations.0.to", "there is no person 'zed'", "known here"),
        ("2026-12-01T00:00:00Z", "2026-12-01", 18, "delegations.0.until", "is not a time with its zone", "such as"),
        ("zone: Europe/Berlin", "zone: Europe/Berln", 21, "windows.freeze.zone", "there is no time zone", "Europe/Berlin"),
        ("days: fri", "days: fry", 24, "windows.freeze.deny.0.days", "'fry' is no day of the week", "mon-fri"),
        ("to: 06:00", "to: 6", 26, "windows.freeze.deny.2.to", "'6' is not a time of day", "06:00"),
        ("0 8 1 * *", "* * * * *", 33, "windows.first.allow.0.cron", "this begins 1440 times a day", "48"),
        ("policy: 1", "policy: 2", 1, "policy", "at most 1", ""),
        ("policy: 1", "polcy: 1", 1, "polcy", "unknown key 'polcy'", "'policy'"),
    ],
)  # fmt: skip
def test_a_broken_file_names_line_field_and_fix(
    change: str, by: str, *, line: int, field: str, message: str, fix: str
) -> None:
    broken = SITE.replace(change, by, 1)
    assert broken != SITE
    with pytest.raises(PolicyError) as caught:
        Policy.load(broken)
    match = [finding for finding in caught.value.findings if message in finding.message]
    assert match, str(caught.value)
    assert (match[0].line, match[0].field) == (line, field), str(caught.value)
    assert fix in match[0].fix


def test_a_file_is_read_over_the_shipped_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.yaml", owner="keeper").roles("keeper", ()) == ("admin",)
    path = tmp_path / "policy.yaml"
    path.write_text("policy: 1\npeople: {ana: [operator]}\n")
    path.chmod(0o600)
    policy = load(path, owner="keeper")
    assert policy.people == ("ana",) and policy.roles("keeper", ()) == ("admin",)
    assert "safety-officer" in policy.known


def test_a_file_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(SITE)
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        with pytest.raises(PolicyError, match="others may write"):
            load(path)
    path.chmod(0o644)
    assert load(path).people == ("ana", "bo", "cy")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(SITE)
    path.chmod(0o600)
    os.chown(path, 65534, -1)
    with pytest.raises(PolicyError, match="belongs to uid 65534"):
        load(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"policy: \xff\xfe")
    path.chmod(0o600)
    with pytest.raises(PolicyError, match="not UTF-8"):
        load(path)


def test_the_verbs_are_those_of_the_door() -> None:
    from engine.api import secrets, verbs

    assert set(VERBS) == {*verbs.VERBS, secrets.VERB}  # secrets have a door of their own


LINES = SITE.splitlines()


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(LINES) - 1),
    st.integers(0, 60),
    st.sampled_from(["", "{", "]", ":", "- ", "'", "null", "\t", "*a", "0", "é"]),
    st.booleans(),
)
def test_a_mutilated_file_is_a_policy_or_findings(line: int, place: int, bit: str, cut: bool) -> None:
    lines = list(LINES)
    lines[line] = lines[line][:place] + bit + ("" if cut else lines[line][place:])
    try:
        assert isinstance(Policy.load("\n".join(lines)), Policy)
    except PolicyError as error:
        assert error.findings
