"""The validation profile: what a recording must be like to be used. All numbers come from the policy pack `data`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from engine.capabilities.data.scanning import Caps, Roles, Rules
from engine.capabilities.ports import ActionError

Json = Any


class Intake(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken in at all. Sizes in bytes; `roots` are the folders that may be read (none: any that the engine can)."""

    max_found: float = 5000
    max_depth: float = 8
    max_file_bytes: float = 1e11
    roots: tuple[str, ...] = ()
    caps: Caps = Caps()


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Domain section 4, default policy. Times in s, shares 0..1. `required` are roles that must be there."""

    name: str
    frame_drop: float
    gap_frames: float
    skew: float
    duration_min: float
    duration_max: float
    action_low: float
    action_high: float
    zero_share: float
    mixed_rate: float
    reorder: float
    overlap: float
    future: float
    max_repairs: float
    required: tuple[str, ...]
    fields: tuple[str, ...]
    ignored: tuple[str, ...]
    roles: Roles
    lerobot_data_mb: float
    lerobot_video_mb: float
    lerobot_files: float
    digest: str = ""

    @property
    def ref(self) -> str:
        """Name and the beginning of the digest: what a report says it was judged by."""
        return f"{self.name}@{self.digest[:12]}"


def profile_of(pack: Mapping[str, Json], name: str = "") -> Profile:
    """The profile of a pack, or another one that stands under `profiles`. Raises ActionError `NoSuchProfile`."""
    block = dict(pack["profile"])
    if name and name != block["name"]:
        others = pack.get("profiles") or {}
        if name not in others:
            known = ", ".join([block["name"], *sorted(others)])
            raise ActionError(
                "NoSuchProfile",
                f"there is no validation profile {name[:60]!r}; there are {known}",
                kind="validation",
                retryable=False,
            )
        block |= {"name": name, **others[name]}
    canonical = msgspec.json.encode(block, order="deterministic")
    block["digest"] = hashlib.sha256(canonical).hexdigest()
    return msgspec.convert(block, Profile, strict=False)


def intake_of(pack: Mapping[str, Json]) -> Intake:
    """What the pack allows to be taken in."""
    return msgspec.convert(dict(pack["ingest"]), Intake, strict=False)


def rules_of(profile: Profile, intake: Intake) -> Rules:
    """What a scan needs of both."""
    return Rules(
        roles=profile.roles, caps=intake.caps, low=profile.action_low, high=profile.action_high, fields=profile.fields,
        ignored=profile.ignored, profile=profile.ref,
    )  # fmt: skip
