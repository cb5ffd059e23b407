"""Things a field of a form may name, as the engine finds them: by id or by a word of their name, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.client import Client, EngineUnreachable, Refused
from engine.contract.search import FoundPage
from screens.form_fields import Match

MOST = 40
"""A person points at one of a few; more letters find what these leave out."""


async def fitting(client: Client, kinds: Sequence[str], text: str) -> list[Match]:
    """(id, what tells it apart). Empty when nothing was typed or the engine does not answer: what is typed whole is taken."""
    if not text.strip():
        return []
    try:
        page = await client.read("/v1/search", FoundPage, text=text.strip(), kinds=",".join(kinds), limit=MOST)
    except (EngineUnreachable, Refused):
        return []
    return [
        (found.id, "  ".join(part for part in (found.title if found.title != found.id else "", found.state) if part))
        for found in page.rows
    ]
