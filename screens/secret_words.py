"""What to ask a person for where a setting names an entry of the keyring: the secret itself, in the system's own words.

Pure, and without Textual: forms and the command line use it alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from engine.contract.systems import FieldView

T = TypeVar("T", bound=FieldView)
_ENTRY = re.compile(r"^(?:name of the )?keyring entry\b[ :]*(?:of |for )?", re.I)


def means(field: FieldView) -> str:
    """`keyring entry of a bearer token` asks for a bearer token."""
    rest = _ENTRY.sub("", field.description).strip()
    if rest.startswith("that "):
        rest = f"what {rest.removeprefix('that ')}"
    return rest or "password or token"


def needed_first(fields: Iterable[T]) -> list[T]:
    """What has to be filled in, the address before all; then the main secret; then the rest as declared, a secret that goes
    with another setting right behind it."""
    declared = list(fields)
    order = {field.name: place for place, field in enumerate(declared)}

    def place(field: T) -> tuple[int, float]:
        rank = (
            0 if field.required and field.name == "url" else 1 if field.required else 2 if field.name == "secret" else 3
        )
        partner = partner_of(field, declared)
        return rank, order[partner] + 0.5 if partner else order[field.name]

    return sorted(declared, key=place)


def partner_of(field: FieldView, fields: Sequence[FieldView]) -> str:
    """The setting without which a further secret is not wanted: `proxy` of `proxy_secret`."""
    name = field.name.removesuffix("_secret")
    return name if field.secret and name != field.name and any(one.name == name for one in fields) else ""
