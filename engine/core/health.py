"""The verdict on a stage: a pure function of what was measured and of the policy's numbers.

Four rules hold, whatever the numbers are. Denominators are executed robots only. Missing telemetry never passes: with
coverage below the limit the word is INCONCLUSIVE, and PASS needs data, exposure and time. A critical event fails at
once, and so does an e-process at its alarm, however often one looks. "Worse" is said only when a bound excludes the
limit, otherwise "not shown worse"; nothing is ever called safe, and no share stands without its k of n.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec
from msgspec import Struct

from engine.core.statistics import (
    Moment,
    Ratio,
    canary_e,
    dispersion,
    hodges_lehmann,
    mann_whitney,
    permutation,
    rate_ratio,
    rate_upper,
)
from engine.core.verdicts import FAIL, INCONCLUSIVE, PASS, PENDING, Verdict, digest_of


class Track(Struct, frozen=True, kw_only=True):
    """What one robot did in the window. `hours` operated; `heard` of `expected` heartbeats; `moments` event times by
    signal; `levels` one value by continuous signal (the robot's mean or median).
    """

    robot: str
    stratum: str
    hours: float
    heard: float
    expected: float
    tasks: float = 0.0
    moments: dict[str, tuple[float, ...]] = {}
    levels: dict[str, float] = {}


class Bucket(Struct, frozen=True):
    """Robot-hours operated in each arm in the interval that ends at `t`: what was exposed when an event happened."""

    t: float
    hours_c: float
    hours_b: float


class Window(Struct, frozen=True, kw_only=True):
    """Everything a verdict looks at. `weak` says that the controls are the canaries' own past, not their neighbours."""

    stage: str
    since: float
    until: float
    canary: tuple[Track, ...]
    control: tuple[Track, ...]
    buckets: tuple[Bucket, ...] = ()
    weak: bool = False
    errors: tuple[str, ...] = ()


class Rules(Struct, frozen=True, kw_only=True):
    """The policy's numbers for one stage. `ratio_limit` None: the stage is watched, not held to a ratio."""

    soak_until: float
    ratio_limit: float | None
    rate: tuple[str, ...] = ("interventions",)
    critical: tuple[str, ...] = ()
    continuous: tuple[tuple[str, str, str], ...] = ()
    """Name, unit, and which way is worse: higher or lower."""
    expected_events: float = 0.0
    baseline_per_100h: float = 2.0
    min_tasks: float = 0.0
    e_alarm: float = 20.0
    rho0: float = 1.25
    coverage: float = 0.90
    min_control: int = 5
    continuous_p: float = 0.01
    continuous_early_p: float = 0.0005
    """The same while the soak goes on: a rank test that is looked at again and again raises false alarms, so that until its
    end only a difference that many looks don't make counts. (Simulated, 18 robots against 14, 48 looks: .057 of healthy
    stages fail at .01 throughout, .007 this way.)"""
    continuous_worse: float = 0.10


class Signal(Struct, frozen=True, kw_only=True):
    """One signal, canary against control, with its text ready to show. `flag`: `!` fails, `?` can't be said, `=` passes."""

    name: str
    unit: str
    canary: str
    control: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    e: float | None = None
    coverage: float | None = None
    flag: str = ""
    text: str = ""


class Health(Struct, frozen=True, kw_only=True):
    """A verdict and everything a person needs to check it."""

    verdict: Verdict
    signals: tuple[Signal, ...]
    coverage: float
    coverage_ok: bool
    exposure_h: float
    exposure_needed_h: float
    worst: str = ""
    dispersion: float | None = None
    permutation_p: float | None = None
    control: str = ""
    e_path: tuple[tuple[float, float], ...] = ()


def judge(window: Window, rules: Rules) -> Health:
    """The verdict at `window.until`. Never raises on odd data: what can't be measured is said and can't pass."""
    canary = [track for track in window.canary if track.hours >= 0]
    control = [track for track in window.control if track.hours >= 0]
    heard, expected = _sum(t.heard for t in canary), _sum(t.expected for t in canary)
    heard_b, expected_b = _sum(t.heard for t in control), _sum(t.expected for t in control)
    coverage = min(1.0, heard / expected) if expected > 0 else 0.0
    coverage_b = min(1.0, heard_b / expected_b) if expected_b > 0 else 0.0
    hours_c, hours_b = _sum(t.hours for t in canary), _sum(t.hours for t in control)
    fails: list[str] = []
    unsure: list[str] = []
    undecided: list[str] = []
    waits: list[str] = []
    notes: list[str] = []
    signals: list[Signal] = []

    negative = len(window.canary) - len(canary)
    if negative:
        unsure.append(f"{negative} robots report negative exposure")
    if not canary:
        unsure.append("no robot of the stage reports")
    low = coverage < rules.coverage or (bool(control) and coverage_b < rules.coverage)
    if low:
        arm, share, k, n = ("stage", coverage, heard, expected)
        if coverage >= rules.coverage:
            named = "canaries' own past" if window.weak else "control"
            arm, share, k, n = (named, coverage_b, heard_b, expected_b)
        unsure.append(
            f"coverage of the {arm} {share:.0%} ({k:.0f} of {n:.0f} heartbeats), below {rules.coverage:.0%}: no verdict on missing data"
        )
    unsure.extend(window.errors)

    best_path: tuple[tuple[float, float], ...] = ()
    worst_text, phi, perm = "", None, None
    needed = _needed_hours(rules, _count(control, rules.rate[0]) if rules.rate else 0, hours_b)
    for number, name in enumerate(rules.rate):
        found = _judge_rate(name, window, rules, canary=canary, control=control, coverage=coverage)
        fails.extend(found.fails)
        undecided.extend(found.undecided)
        notes.extend(found.notes)
        flag = "!" if found.fails else "?" if found.undecided or low else "=" if found.passes else ""
        signals.append(msgspec.structs.replace(found.signal, flag=flag))
        if number == 0:
            best_path, worst_text, phi, perm = found.path, found.worst, found.phi, found.perm
    limit = rules.continuous_p if window.until >= rules.soak_until else rules.continuous_early_p
    for level in rules.continuous:
        signal, failure = _judge_level(level, rules, limit=limit, canary=canary, control=control, coverage=coverage)
        signals.append(signal)
        if failure:
            fails.append(failure)

    for name in rules.critical:
        count, count_b = _count(canary, name), _count(control, name)
        signals.append(
            _rate_signal(
                name,
                (count, hours_c),
                (count_b, hours_b),
                coverage=coverage,
                flag="!" if count else "?" if low else "=",
            )
        )
        if count:
            who = ", ".join(sorted({t.robot for t in canary if t.moments.get(name)})[:3])
            fails.insert(0, f"{name}: {count} in {hours_c:.0f} robot-h on {who}; critical, one is enough")

    if window.until < rules.soak_until:
        waits.append(f"soak ends in {_span(rules.soak_until - window.until)}")
    if rules.ratio_limit is not None and hours_c < needed:
        waits.append(f"exposure {hours_c:.0f} of {needed:.0f} robot-h")
    idle = [t for t in canary if t.tasks < rules.min_tasks]
    if rules.min_tasks and canary and len(idle) * 2 > len(canary):
        waits.append(f"{len(canary) - len(idle)} of {len(canary)} robots did {rules.min_tasks:.0f} tasks")
    if canary and hours_c <= 0:
        unsure.append("exposure 0 h: no robot of the stage worked")

    shown = next((s.text for s in signals if s.name in rules.rate), "")
    reasons = (*fails, *unsure, *waits, *undecided, *notes)
    word, sentence = _word(fails=fails, unsure=unsure, waits=waits, undecided=undecided, shown=shown, rules=rules)
    verdict = Verdict(word=word, sentence=sentence, reasons=reasons, inputs_digest=digest_of((window, rules)))
    return Health(
        verdict=verdict,
        signals=tuple(signals),
        coverage=coverage,
        coverage_ok=not low and bool(canary),
        exposure_h=round(hours_c, 3),
        exposure_needed_h=round(needed, 3) if rules.ratio_limit is not None else 0.0,
        worst=worst_text,
        dispersion=phi,
        permutation_p=perm,
        control=_control_text(control, window.weak, rules),
        e_path=best_path,
    )


def _word(
    *, fails: list[str], unsure: list[str], waits: list[str], undecided: list[str], shown: str, rules: Rules
) -> tuple[str, str]:
    """FAIL, then INCONCLUSIVE for missing data, then PENDING, then INCONCLUSIVE for open questions, then PASS.

    Data that is missing can't hide a failure that was seen, and a question is open only once its time is over.
    """
    if fails:
        return FAIL, fails[0]
    if unsure:
        return INCONCLUSIVE, unsure[0]
    if waits:
        return PENDING, "; ".join([*waits, *([shown] if shown else [])])
    if undecided:
        return INCONCLUSIVE, undecided[0]
    ruled = f", x{rules.ratio_limit:g} ruled out" if rules.ratio_limit is not None else "; watched only"
    return PASS, f"{shown or 'no event'}: not shown worse{ruled}"


class _Rate(Struct, kw_only=True):
    signal: Signal
    fails: list[str]
    undecided: list[str]
    notes: list[str]
    passes: bool
    path: tuple[tuple[float, float], ...]
    worst: str
    phi: float | None
    perm: float | None


def _judge_rate(
    name: str, window: Window, rules: Rules, *, canary: Sequence[Track], control: Sequence[Track], coverage: float
) -> _Rate:
    hours_c, hours_b = _sum(t.hours for t in canary), _sum(t.hours for t in control)
    count_c, count_b = _count(canary, name), _count(control, name)
    found = rate_ratio(count_c, hours_c, count_b, hours_b, rules.rho0)
    valid_control = len(control) >= rules.min_control
    fails: list[str] = []
    undecided: list[str] = []
    notes: list[str] = []
    path: list[tuple[float, float]] = []
    e: float | None = None
    # Own history is no concurrent control: time is confounded with the release, so E (which fails at once) is not run.
    if valid_control and not window.weak:
        path = _e_path(name, window.buckets, canary, control, rules.rho0)
        e = path[-1][1] if path else 1.0
        if e >= rules.e_alarm:
            fails.append(f"{name} {_ratio_text(found)}, E {e:.3g} >= {rules.e_alarm:g}")
    worst, stratum_fail = _strata(name, canary, control, rules, concurrent=valid_control and not window.weak)
    if stratum_fail:
        fails.append(stratum_fail)
    perm = permutation(
        [_per_100h(t, name) for t in canary if t.hours > 0], [_per_100h(t, name) for t in control if t.hours > 0]
    )
    spread = [v for v in (_phi(canary, name), _phi(control, name)) if v is not None]
    passes = False
    if rules.ratio_limit is not None:
        if not valid_control:
            undecided.append(f"only {len(control)} matched controls, {rules.min_control} needed")
        elif found.high is None:
            undecided.append(
                f"{name}: no event in {hours_c:.0f} + {hours_b:.0f} robot-h; at most {100 * rate_upper(0, hours_c):.1f} per 100 h"
            )
        elif found.high >= rules.ratio_limit:
            undecided.append(
                f"{name} {_ratio_text(found)}: up to {_times(found.high)} not ruled out, x{rules.ratio_limit:g} must be"
            )
        elif found.p is not None and max(found.p, perm if perm is not None else 0.0) < 0.01:
            # Within the limit but shown worse by both tests: that is for people to weigh, not to promote by rule.
            undecided.append(
                f"{name} {_ratio_text(found)}: shown worse than x{rules.rho0:g}, though below x{rules.ratio_limit:g}"
            )
        else:
            passes = True
            notes.append(f"{name}: upper bound {_times(found.high)} < x{rules.ratio_limit:g}")
    if window.weak:
        notes.append("weak: the controls are the robots' own past; time and release can't be told apart")
    signal = _rate_signal(name, (count_c, hours_c), (count_b, hours_b), coverage=coverage, found=found, e=e)
    return _Rate(
        signal=signal, fails=fails, undecided=undecided, notes=notes, passes=passes, path=tuple(path), worst=worst,
        phi=max(spread) if spread else None, perm=perm,
    )  # fmt: skip


def _e_path(
    name: str, buckets: Sequence[Bucket], canary: Iterable[Track], control: Iterable[Track], rho0: float
) -> list[tuple[float, float]]:
    """E after every event, in event time, recomputed from the whole log: late events simply take their place."""
    moments = [(t, True) for track in canary for t in track.moments.get(name, ())]
    moments += [(t, False) for track in control for t in track.moments.get(name, ())]
    moments.sort()
    ends = [bucket.t for bucket in buckets]
    events: list[Moment] = []
    for t, mine in moments:
        at = min(bisect_left(ends, t), len(buckets) - 1)
        exposed = buckets[at] if buckets else Bucket(t, 0.0, 0.0)
        events.append(Moment(mine, exposed.hours_c, exposed.hours_b))
    return [(t, e) for (t, _), e in zip(moments, canary_e(events, rho0), strict=True)]


def _strata(
    name: str, canary: Sequence[Track], control: Sequence[Track], rules: Rules, *, concurrent: bool
) -> tuple[str, str]:
    """The worst stratum in words, and why it fails if it does: E per stratum, its alarm raised by their number."""
    strata = sorted({t.stratum for t in canary})
    worst, worst_key, failure = "", (0.0, 0.0), ""
    for stratum in strata:
        mine = [t for t in canary if t.stratum == stratum]
        theirs = [t for t in control if t.stratum == stratum]
        count, hours = _count(mine, name), _sum(t.hours for t in mine)
        key = (count / hours if hours > 0 else 0.0, float(count))
        if count and key > worst_key:
            worst_key = key
            worst = f"{stratum} {count} in {hours:.0f}h"
        hours_b = _sum(t.hours for t in theirs)
        if not concurrent or len(theirs) < rules.min_control or len(strata) < 2 or hours <= 0 or hours_b <= 0:
            continue
        moments = sorted(
            [(t, True) for r in mine for t in r.moments.get(name, ())]
            + [(t, False) for r in theirs for t in r.moments.get(name, ())]
        )
        path = canary_e([Moment(own, hours, hours_b) for _, own in moments], rules.rho0)
        alarm = rules.e_alarm * len(strata)
        if path and path[-1] >= alarm:
            found = rate_ratio(count, hours, _count(theirs, name), hours_b)
            failure = f"{name} at {stratum} {_ratio_text(found)}, E {path[-1]:.3g} >= {alarm:g}"
    return worst, failure


def _judge_level(
    signal: tuple[str, str, str],
    rules: Rules,
    *,
    limit: float,
    canary: Sequence[Track],
    control: Sequence[Track],
    coverage: float,
) -> tuple[Signal, str]:
    """A continuous signal: one value per robot, rank test, and the Hodges-Lehmann shift as its size."""
    name, unit, worse = signal
    mine = [t.levels[name] for t in canary if name in t.levels]
    theirs = [t.levels[name] for t in control if name in t.levels]
    if not mine or len(theirs) < rules.min_control:
        shown = f"{median(mine):.1f} {len(mine)} robots" if mine else "-"
        return Signal(
            name=name, unit=unit, canary=shown, control="-", coverage=coverage, flag="", text=f"{name}: no comparison"
        ), ""
    p = mann_whitney(mine, theirs, "greater" if worse == "higher" else "less")
    shift, base = hodges_lehmann(mine, theirs) or 0.0, median(theirs)
    share = shift / base if base else 0.0
    bad = p is not None and p < limit and (share if worse == "higher" else -share) > rules.continuous_worse
    text = f"{name} {share:+.0%}, {median(mine):.1f} {unit} on {len(mine)} robots against {base:.1f} {unit} on {len(theirs)}, p {p:.2g}"
    row = Signal(
        name=name, unit=unit, canary=f"{median(mine):.1f} {len(mine)} robots", control=f"{base:.1f} {len(theirs)} robots",
        ratio=1 + share, coverage=coverage, flag="!" if bad else "=", text=text,
    )  # fmt: skip
    return row, f"{text}: worse by more than {rules.continuous_worse:.0%}" if bad else ""


def _rate_signal(
    name: str,
    canary: tuple[int, float],
    control: tuple[int, float],
    *,
    coverage: float,
    flag: str = "",
    found: Ratio | None = None,
    e: float | None = None,
) -> Signal:
    (count, hours), (count_b, hours_b) = canary, control
    found = found or rate_ratio(count, hours, count_b, hours_b)
    if found.ratio is None:
        text = f"{name} U95 {100 * rate_upper(count, hours):.2g}/100h" if hours > 0 else f"{name}: no exposure"
    else:
        text = f"{name} {_ratio_text(found)}"
    finite = [v if v is None or math.isfinite(v) else None for v in (found.ratio, found.low, found.high)]
    return Signal(
        name=name, unit="/100h", canary=_rate_text(count, hours), control=_rate_text(count_b, hours_b),
        ratio=finite[0], low=finite[1], high=finite[2], e=e, coverage=coverage, flag=flag, text=text,
    )  # fmt: skip


def _needed_hours(rules: Rules, control_events: int, control_hours: float) -> float:
    """Robot-hours in which the stage expects its events at the controls' rate (the policy's while they had too few)."""
    rate = (
        control_events / control_hours if control_events >= 5 and control_hours > 0 else rules.baseline_per_100h / 100
    )
    # A quiet fleet must not make the stage endless: at most twice the time the policy's own rate asks for.
    return rules.expected_events / max(rate, rules.baseline_per_100h / 200) if rules.expected_events else 0.0


def _control_text(control: Sequence[Track], weak: bool, rules: Rules) -> str:
    if weak:
        return f"weak: own past of {len(control)} robots (fewer than {rules.min_control} matched controls)"
    return f"{len(control)} robots of the same site and variant, not yet updated"


def _count(tracks: Iterable[Track], name: str) -> int:
    return sum(len(t.moments.get(name, ())) for t in tracks)


def _sum(values: Iterable[float]) -> float:
    return math.fsum(values)


def _per_100h(track: Track, name: str) -> float:
    return 100 * len(track.moments.get(name, ())) / track.hours


def _phi(tracks: Sequence[Track], name: str) -> float | None:
    return dispersion([(float(len(t.moments.get(name, ()))), t.hours) for t in tracks])


def _rate_text(count: int, hours: float) -> str:
    return f"{100 * count / hours:.1f} {count}/{hours:.0f}h" if hours > 0 else f"- {count}/0h"


def _times(value: float) -> str:
    return "x" + (f"{value:.1f}" if math.isfinite(value) else "any")


def _ratio_text(found: Ratio) -> str:
    if found.low is None or found.high is None or found.ratio is None:
        return "no ratio"
    high = f"{found.high:.1f}" if math.isfinite(found.high) else "inf"
    if not math.isfinite(found.ratio):
        return f"none in control [{found.low:.1f} {high}]"
    return f"{found.ratio:.1f}x control [{found.low:.1f} {high}]"


def _span(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    return f"{minutes // 60}h{minutes % 60:02d}" if minutes >= 60 else f"{minutes}min"
