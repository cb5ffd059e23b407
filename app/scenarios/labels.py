"""What the sandbox people see in a recording: the answer to a label task."""

from __future__ import annotations

import random
from typing import Any

from engine.contract.datasets import LabelTaskView

PHASES = ("approach", "grasp", "transfer", "place")


def label(task: LabelTaskView, person: str) -> list[dict[str, Any]]:
    """Four phases and the outcome; people differ by a few tenths of a second at the edges."""
    dice = random.Random(f"{task.session}/{person}")
    length = task.duration_s
    edges = [0.0, *[round(length * (i + 1) / 4 + dice.uniform(-0.12, 0.12), 2) for i in range(3)], length]
    spans = [{"name": "phase", "value": value, "t0": edges[i], "t1": edges[i + 1]} for i, value in enumerate(PHASES)]
    return [*spans, {"name": "outcome", "value": "success", "confidence": 0.9}]
