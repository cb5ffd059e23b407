"""Who is in the simulated fleet: sites, customers, variants, serials, and names that look alike on purpose."""

from __future__ import annotations

import random

from msgspec import Struct


class Site(Struct, frozen=True):
    """`share` is its part of the fleet."""

    id: str
    region: str
    customer: str
    share: float


class Profile(Struct, frozen=True, kw_only=True):
    """What never changes about a robot. `temper` multiplies its intervention rate: robots differ (CV about 0.3)."""

    id: str
    serial: str
    site: str
    region: str
    customer: str
    variant: str
    model: str
    poll_s: float
    poll_phase: float
    temper: float
    task_s: float
    download_s: float
    install_s: float
    reboot_s: float


SITES = (
    Site("HAM2", "eu", "Nordlicht Logistik", 0.17),
    Site("HAM5", "eu", "Nordlicht Logistik", 0.10),
    Site("UTR1", "eu", "Van Dijk Fulfilment", 0.14),
    Site("LYO1", "eu", "Rhône Distribution", 0.12),
    Site("AUS3", "us", "Lone Star Parts", 0.17),
    Site("MEM4", "us", "Delta Freight", 0.11),
    Site("OSA1", "apac", "Kansai Retail", 0.11),
    Site("SIN2", "apac", "Straits Medical", 0.08),
)
VARIANTS = (("rev-A", 0.45, 0.9), ("rev-B", 0.35, 1.0), ("rev-C", 0.20, 1.15))
VARIANT_RATE = {name: rate for name, _, rate in VARIANTS}
MODEL = "amr-600"
POLLS = (60.0, 60.0, 120.0, 120.0, 300.0)


def _sizes(robots: int) -> dict[str, int]:
    """Robots per site: largest remainders, so that they add up."""
    exact = {s.id: s.share * robots for s in SITES}
    sizes = {site: int(n) for site, n in exact.items()}
    by_rest = sorted(exact, key=lambda site: (sizes[site] - exact[site], site))
    for site in by_rest[: robots - sum(sizes.values())]:
        sizes[site] += 1
    return sizes


def _numbers(rng: random.Random, site: str, count: int) -> list[int]:
    """Robot numbers of a site, with gaps as in life; 17 and 71 stand side by side in HAM2 (the look-alike check)."""
    pool = range(1, max(99, count * 2) + 1)
    wanted = [17, 71] if site == "HAM2" and count >= 2 else []
    rest = [n for n in pool if n not in wanted]
    return sorted(wanted + rng.sample(rest, count - len(wanted)))


def profiles(seed: int, robots: int) -> list[Profile]:
    """The fleet of a seed, in name order. Every (site, variant) pair exists while there is room for it."""
    rng = random.Random(f"{seed}:fleet")
    sizes = _sizes(robots)
    found: list[Profile] = []
    for site in SITES:
        for order, number in enumerate(_numbers(rng, site.id, sizes[site.id])):
            if order < len(VARIANTS):
                variant = VARIANTS[order][0]
            else:
                variant = rng.choices([v[0] for v in VARIANTS], [v[1] for v in VARIANTS])[0]
            poll = rng.choice(POLLS)
            found.append(
                Profile(
                    id=f"{site.id}-AMR-{number:02d}",
                    serial=f"{variant[-1]}{rng.randint(23, 26)}{rng.randint(1, 52):02d}-{rng.randint(0, 0xFFFFF):05X}",
                    site=site.id,
                    region=site.region,
                    customer=site.customer,
                    variant=variant,
                    model=MODEL,
                    poll_s=poll,
                    poll_phase=rng.uniform(0, poll),
                    temper=rng.gammavariate(11.0, 1 / 11.0),  # mean 1, CV 0.3
                    task_s=rng.uniform(180, 420),
                    download_s=rng.uniform(180, 540),
                    install_s=rng.uniform(240, 480),
                    reboot_s=rng.uniform(100, 180),
                )
            )
    return sorted(found, key=lambda p: p.id)
