"""Views of models that are computed when they are asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.capabilities.models import signing
from engine.capabilities.reads import Look, Read
from engine.capabilities.vault import VaultError
from engine.contract.models import ArtifactView, CandidateView, Check, Scoreboard, TrialView, Verified

Json = Any
SHOWN = 200


def scoreboard(look: Look, at: dict[str, str], query: dict[str, str]) -> Scoreboard | None:
    """A candidate with its newest comparison, its artifact, what was left out and what went worst."""
    candidate: CandidateView | None = look.get("candidate", at["candidate"])
    if candidate is None:
        return None
    comparison = look.get("comparison", candidate.comparison) if candidate.comparison else None
    artifact = look.get("artifact", candidate.artifact) if candidate.artifact else None
    pack = look.get("pack", candidate.pack) if candidate.pack else None
    excluded = look.find("trial", state="excluded", where={"candidate": candidate.id}, limit=SHOWN)
    worst: list[TrialView] = []
    for one in comparison.worst if comparison is not None else ():
        found = look.get("trial", str(one.get("trial", "")))
        if found is not None:
            worst.append(found)
    gate = (
        look.one(
            "select id, seats_total - seats_open, seats_total from gates where run = ? and state = 'open' order by opened_at desc limit 1",
            (candidate.run,),
        )
        if candidate.run
        else None
    )
    return Scoreboard(
        candidate=candidate, comparison=comparison, artifact=artifact, pack=pack, excluded=tuple(excluded), worst=tuple(worst),
        open_gate=str(gate[0]) if gate else "", seats=f"{gate[1]} of {gate[2]}" if gate else "",
    )  # fmt: skip


def verify(look: Look, at: dict[str, str], query: dict[str, str]) -> Verified | None:
    """The artifact from its bytes: digest, signature, bill of materials, provenance, each by itself."""
    artifact: ArtifactView | None = look.get("artifact", at["artifact"])
    if artifact is None:
        return None
    checks = [_bytes(look, "archive", artifact.digest), _bytes(look, "manifest", artifact.manifest)]
    for name, digest in (
        ("signature", artifact.signature),
        ("bill of materials", artifact.sbom),
        ("provenance", artifact.provenance),
    ):
        checks.append(_envelope(look, name, digest, artifact))
    return Verified(artifact=artifact.id, sound=all(one.ok for one in checks), checks=tuple(checks))


def _bytes(look: Look, name: str, digest: str) -> Check:
    try:
        good = look.vault.verify(digest)
    except VaultError as error:
        return Check(name=name, ok=False, says=str(error))
    return Check(name=name, ok=good, says=digest if good else f"what stands under {digest} was changed")


def _envelope(look: Look, name: str, digest: str, artifact: ArtifactView) -> Check:
    if not digest:
        return Check(name=name, ok=False, says="there is none")
    try:
        envelope = msgspec.json.decode(look.vault.read(digest))
    except (VaultError, msgspec.DecodeError) as error:
        return Check(name=name, ok=False, says=str(error))
    why = signing.verified(envelope, artifact.public_key, artifact.digest)
    return Check(name=name, ok=not why, says=why or f"Ed25519, key {artifact.key_id}")


READS: tuple[Read, ...] = (
    Read(path="/v1/candidates/{candidate}/scoreboard", shape=Scoreboard, says="A candidate beside its baseline", give=scoreboard),
    Read(path="/v1/artifacts/{artifact}/verify", shape=Verified, says="An artifact checked from its bytes", give=verify),
)  # fmt: skip
