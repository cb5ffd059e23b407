"""What is asked about webhooks: who may tell, how it goes, and what a kept delivery says."""

from __future__ import annotations

from collections import Counter

from engine.capabilities.reads import Look, Read
from engine.contract.hooks import HooksView


def _hooks(look: Look, at: dict[str, str], query: dict[str, str]) -> HooksView:
    sources = look.ports.get("hooks")
    if sources is None:
        return HooksView(why="this engine takes no webhooks")
    waiting = Counter(one.source for one in look.find("delivery", state="quarantined", limit=1000))
    return HooksView(
        address=sources.address,
        why="" if sources.address else sources.why,
        unknown=sources.unknown,
        sources=tuple(sources.view(source, waiting[source.name]) for source in sources.all()),
    )


READS = (Read(path="/v1/hooks", shape=HooksView, says="Who may tell by webhook, and how it goes.", give=_hooks),)
