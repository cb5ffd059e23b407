"""Freezing: the same selection gives the same stages, nobody is in two of them, and a canary sees every variant."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.capabilities.packs import PackError, load_pack, merged
from engine.capabilities.ports import ActionError, Release, Robot
from engine.capabilities.rollout.planning import freeze, lookalikes, plan_policy
from engine.capabilities.rollout.selector import Selector

RELEASES = [
    Release(id="1", version="4.7.9", digest="sha1:a", size_b=10),
    Release(id="2", version="4.8.1", digest="sha1:b", size_b=10),
]


def fleet(size: int, *, sites: int = 4, variants: int = 3) -> list[Robot]:
    return [
        Robot(
            id=f"S{i % sites}-AMR-{i:03d}", site=f"S{i % sites}", region="eu" if i % sites < 2 else "us", customer=f"C{i % 2}",
            variant=f"rev-{'ABC'[(i // sites) % variants]}", version="4.7.9", mode="AUTOMATIC", online=i % 9 != 0, battery=0.9,
        )
        for i in range(size)
    ]  # fmt: skip


def frozen(robots: list[Robot], selector: str = "all", environment: str = "production", **plan: object) -> dict:
    policy = plan_policy(load_pack("rollout", environment=environment), plan)
    return freeze(
        selector=selector, exclude=[], version="4.8.1", robots=robots, releases=RELEASES, policy=policy, now=0.0
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 8), st.integers(1, 3))
def test_stages_are_disjoint_and_cover_the_cohort(size: int, sites: int, variants: int) -> None:
    found = frozen(fleet(size, sites=sites, variants=variants))
    staged = [name for stage in found["stages"] for name in stage["robots"]]
    assert len(staged) == len(set(staged)) == size == found["size"]
    assert found["cohort"]["robots"] == staged
    assert [stage["through"] for stage in found["stages"]][-1] == size
    assert found["stages"][-1]["ask_promotion"] is False


def test_the_order_of_the_fleet_does_not_matter() -> None:
    robots = fleet(118)
    assert frozen(robots)["stages"] == frozen(list(reversed(robots)))["stages"]


def test_another_release_picks_other_canaries() -> None:
    robots = fleet(300)
    policy = load_pack("rollout")
    other = [*RELEASES, Release(id="3", version="4.9.0", digest="sha1:c", size_b=10)]
    one = freeze(selector="all", exclude=[], version="4.8.1", robots=robots, releases=other, policy=policy, now=0.0)
    two = freeze(selector="all", exclude=[], version="4.9.0", robots=robots, releases=other, policy=policy, now=0.0)
    assert set(one["stages"][0]["robots"]) != set(two["stages"][0]["robots"])


def test_a_canary_has_every_variant_two_sites_and_is_capped() -> None:
    robots = fleet(2000)
    canary = frozen(robots)["stages"][0]
    by_id = {r.id: r for r in robots}
    assert canary["size"] == 10
    assert {by_id[n].variant for n in canary["robots"]} == {"rev-A", "rev-B", "rev-C"}
    assert len({by_id[n].site for n in canary["robots"]}) >= 2
    assert all(by_id[n].online for n in canary["robots"])
    assert canary["auto_rollback"] and canary["ratio_limit"] == 3.0


def test_default_stages_follow_the_book() -> None:
    found = frozen(fleet(1000))
    assert [(s["name"], s["size"]) for s in found["stages"]] == [
        ("canary", 10),
        ("10 %", 100),
        ("30 %", 300),
        ("100 %", 590),
    ]
    assert [s["ratio_limit"] for s in found["stages"]] == [3.0, 2.0, 1.5, None]
    assert found["stages"][0]["soak_s"] == 86_400.0
    assert found["stages"][2]["next_fleet_wide"] is True


def test_a_lab_goes_first_when_there_is_one() -> None:
    robots = [
        *fleet(100),
        *(Robot(id=f"LAB-{i}", site="LAB", variant="rev-A", version="4.7.9", online=True) for i in range(5)),
    ]
    assert frozen(robots)["stages"][0]["name"] == "lab"
    assert frozen(robots)["stages"][0]["size"] == 3


def test_robots_on_the_release_are_left_out_and_named() -> None:
    robots = fleet(50)
    robots[3] = Robot(id=robots[3].id, site="S3", variant="rev-A", version="4.8.1", online=True)
    found = frozen(robots)
    assert found["size"] == 49
    assert [robots[3].id, "already runs 4.8.1"] in found["exclusions"]


def test_robots_of_another_version_keep_their_own_way_back() -> None:
    robots = fleet(50)
    robots[3] = Robot(id=robots[3].id, site="S3", variant="rev-A", version="4.6.0", online=True)
    found = frozen(robots)
    assert found["cohort"]["previous"] == "4.7.9"
    assert found["cohort"]["origin"] == {robots[3].id: "4.6.0"}


@pytest.mark.parametrize(
    ("selector", "error"),
    [
        ("", "BadSelector"),
        ("sites:HAM2", "BadSelector"),
        ("HAM2", "BadSelector"),
        ("site:HAM2,,HAM5", "BadSelector"),
        ("site:NOWHERE", "EmptyCohort"),
    ],
)
def test_selectors_that_mean_nothing_are_refused(selector: str, error: str) -> None:
    with pytest.raises(ActionError) as raised:
        frozen(fleet(20), selector)
    assert raised.value.error == error and not raised.value.retryable


def test_selector_terms() -> None:
    robots = fleet(48)
    chosen = Selector("region:eu variant:rev-C|rev-B -site:S1").select(robots)
    assert chosen and all(r.region == "eu" and r.variant in ("rev-B", "rev-C") and r.site != "S1" for r in chosen)
    assert Selector("site:S0,S2").select(robots) == Selector("site:S0|S2").select(robots)
    assert len(Selector("robot:S0-AMR-*").select(robots)) == 12


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(ActionError, match="no release"):
        freeze(
            selector="all",
            exclude=[],
            version="9.9",
            robots=fleet(5),
            releases=RELEASES,
            policy=load_pack("rollout"),
            now=0.0,
        )


def test_a_plan_can_change_known_values_only() -> None:
    assert frozen(fleet(50), soak="2h")["stages"][0]["soak_s"] == 7200.0
    with pytest.raises(ActionError) as raised:
        frozen(fleet(50), sok="2h")
    assert raised.value.error == "BadPlan" and "sok" in raised.value.message


def test_packs_refuse_what_they_do_not_know() -> None:
    pack = load_pack("rollout")
    assert load_pack("rollout", environment="sandbox")["soak"] < pack["soak"]
    with pytest.raises(PackError, match="e_alram"):
        load_pack("rollout", overrides={"e_alram": 10})
    with pytest.raises(PackError, match="soak"):
        merged(pack, {"soak": "a while"}, source="plan")
    with pytest.raises(PackError):
        load_pack("nothing")


def names(*ids: str) -> list[Robot]:
    return [Robot(id=name, site="HAM2") for name in ids]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("HAM2-AMR-17", "HAM2-AMR-71", True),
        ("HAM2-AMR-10", "HAM2-AMR-1O", True),
        ("HAM2-AMR-17", "HAM2-AMR-1", True),
        ("HAM2-AMR-12", "HAM2-AMR-14", False),
        ("HAM2-AMR-17", "HAM2-AMR-93", False),
    ],
)
def test_look_alikes_are_slips_not_neighbours(one: str, other: str, alike: bool) -> None:
    assert bool(lookalikes(names(one, other))) is alike


def test_look_alikes_at_different_sites_are_no_danger() -> None:
    assert lookalikes([Robot(id="A-17", site="HAM2"), Robot(id="A-71", site="HAM5")]) == []
