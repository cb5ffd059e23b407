"""What a person is shown before they sign a snapshot, and what bars the signature. Pure."""

from __future__ import annotations

from typing import Any

from engine.capabilities.data.agreement import sentence
from engine.contract.datasets import SnapshotView
from engine.contract.sessions import SessionView

Json = Any


def evidence(snapshot: SnapshotView) -> Json:
    """What the sign-off is bound to (domain section 4, "At the gate"), in the order a person reads it."""
    f, c, v = snapshot.funnel, snapshot.checks, snapshot.curation
    short = [one for one in snapshot.coverage if one.have < one.need]
    left_out = {name: count for name, count in f.reasons.items() if count}
    same = "not known" if v.rank_correlation is None else f"{v.rank_correlation:.2f}"
    return {
        "flags": list(snapshot.flags) or ["none"],
        "funnel": f"ingested {f.ingested} > valid {f.valid} > labelled {f.labelled} > kept {snapshot.episodes}; "
        f"quarantined {f.quarantined}, repaired {f.repaired}",
        "left_out": left_out,
        "labels": sentence(snapshot.agreement, snapshot.audit),
        "coverage": [
            {"cell": one.key, "have": one.have, "need": one.need, "waived_by": one.waived} for one in (short or snapshot.coverage)[:20]
        ],
        "n_eff": snapshot.n_eff,
        "shift": [{"feature": one.feature, "psi": one.psi, "p": one.p, "flag": one.flag} for one in snapshot.shift[:5]],
        "shift_against": snapshot.shift_against,
        "experience": f"{snapshot.interventions} interventions, {snapshot.failures} failures in {snapshot.episodes} episodes",
        "contamination": f"{snapshot.contamination}/{snapshot.episodes}; {c.pack_cases} evaluation cases compared",
        "exceptions": f"residency {c.residency}, consent {c.consent}, licence {c.unlicensed} left out",
        "curation": f"rule {v.rule}: {v.excluded} left out; episode length alone {v.baseline_excluded}, {v.both_excluded} of them the same "
        f"(rank correlation {same})",
        "splits": snapshot.splits, "groups": snapshot.groups, "hours": snapshot.hours, "gpu_hours": snapshot.gpu_hours,
        "licence": snapshot.licence or "not stated", "consent_basis": snapshot.consent_basis or "each recording's own",
        "root_digest": snapshot.root_digest, "manifest": snapshot.manifest, "schema": snapshot.schema, "profile": snapshot.profile,
        "parents": list(snapshot.parents), "episodes": snapshot.episodes,
    }  # fmt: skip


def blockers(snapshot: SnapshotView, leaks: list[str]) -> list[str]:
    """Why it can't be signed, in the order a person would mend it."""
    found = []
    if not snapshot.episodes:
        found.append("no episode is left in it")
    elif not snapshot.splits.get("train"):
        found.append("no group of sessions went to training: there are too few groups to divide")
    if snapshot.audit.open:
        found.append(f"{snapshot.audit.open} audits are still open")
    short = [one for one in snapshot.coverage if one.short]
    if short:
        found.append(f"{len(short)} coverage gaps, the largest {short[0].key} ({short[0].have}/{short[0].need})")
    if leaks:
        found.append(f"{len(leaks)} leaks: {leaks[0]}")
    return found


def flags(snapshot: SnapshotView) -> list[str]:
    """What a person should see before they sign, though it does not bar it."""
    found = [f"shift {one.feature} PSI {one.psi:.2f}" for one in snapshot.shift if one.flag][:5]
    if snapshot.agreement.word in ("tentative", "reject"):
        found.append(f"label agreement is {snapshot.agreement.word}")
    if snapshot.agreement.word == "none":
        found.append("no session was labelled twice")
    if snapshot.audit.word == "fail":
        found.append(f"the label audit found {snapshot.audit.k} wrong of {snapshot.audit.n}")
    waived = sum(bool(one.waived) for one in snapshot.coverage)
    if waived:
        found.append(f"{waived} cells are waived")
    found += [f"split {name} is empty" for name, count in snapshot.splits.items() if not count and name != "train"]
    for name in ("residency", "consent", "contaminated", "unlicensed"):
        if count := getattr(snapshot.checks, name):
            found.append(f"{count} left out: {name}")
    return found


def unlike(sessions: list[SessionView]) -> list[str]:
    """LeRobot data sets merge only when they have the same features; what was recorded with people helping has one more."""
    held: dict[str, frozenset[str]] = {}
    for one in sessions:
        if one.format == "lerobot-v3":
            held.setdefault(one.container, frozenset(one.columns))
    if len(set(held.values())) < 2:
        return []
    apart = sorted(frozenset.union(*held.values()) - frozenset.intersection(*held.values()))
    return [f"{len(held)} LeRobot data sets differ in {', '.join(apart[:4])}: they won't merge before it is filled in"]
