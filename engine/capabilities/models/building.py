"""From an approved candidate to an artifact: packed so that the same content gives the same digest, with what it is made
of (CycloneDX 1.6), where it came from (SLSA v1 provenance) and a signature over all of it.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.models import signing, trials
from engine.capabilities.models.registering import candidate_of, checked, pack_of
from engine.capabilities.models.runner import Bench, program
from engine.capabilities.ports import ActionError, Context
from engine.capabilities.records import Change, Emit
from engine.contract.models import ArtifactView, CandidateView, Check, PackView

Json = Any
Input = dict[str, Json]

FORMAT = "quarterdeck-artifact/1"
ENTRY = "model/policy.bin"
TAR = "application/x-tar"
CYCLONEDX = "application/vnd.cyclonedx+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
RELEASE = "https://in-toto.io/attestation/release/v0.1"
SLSA = "https://slsa.dev/provenance/v1"
BOM = "https://cyclonedx.org/bom"
BUILD_TYPE = "https://quarterdeck.dev/build/policy-archive/v1"


async def artifact_of(context: Context, id_: str) -> ArtifactView:
    found = await context.records.get("artifact", str(id_))
    if found is None:
        raise ActionError("NoArtifact", f"there is no artifact {str(id_)[:80]}", retryable=False)
    return found  # type: ignore[no-any-return]


async def build(context: Context, given: Input) -> Json:
    """Packs the model; twice, when the policy asks whether the build is reproducible."""
    policy = context.policy("release")
    rules = policy["build"]
    candidate = await candidate_of(context, given["candidate"])
    pack = await pack_of(context, candidate)
    had = [one for one in await trials.had(context, candidate.id, candidate.pack) if one.pack == candidate.pack]
    if candidate.state == "approved" and not await trials.same_as_compared(context, candidate, had):
        raise ActionError(
            "EvidenceStale",
            "its trials changed after it was approved: it has to be decided on again",
            kind="conflict",
            retryable=False,
        )
    precision = str(rules["precision"])
    version = candidate.version or await _next_version(context, candidate)
    archives: list[bytes] = []
    for _ in range(2 if rules["reproduce"] else 1):
        model = await _converted(context, candidate, pack, precision)
        manifest = manifest_of(candidate, version, rules, model_digest=model[0], precision=precision)
        archives.append(await asyncio.to_thread(archive, manifest, model[1]))
    if len(archives) == 2 and archives[0] != archives[1]:
        raise ActionError(
            "NotReproducible", "two builds of the same content differ: what was evaluated can't be shown to be what is shipped",
            retryable=False,
        )  # fmt: skip
    vault = context.vault
    kept = await asyncio.to_thread(vault.put_bytes, archives[0], media=TAR, name=f"{candidate.line}-{version}.tar")
    about = await asyncio.to_thread(
        vault.put_bytes,
        msgspec.json.encode(manifest, order="sorted"),
        media="application/json",
        name=f"manifest {version}",
    )
    id_ = f"A-{kept.digest[7:15]}"
    known = await context.records.get("artifact", id_)
    if known is not None and known.candidate != candidate.id:
        raise ActionError(
            "BuiltBefore", f"{id_} has the same content and belongs to {known.candidate}", retryable=False
        )
    fields = {
        "title": f"{candidate.line} {version}", "digest": kept.digest, "name": candidate.line, "line": candidate.line,
        "version": version, "candidate": candidate.id, "targets": list(rules["targets"]), "requires": dict(rules["requires"]),
        "size_b": kept.size, "precision": precision, "anti_rollback_index": int(rules["anti_rollback_index"]),
        "rollback_target": candidate.baseline.version, "rollback_digest": candidate.baseline.model_digest,
        "safety_relevant": candidate.safety_relevant, "manifest": about.digest,
        "reproduced": True if rules["reproduce"] else None,
    }  # fmt: skip
    told = {
        "artifact": id_,
        "digest": kept.digest,
        "version": version,
        "line": candidate.line,
        "candidate": candidate.id,
    }
    changes = []
    if known is None:
        changes.append(
            Change(kind="artifact", id=id_, key=kept.digest, set=fields, emit=(Emit("qd.artifact.built", told),))
        )
    says = f"{kept.size} bytes, " + ("built twice, same digest" if rules["reproduce"] else "built once")
    changes.append(
        Change(
            kind="candidate", id=candidate.id, to="built" if candidate.state == "approved" else "",
            set={"artifact": id_, "version": version, "checks": checked(candidate, Check(name="build", ok=True, says=says))},
        )
    )  # fmt: skip
    await context.records.change_many(changes)
    return told | {"size_b": kept.size, "manifest": about.digest}


async def _next_version(context: Context, candidate: CandidateView) -> str:
    """The version the policy plans for the line, once; else counted per line. The same candidate keeps its own."""
    made = await context.records.find("artifact", where={"line": candidate.line}, limit=10_000)
    own = next((one.version for one in made if one.candidate == candidate.id), "")
    planned = str((context.policy("release").get("versions") or {}).get(candidate.line) or "")
    if planned and any(one.version == planned for one in made):
        planned = ""
    return own or planned or f"{candidate.line}-{len(made) + 1}"


async def _converted(context: Context, candidate: CandidateView, pack: PackView, precision: str) -> tuple[str, bytes]:
    """The model as it is shipped: as it was evaluated, or in another precision made by the line's own program."""
    source = context.vault.path(candidate.model_digest)
    if not candidate.precision or precision == candidate.precision:
        return candidate.model_digest, await asyncio.to_thread(source.read_bytes)
    policy = context.policy("release")
    bench: Bench = context.port("evaluation")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="qd-build-") as folder:
        out = Path(folder) / "model.bin"
        job = {"kind": "convert", "model": str(source), "out": str(out), "precision": precision}
        digest = ""
        async for said in bench.lines(
            program(policy, pack.runner),
            job,
            wanted=lambda: not context.cancelled(),
            limit_s=float(policy["bench_wall"]),
        ):
            if said.get("event") == "converted":
                digest = str(said.get("digest", ""))
        data = await asyncio.to_thread(out.read_bytes)
    kept = await asyncio.to_thread(
        context.vault.put_bytes, data, media="application/octet-stream", name=f"{candidate.id} {precision}"
    )
    if kept.digest != digest:
        raise ActionError(
            "BenchTrouble", "the converted model is not what the program said it wrote", kind="unavailable"
        )
    return kept.digest, data


def manifest_of(
    candidate: CandidateView, version: str, rules: Mapping[str, Json], *, model_digest: str, precision: str
) -> dict[str, Json]:
    """What the robot reads. No time stands in it: the same content is the same artifact."""
    return {
        "format": FORMAT, "name": candidate.line, "kind": "model", "line": candidate.line, "version": version,
        "targets": sorted(rules["targets"]), "requires": dict(sorted(rules["requires"].items())), "entry": ENTRY,
        "anti_rollback_index": int(rules["anti_rollback_index"]), "migrations": [],
        "rollback_target": candidate.baseline.version,
        "model": {
            "digest": model_digest, "evaluated_digest": candidate.model_digest, "precision": precision or candidate.precision,
            "params": candidate.params, "tasks": list(candidate.tasks),
        },
        "made_from": {
            "snapshot": candidate.snapshot_digest or candidate.snapshot, "recipe": candidate.recipe_digest,
            "seed": candidate.seed, "pack": candidate.pack_digest, "evidence": candidate.evidence,
        },
    }  # fmt: skip


def archive(manifest: Mapping[str, Json], model: bytes) -> bytes:
    """A tar with no owner, no time and a fixed order (ustar), so that its bytes depend on its content alone."""
    members = {
        "manifest.json": msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n",
        ENTRY: model,
    }
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(members[name]), 0o644, 0
            tar.addfile(info, io.BytesIO(members[name]))
    return out.getvalue()


async def sign(context: Context, given: Input) -> Json:
    """A release statement over archive and manifest, signed with the installation's key."""
    artifact = await artifact_of(context, given["artifact"])
    if artifact.signature:
        return {"signature": artifact.signature, "key_id": artifact.key_id}
    candidate = await candidate_of(context, artifact.candidate)
    predicate = {"purl": f"pkg:generic/{artifact.name}@{artifact.version}", "releaseId": artifact.id}
    subjects = {f"{artifact.name}-{artifact.version}.tar": artifact.digest, "manifest.json": artifact.manifest}
    signed = await _signed(context, signing.statement(subjects, RELEASE, predicate))
    kept = await _keep(context, signed.envelope, f"signature {artifact.version}")
    await context.records.change_many(
        (
            Change(
                kind="artifact", id=artifact.id, to="signed",
                set={"signature": kept, "key_id": signed.key_id, "public_key": signed.public_key},
            ),
            Change(
                kind="candidate", id=candidate.id,
                set={"checks": checked(candidate, Check(name="sign", ok=True, says=f"Ed25519, key {signed.key_id[7:15]}"))},
            ),
        )
    )  # fmt: skip
    return {"signature": kept, "key_id": signed.key_id}


async def attest(context: Context, given: Input) -> Json:
    """The bill of materials and the provenance, each in a signed envelope."""
    artifact = await artifact_of(context, given["artifact"])
    if artifact.sbom and artifact.provenance:
        return {"sbom": artifact.sbom, "provenance": artifact.provenance}
    candidate = await candidate_of(context, artifact.candidate)
    comparison = await context.records.get("comparison", candidate.comparison)
    name = f"{artifact.name}-{artifact.version}.tar"
    bom = sbom_of(artifact, candidate, comparison, context.now())
    plain = await asyncio.to_thread(
        context.vault.put_bytes,
        msgspec.json.encode(bom),
        media=CYCLONEDX,
        name=f"{artifact.name}-{artifact.version}.cdx.json",
    )
    origin = provenance_of(artifact, candidate, context, [{"name": "sbom", "digest": {"sha256": plain.digest[7:]}}])
    sbom = await _keep(
        context,
        (await _signed(context, signing.statement({name: artifact.digest}, BOM, bom))).envelope,
        f"sbom {artifact.version}",
    )
    provenance = await _keep(
        context,
        (await _signed(context, signing.statement({name: artifact.digest}, SLSA, origin))).envelope,
        f"provenance {artifact.version}",
    )
    await context.records.change_many(
        (
            Change(kind="artifact", id=artifact.id, set={"sbom": sbom, "provenance": provenance}),
            Change(
                kind="candidate", id=candidate.id,
                set={"checks": checked(candidate, Check(name="sbom", ok=True, says=f"CycloneDX 1.6, {len(bom['components'])} parts"))},
            ),
        )
    )  # fmt: skip
    return {"sbom": sbom, "provenance": provenance}


async def _signed(context: Context, statement: dict[str, Json]) -> signing.Signed:
    rules = context.policy("release")["signing"]
    signer: signing.Signer = context.port("signing")
    return await asyncio.to_thread(signer.sign, statement, key=str(rules["key"]), create=bool(rules["create"]))


async def _keep(context: Context, envelope: Mapping[str, Json], name: str) -> str:
    kept = await asyncio.to_thread(context.vault.put_bytes, msgspec.json.encode(envelope), media=ENVELOPE, name=name)
    return str(kept.digest)


def sbom_of(artifact: ArtifactView, candidate: CandidateView, comparison: Any, now: float) -> dict[str, Json]:
    """CycloneDX 1.6 (ECMA-424): the archive, the model with its card, the data it learnt from, what it was tried with."""
    import uuid
    from datetime import UTC, datetime

    def hashes(digest: str) -> list[dict[str, str]]:
        return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}] if digest.startswith("sha256:") else []

    metrics = [
        {
            "type": "success rate", "value": f"{row.k1:g}/{row.n1}", "slice": row.task,
            "confidenceInterval": {"lowerBound": f"{row.low:+.3f}", "upperBound": f"{row.high:+.3f}"},
        }
        for row in (comparison.tasks if comparison is not None else ())
    ]  # fmt: skip
    parts: list[dict[str, Json]] = [
        {
            "type": "machine-learning-model", "bom-ref": "model", "name": candidate.line, "version": artifact.version,
            "hashes": hashes(candidate.model_digest),
            "modelCard": {
                "modelParameters": {"approach": {"type": "supervised"}, "datasets": [{"ref": "snapshot"}]},
                "quantitativeAnalysis": {"performanceMetrics": metrics},
                "considerations": {
                    "useCases": list(candidate.tasks),
                    "technicalLimitations": [candidate.sentence, f"compared with {candidate.baseline.label}, not absolutely"],
                },
            },
        },
        {"type": "data", "bom-ref": "snapshot", "name": candidate.snapshot or "not known", "hashes": hashes(candidate.snapshot_digest)},
        {"type": "data", "bom-ref": "recipe", "name": "training recipe", "hashes": hashes(candidate.recipe_digest)},
        {"type": "data", "bom-ref": "pack", "name": candidate.pack, "hashes": hashes(candidate.pack_digest)},
        {"type": "file", "bom-ref": "manifest", "name": "manifest.json", "hashes": hashes(artifact.manifest)},
    ]  # fmt: skip
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, artifact.digest)}",
        "metadata": {
            "timestamp": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application", "bom-ref": "artifact", "name": artifact.name, "version": artifact.version,
                "hashes": hashes(artifact.digest),
            },
        },
        "components": parts,
        "dependencies": [{"ref": "artifact", "dependsOn": ["model", "manifest"]}, {"ref": "model", "dependsOn": ["snapshot", "recipe"]}],
    }  # fmt: skip


def provenance_of(
    artifact: ArtifactView, candidate: CandidateView, context: Context, byproducts: list[dict[str, Json]]
) -> dict[str, Json]:
    """SLSA provenance v1: what went in, by digest, and which run built it."""
    materials = {
        "model": candidate.model_digest, "snapshot": candidate.snapshot_digest, "recipe": candidate.recipe_digest,
        "evaluation-pack": candidate.pack_digest, "comparison": candidate.evidence, "baseline": candidate.baseline.model_digest,
    }  # fmt: skip
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"candidate": candidate.id, "version": artifact.version, "targets": list(artifact.targets)},
            "internalParameters": {"precision": artifact.precision, "reproduced": artifact.reproduced},
            "resolvedDependencies": [
                {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
                for name, digest in materials.items()
                if digest.startswith("sha256:")
            ],
        },
        "runDetails": {
            "builder": {"id": "https://quarterdeck.dev/engine"},
            "metadata": {"invocationId": f"{context.run}/{context.path}"},
            "byproducts": byproducts,
        },
    }  # fmt: skip
