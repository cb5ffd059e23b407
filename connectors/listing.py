"""Feeds of owners that can only list everything, without versions of their own: a digest of the list is the cursor, so that
a list that did not change costs one read and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from engine.capabilities.systems.ports import Pulled, RemoteObject


def listed(objects: Sequence[RemoteObject], cursor: str, *, owner_now: float = 0.0) -> Pulled:
    """The whole list as one page; `unchanged` when it is the one that `cursor` names."""
    ordered = tuple(sorted(objects, key=lambda one: one.id))
    digest = blake2b(msgspec.json.encode(ordered, order="deterministic"), digest_size=16).hexdigest()
    if digest == cursor:
        return Pulled(unchanged=True, cursor=cursor, owner_now=owner_now)
    return Pulled(objects=ordered, cursor=digest, full=True, owner_now=owner_now)
