"""What a snapshot is, as bytes: one line per episode, their root digest, and the Croissant description.

The root digest is the SHA-256 over the episode lines in order of their content digests; a line binds content, labels
(annotation and revision), split, group and weight. Two snapshots of one root digest hold the same.
Croissant 1.1 (http://mlcommons.org/croissant/1.1): every FileObject with its `sha256`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.contract.datasets import EpisodeRow, Label, SnapshotView
from engine.contract.sessions import SessionView

Json = Any
MEDIA = "application/x-ndjson"
CROISSANT = "application/ld+json"
CONTEXT: dict[str, Json] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


class Episode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One kept episode as the snapshot binds it."""

    session: str
    digest: str
    content: str
    split: str
    group: str
    weight: float = 1.0
    annotation: str = ""
    annotation_rev: int = 0
    labels: tuple[Label, ...] = ()
    robot: str = ""
    site: str = ""
    region: str = ""
    task: str = ""
    duration_s: float = 0.0
    frames: int = 0
    bytes: int = 0
    interventions: int = 0
    format: str = ""
    episode: int = -1
    container: str = ""
    uri: str = ""
    fingerprint: str = ""
    trajectory: str = ""
    conditions: dict[str, str] = {}
    features: dict[str, float] = {}
    bill: dict[str, str] = {}
    corrections: tuple[str, ...] = ()
    consent_basis: str = ""
    licence: str = ""


def lines(episodes: Iterable[Episode]) -> bytes:
    """The episodes as JSON Lines, in the order that the root digest is made of."""
    encode = msgspec.json.Encoder(order="sorted").encode
    return b"".join(encode(one) + b"\n" for one in ordered(episodes))


def ordered(episodes: Iterable[Episode]) -> list[Episode]:
    return sorted(episodes, key=lambda one: (one.content, one.session))


def root_digest(episodes: Iterable[Episode]) -> str:
    """The digest of what the episodes bind. Where they lie (`uri`) is no part of it: a copy is the same data."""
    hashed = hashlib.sha256(b"quarterdeck-snapshot/1\n")
    for one in ordered(episodes):
        labels = hashlib.sha256(msgspec.json.encode(one.labels)).hexdigest()
        bound = (
            one.content,
            one.digest,
            one.annotation,
            str(one.annotation_rev),
            labels,
            one.split,
            one.group,
            repr(one.weight),
        )
        hashed.update("\x1f".join(bound).encode() + b"\n")
    return f"sha256:{hashed.hexdigest()}"


def read(data: bytes) -> list[Episode]:
    """The episodes of a kept document. Raises msgspec.ValidationError."""
    decode = msgspec.json.Decoder(Episode).decode
    return [decode(line) for line in data.splitlines() if line]


def episode(
    session: SessionView, *, split: str, group: str, weight: float, annotation: Any, corrections: Sequence[str]
) -> Episode:
    return Episode(
        session=session.id, digest=session.digest, content=session.content or session.digest, split=split, group=group,
        weight=weight, annotation=annotation.id if annotation else "", annotation_rev=annotation.rev if annotation else 0,
        labels=annotation.labels if annotation else (), robot=session.robot, site=session.site, region=session.region,
        task=session.task, duration_s=session.duration_s, frames=session.frames, bytes=session.bytes,
        interventions=session.interventions, format=session.format, episode=session.episode, container=session.container,
        uri=session.uri, fingerprint=session.fingerprint, trajectory=session.trajectory, conditions=session.conditions,
        features=session.features, bill=session.bill, corrections=tuple(corrections), consent_basis=session.consent_basis,
        licence=session.licence,
    )  # fmt: skip


def row(one: Episode) -> EpisodeRow:
    return EpisodeRow(
        session=one.session, digest=one.digest, split=one.split, group=one.group, weight=one.weight, robot=one.robot,
        site=one.site, task=one.task, duration_s=one.duration_s, annotation=one.annotation, annotation_rev=one.annotation_rev,
    )  # fmt: skip


def croissant(
    snapshot: SnapshotView,
    episodes: Sequence[Episode],
    *,
    episodes_digest: str,
    schema: Mapping[str, Json],
    now: float,
    creator: str,
) -> bytes:
    """The Croissant document: every file with its sha256, the table of episodes as a record set, where it comes from."""
    files: dict[str, Json] = {
        "episodes": {
            "@type": "cr:FileObject",
            "@id": "episodes",
            "name": "episodes.jsonl",
            "contentUrl": "episodes.jsonl",
            "encodingFormat": MEDIA,
            "sha256": episodes_digest.removeprefix("sha256:"),
        }
    }
    for one in ordered(episodes):
        digest = one.container or one.content
        files.setdefault(
            digest,
            {
                "@type": "cr:FileObject",
                "@id": digest,
                "name": one.session if not one.container else digest,
                "contentUrl": f"urn:{digest}",
                "contentSize": f"{one.bytes} B",
                "encodingFormat": "application/x-mcap" if one.format == "mcap" else "application/x-lerobot",
                "sha256": digest.removeprefix("sha256:"),
            },
        )
    fields = [
        ("session", "sc:Text"), ("digest", "sc:Text"), ("split", "sc:Text"), ("group", "sc:Text"), ("weight", "sc:Float"),
        ("robot", "sc:Text"), ("site", "sc:Text"), ("task", "sc:Text"), ("duration_s", "sc:Float"), ("frames", "sc:Integer"),
    ]  # fmt: skip
    document: dict[str, Json] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": f"{snapshot.dataset}-v{snapshot.version}",
        "description": snapshot.purpose or f"{snapshot.dataset}, version {snapshot.version}",
        "version": f"{snapshot.version}.0.0",
        "datePublished": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        "creator": {"@type": "sc:Organization", "name": creator},
        "license": snapshot.licence or "not stated",
        "identifier": snapshot.root_digest,
        "isBasedOn": list(snapshot.parents),
        "distribution": list(files.values()),
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "episode",
                "name": "episode",
                "key": {"@id": "episode/session"},
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"episode/{name}",
                        "name": name,
                        "dataType": kind,
                        "source": {"fileObject": {"@id": "episodes"}, "extract": {"jsonPath": f"$.{name}"}},
                    }
                    for name, kind in fields
                ],
            }
        ],
        "rai:dataAnnotationProtocol": msgspec.json.encode(schema).decode(),
        "rai:annotatorDemographics": f"{len(snapshot.annotators)} people, by pseudonym",
        "rai:dataPreprocessingProtocol": f"curation rule {snapshot.curation.rule}; split by group, seed {snapshot.split_seed}",
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)
