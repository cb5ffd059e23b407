"""A candidate against its baseline, from their trials: a pure function of what was recorded.

Rules:
1. A trial of the candidate and one of the baseline on the same task and seed are a pair. A pair with an excluded or a
   missing half says nothing; a time-out is a failure, never left out.
2. Sequential: each task carries three betting e-processes (better, not worse by the margin, worse) over its pairs in the
   order of the plan; they may be looked at after every batch. 1/max K so far is an anytime-valid p; Holm over the tasks.
3. Overall is judged on whole rounds (one pair of every task), so that giving undecided tasks more trials does not bend it.
4. Fixed n: judged once, when every task has all its trials; never before (that would be stopping outside the plan).
5. One causal safety event of the candidate decides: `safety_fail`. Everything that is not shown is `inconclusive`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from engine.core.proportions import barnard, chance_better, newcombe, not_worse
from engine.core.statistics import bet_e, holm, rate_upper

BETTER: Final = "better"
NO_WORSE: Final = "no worse"
WORSE: Final = "worse"
UNDECIDED: Final = "undecided"
Word = Literal["better", "no worse", "worse", "undecided"]
Verdict = Literal["better", "non_inferior", "inconclusive", "worse", "safety_fail", "more"]

CAP = 1e12
"""K is shown and stored up to here; beyond, the digits mean nothing."""


class Plan(Struct, frozen=True, kw_only=True):
    """What was fixed before the first trial. Margins are shares (0.05 = 5 points), `n_max` pairs per task."""

    test: Literal["sequential", "fixed"] = "sequential"
    alpha: float = 0.05
    margin: float = 0.05
    task_margin: float = 0.10
    n_max: int = 200
    score: Literal["success", "rubric"] = "success"


class Half(Struct, frozen=True):
    """One trial, as it counts. `value` in 0..1; `causal` safety events are the arm's own doing."""

    arm: Literal["candidate", "baseline"]
    task: str
    seed: int
    value: float
    duration_s: float = 0.0
    causal: int = 0
    excluded: bool = False


class TaskFound(Struct, frozen=True, kw_only=True):
    """One row of the comparison. `k_*` are the highest values so far; `path` the not-worse process, pair by pair."""

    task: str
    k1: float
    n1: int
    k0: float
    n0: int
    diff: float
    low: float
    high: float
    k_better: float
    k_no_worse: float
    k_worse: float
    word: Word
    pairs: int
    left: int
    for_it: int = 0
    against: int = 0
    p_better: float = 1.0
    p_no_worse: float = 1.0
    p_worse: float = 1.0
    chance_better: float | None = None
    path: tuple[float, ...] = ()


class Found(Struct, frozen=True, kw_only=True):
    """What the trials say. `open` are tasks that may still be given trials; hours are the candidate's."""

    verdict: Verdict
    sentence: str
    tasks: tuple[TaskFound, ...] = ()
    overall: TaskFound | None = None
    open: tuple[str, ...] = ()
    safety_events: int = 0
    hours: float = 0.0
    safety_upper_100h: float | None = None
    excluded: int = 0
    unpaired: int = 0


class _Task(Struct):
    pairs: list[tuple[int, float, float]] = field(default_factory=list)
    counts: dict[str, tuple[float, int]] = field(default_factory=dict)


def compare(trials: Iterable[Half], plan: Plan, tasks: Sequence[str], seeds: Mapping[str, Sequence[int]]) -> Found:
    """Judges. `tasks` in the pack's order; `seeds` gives each task's seeds in the order of the plan."""
    given = list(trials)
    excluded = sum(1 for one in given if one.excluded)
    kept = {(one.arm, one.task, one.seed): one for one in given if not one.excluded}
    gathered: dict[str, _Task] = {}
    unpaired = 0
    for task in tasks:
        found = _Task(counts={"candidate": (0.0, 0), "baseline": (0.0, 0)})
        for seed in seeds.get(task, ()):
            first, second = kept.get(("candidate", task, seed)), kept.get(("baseline", task, seed))
            for one in (first, second):
                if one is not None:
                    k, n = found.counts[one.arm]
                    found.counts[one.arm] = (k + one.value, n + 1)
            if first is not None and second is not None:
                found.pairs.append((seed, first.value, second.value))
            elif first is not None or second is not None:
                unpaired += 1
        gathered[task] = found
    asked = {task: {*seeds.get(task, ())} for task in tasks}
    own = [one for one in given if one.arm == "candidate"]
    hours = sum(one.duration_s for one in own) / 3600
    events = sum(one.causal for one in own)
    rows = _judged(gathered, plan, {task: len(asked[task]) for task in tasks}, given)
    overall = _overall(gathered, plan)
    verdict, open_ = _verdict(rows, overall, plan, events)
    return Found(
        verdict=verdict,
        sentence=_sentence(verdict, rows, overall, plan, (events, hours)),
        tasks=tuple(rows),
        overall=overall,
        open=open_,
        safety_events=events,
        hours=hours,
        safety_upper_100h=100 * rate_upper(events, hours) if hours > 0 else None,
        excluded=excluded,
        unpaired=unpaired,
    )


def _row(name: str, found: _Task, margin: float, left: int, *, exact: bool = True) -> TaskFound:
    (k1, n1), (k0, n0) = found.counts["candidate"], found.counts["baseline"]
    differences = [first - second for _, first, second in found.pairs]
    better, no_worse = bet_e(differences), bet_e(differences, margin)
    worse = bet_e([-x for x in differences])
    whole = exact and all(first in (0.0, 1.0) and second in (0.0, 1.0) for _, first, second in found.pairs)
    low, high = newcombe(round(k1), n1, round(k0), n0)
    return TaskFound(
        task=name, k1=round(k1, 6), n1=n1, k0=round(k0, 6), n0=n0,
        diff=(k1 / n1 - k0 / n0) if n1 and n0 else 0.0, low=low, high=high,
        k_better=_peak(better), k_no_worse=_peak(no_worse), k_worse=_peak(worse), word=UNDECIDED, pairs=len(found.pairs),
        left=left, for_it=sum(1 for x in differences if x > 0), against=sum(1 for x in differences if x < 0),
        chance_better=chance_better(round(k1), n1, round(k0), n0) if whole and n1 and n0 else None,
        path=tuple(min(value, CAP) for value in no_worse),
    )  # fmt: skip


def _peak(path: Sequence[float]) -> float:
    return min(CAP, max(path, default=1.0))


def _judged(gathered: dict[str, _Task], plan: Plan, asked: dict[str, int], given: Sequence[Half]) -> list[TaskFound]:
    """The rows with their words, adjusted over the tasks."""
    tried = {task: {one.seed for one in given if one.task == task} for task in gathered}
    rows = [
        _row(task, found, plan.task_margin, max(0, min(plan.n_max, asked[task]) - len(tried[task])))
        for task, found in gathered.items()
    ]
    ps: dict[str, list[float]] = {"better": [], "no_worse": [], "worse": []}
    for row in rows:
        if plan.test == "fixed":
            s1, s0 = round(row.k1), round(row.k0)
            ps["better"].append(barnard(s1, row.n1, s0, row.n0))
            ps["no_worse"].append(not_worse(s1, row.n1, s0, row.n0, plan.task_margin))
            ps["worse"].append(barnard(s0, row.n0, s1, row.n1))
        else:
            ps["better"].append(1 / max(1.0, row.k_better))
            ps["no_worse"].append(1 / max(1.0, row.k_no_worse))
            ps["worse"].append(1 / max(1.0, row.k_worse))
    adjusted = {name: holm(values) for name, values in ps.items()}
    early = plan.test == "fixed" and any(row.left for row in rows)
    words: list[TaskFound] = []
    for at, row in enumerate(rows):
        found = {name: adjusted[name][at] for name in adjusted}
        word: Word = UNDECIDED
        if not early and row.pairs:
            if found["worse"] <= plan.alpha:
                word = WORSE
            elif found["better"] <= plan.alpha:
                word = BETTER
            elif found["no_worse"] <= plan.alpha:
                word = NO_WORSE
        words.append(_with(row, word, found["better"], found["no_worse"], found["worse"]))
    return words


def _with(row: TaskFound, word: Word, better: float, no_worse: float, worse: float) -> TaskFound:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return TaskFound(**{**fields, "word": word, "p_better": better, "p_no_worse": no_worse, "p_worse": worse})


def _overall(gathered: dict[str, _Task], plan: Plan) -> TaskFound | None:
    """Whole rounds, each the mean over the tasks; the counts are those of these rounds."""
    if not gathered:
        return None
    rounds = min(len(found.pairs) for found in gathered.values())
    together = _Task(counts={"candidate": (0.0, 0), "baseline": (0.0, 0)})
    share = len(gathered)
    for at in range(rounds):
        halves = [found.pairs[at] for found in gathered.values()]
        first, second = sum(one[1] for one in halves), sum(one[2] for one in halves)
        together.pairs.append((at, first / share, second / share))
        for arm, value in (("candidate", first), ("baseline", second)):
            k, n = together.counts[arm]
            together.counts[arm] = (k + value, n + share)
    row = _row("overall", together, plan.margin, 0, exact=False)
    if plan.test == "fixed":
        s1, s0 = round(row.k1), round(row.k0)
        better, worse = barnard(s1, row.n1, s0, row.n0), barnard(s0, row.n0, s1, row.n1)
        least = not_worse(s1, row.n1, s0, row.n0, plan.margin)
    else:
        better, worse, least = (1 / max(1.0, k) for k in (row.k_better, row.k_worse, row.k_no_worse))
    word: Word = (
        WORSE
        if worse <= plan.alpha
        else BETTER
        if better <= plan.alpha
        else NO_WORSE
        if least <= plan.alpha
        else UNDECIDED
    )
    return _with(row, word if row.pairs else UNDECIDED, better, least, worse)


def _verdict(
    rows: Sequence[TaskFound], overall: TaskFound | None, plan: Plan, events: int
) -> tuple[Verdict, tuple[str, ...]]:
    if events:
        return "safety_fail", ()
    if plan.test == "fixed" and any(row.left for row in rows):
        return "more", tuple(row.task for row in rows if row.left)
    if any(row.word == WORSE for row in rows) or (overall is not None and overall.word == WORSE):
        return "worse", ()
    undecided = [row for row in rows if row.word == UNDECIDED]
    if not undecided and overall is not None and overall.word in (BETTER, NO_WORSE):
        return ("better" if overall.word == BETTER else "non_inferior"), ()
    # with every task decided it is the whole that lacks rounds: each task gets more
    open_ = tuple(row.task for row in (undecided or rows) if row.left)
    return ("more", open_) if open_ else ("inconclusive", ())


def _sentence(
    verdict: Verdict, rows: Sequence[TaskFound], overall: TaskFound | None, plan: Plan, safety: tuple[int, float]
) -> str:
    """The gate's sentence. "worse" only where a bound shows it, never "safe", never a share without its counts."""
    events, hours = safety
    sure = f"{(1 - plan.alpha) * 100:g}%"
    undecided = sum(1 for row in rows if row.word == UNDECIDED)
    worse = [row.task for row in rows if row.word == WORSE]
    if overall is None or not overall.pairs:
        first = "Nothing compared yet"
    elif overall.word == WORSE:
        first = f"Worse overall ({sure})"
    elif overall.word == BETTER:
        first = f"Better overall ({sure})"
    elif overall.word == NO_WORSE:
        first = f"No more than {plan.margin * 100:g} pts worse overall ({sure})"
    else:
        first = f"Not shown within {plan.margin * 100:g} pts overall"
    parts = [first]
    if worse:
        parts.append(f"worse on {', '.join(worse)} ({sure})")
    if undecided:
        parts.append(f"{undecided} task{'s' if undecided > 1 else ''} undecided")
    told = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
    parts.append(f"{events} safety event{'s' if events != 1 else ''} in {told}")
    lead = {"more": "So far: ", "safety_fail": "Safety failure: "}.get(verdict, "")
    return lead + ", ".join(parts) + "."
