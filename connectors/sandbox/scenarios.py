"""The scenarios, as data: what is wrong with the new release or with the fleet, and when it shows.

No scenario names a robot. Which robots get the release first is the rollout's decision, so effects are keyed on what
the world can see while it runs: the order in which robots are first told to take the new version (the `wave`), the robot's variant, and whether robots of its site and variant were in that first wave.
"""

from __future__ import annotations

from msgspec import Struct

OLDEST, PREVIOUS, RELEASE = "4.6.2", "4.7.3", "4.8.1"
FORWARD = "4.8.2"  # what PREVIOUS holds, as a version that no bootloader refuses
BASE_RATE_PER_H = 0.06  # interventions per operating robot-hour: 6 per 100 robot-hours


class Scenario(Struct, frozen=True, kw_only=True):
    """`rate_*` multiply the intervention rate of robots that run the new release; 1 is as good as the old one; a good release needs people less."""

    name: str
    title: str
    ending: str
    rate_new: float = 0.75
    rate_outside_wave: float = 1.0
    """Extra factor for `outside_variants` at (site, variant) pairs that no robot of the first wave had."""
    outside_variants: tuple[str, ...] = ()
    wave: int = 10
    fail_share: float = 0.0
    """Chance that installing the new release fails on a robot; the same robot fails again until it is retried."""
    retry_succeeds: float = 0.7
    wave_fates: tuple[str, ...] = ()
    """What happens to the n-th robot of the wave when it is told to update: `offline`, `fail` or `` (nothing)."""
    offline_for_s: float = 0.0
    dark_after_s: float | None = None
    """Seconds after the install at which the robot's own metrics stop."""
    floor_variants: tuple[str, ...] = ()
    """Variants whose bootloader never goes below the new release once it ran (anti-rollback floor = new release)."""
    long_offline: int = 0
    hostile_logs: bool = False
    already: int = 0
    """Robots that have run the release since before the beginning: site by site, so that a site has it and others don't."""
    already_floor: int = 0
    """Of those, how many have a bootloader that never goes below the release."""
    forward: bool = False
    """The update server also holds the old content under a new number (`FORWARD`)."""


SCENARIOS: dict[str, Scenario] = {
    s.name: s
    for s in (
        Scenario(
            name="healthy",
            title="The release is better than the one before.",
            ending="completed",
        ),
        Scenario(
            name="remedied",
            title="The release mends what people had to help with: it needs them half as often.",
            ending="completed",
            rate_new=0.5,
        ),
        Scenario(
            name="canary-regression",
            title="The release needs people six times as often, on every robot.",
            ending="rolled back by policy at the canary",
            rate_new=6.0,
        ),
        Scenario(
            name="stage-regression",
            title="The release is bad for rev-B and rev-C robots of sites and variants the canary did not contain.",
            ending="passes the canary, paused by policy at a wider stage, rolled back by a person",
            rate_outside_wave=16.0,
            outside_variants=("rev-B", "rev-C"),
        ),
        Scenario(
            name="telemetry-outage",
            title="Robots stop sending metrics half an hour after they took the release.",
            ending="never promoted: no data is not a pass",
            dark_after_s=1800.0,
        ),
        Scenario(
            name="offline-canaries",
            title="Six of the first ten robots go offline when they are told to update, the other four fail.",
            ending="paused, judged by executed robots alone",
            wave_fates=(
                "offline",
                "fail",
                "offline",
                "offline",
                "fail",
                "offline",
                "fail",
                "offline",
                "offline",
                "fail",
            ),
            offline_for_s=30 * 86400.0,
            retry_succeeds=0.0,
        ),
        Scenario(
            name="install-failures",
            title="Three of ten installs fail; some succeed when they are tried again.",
            ending="paused by the install rule",
            fail_share=0.3,
            long_offline=2,
            hostile_logs=True,
        ),
        Scenario(
            name="rollback-blocked",
            title="The release is bad everywhere, and the bootloader of rev-C robots refuses the old version.",
            ending="the blocked robots are named before the rollback; the rest is rolled back",
            rate_new=6.0,
            floor_variants=("rev-C",),
        ),
        Scenario(
            name="bad-release",
            title="Seventeen robots have run a bad release for a day; three of them can't be put back.",
            ending="taken off the robots by an incident",
            rate_new=4.0,
            already=17,
            already_floor=3,
            forward=True,
        ),
    )
}
