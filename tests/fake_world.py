"""A seeded fleet for the fake client: robots with look-alike names, cohorts, hostile strings.

Everything is a pure function of (seed, now), so that two runs of a test see the same fleet.
"""

from __future__ import annotations

import random

from engine.contract.fleet import CohortView, RobotRow

BASE = 1_795_402_260.0
"""2026-11-23 02:51 UTC: the minute of the example screen in the domain notes."""

HOSTILE = (
    "\x1b]52;c;cm0gLXJmIC8=\x07clip",
    "[/] [@click=app.quit]boom[/]",
    "\x1b[2J\x1b[31mred",
    "rtl\u202egnp.exe",
    "wide 漢字ロボット 🤖",
    "tab\tand\nnewline",
    "zalgo" + "\u0301" * 30,
    "x" * 400,
)

SITES = (
    ("HAM2", "eu-central"),
    ("HAM5", "eu-central"),
    ("UTR1", "eu-west"),
    ("LIN1", "eu-central"),
    ("GDN1", "eu-north"),
)
VARIANTS = ("rev-B", "rev-C")
CUSTOMERS = ("Nordkai", "Acme Foods", "Zuidpoort")
MODES = ("AUTOMATIC",) * 14 + ("SEMIAUTOMATIC", "MANUAL", "SERVICE", "INTERVENED", "OFFLINE", "CONNECTION_BROKEN")


def digest(*parts: object) -> str:
    generator = random.Random("/".join(map(str, parts)))
    return f"{generator.getrandbits(256):064x}"


def robots(count: int = 200, *, now: float = BASE, seed: int = 1, hostile: bool = False) -> tuple[RobotRow, ...]:
    generator = random.Random(seed)
    rows: list[RobotRow] = []
    for number in range(count):
        site, region = SITES[number % len(SITES)]
        name = f"{site}-AMR-{number // len(SITES) + 1:02d}"
        mode = generator.choice(MODES)
        online = mode not in ("OFFLINE", "CONNECTION_BROKEN")
        seen = now - (generator.uniform(1, 50) if online else generator.uniform(400, 90_000))
        drift = number % 37 == 11
        canary = number < 10
        other = name[:-2] + name[:-3:-1]
        twin = other if name[-1] != name[-2] and int(other[-2:]) * len(SITES) <= count and name[-2:] != "00" else ""
        rows.append(
            RobotRow(
                id=name if not hostile or number % 9 else HOSTILE[(number // 9) % len(HOSTILE)],
                serial=f"SN{generator.randrange(10**7):07d}",
                site=site,
                region=region,
                customer=CUSTOMERS[number % 3],
                variant=VARIANTS[(number // 7) % 2],
                mode=mode,
                desired="nav 4.8.1" if canary or drift else "nav 4.8.0",
                reported="nav 4.8.1" if canary else "nav 4.8.0",
                battery=round(generator.uniform(0.22, 1.0), 2) if online else None,
                last_seen_at=seen,
                poll_s=60.0,
                online=online,
                drift=drift,
                rollout="run-192" if canary else "",
                state="healthy" if canary else "",
                hold="I-044" if number == 7 else "",
                lookalike=twin,
                as_of=now - 4,
            )
        )
    return tuple(rows)


def cohorts(now: float = BASE) -> tuple[CohortView, ...]:
    return (
        CohortView(
            id="EU-AMR",
            selector="region in ['eu-central','eu-west'] && kind == 'amr'",
            robots=118,
            digest=digest("cohort", 1),
            frozen_at=now - 90_000,
            strata={"HAM2 x rev-B": 31, "HAM2 x rev-C": 22, "HAM5 x rev-B": 28, "UTR1 x rev-C": 37},
            used_by="run-192",
            members=tuple(f"HAM2-AMR-{n:02d}" for n in range(1, 41)),
        ),
        CohortView(
            id="LAB",
            selector="site == 'LAB'",
            robots=3,
            digest=digest("cohort", 2),
            frozen_at=now - 400_000,
            strata={"LAB x rev-C": 3},
        ),
    )
