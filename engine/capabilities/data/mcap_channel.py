"""One channel of a recording, and those who look at its messages."""

from __future__ import annotations

from engine.capabilities.data.cameras import Camera
from engine.capabilities.data.facts import TopicFacts
from engine.capabilities.data.mcap_format import hash_of
from engine.capabilities.data.scanning import Rules
from engine.capabilities.data.streams import Stream
from engine.capabilities.data.values import Limits, Signal


class Channel:
    """`seed` tells its messages from those of other topics in the fingerprint."""

    def __init__(self, facts: TopicFacts, schema: tuple[str, str, bytes], encoding: str, rules: Rules) -> None:
        self.facts, self.stream = facts, Stream(facts)
        self.seed = hash_of(facts.name)
        self.signal: Signal | None = None
        self.camera: Camera | None = None
        if facts.role in ("action", "state"):
            bounded = facts.role == "action"
            limits = Limits(fields=rules.fields, ignored=rules.ignored)
            if bounded:
                limits = Limits(low=rules.low, high=rules.high, fields=rules.fields, ignored=rules.ignored)
            self.signal = Signal(facts, encoding, schema, limits)
        elif facts.role == "camera":
            self.camera = Camera(facts, encoding, schema)
