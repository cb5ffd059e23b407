"""What the scenario of candidate to release must show."""

from __future__ import annotations

from typing import Any


def check(document: dict[str, Any]) -> None:
    facts, records = document["facts"], document["records"]
    assert facts["better"]["verdict"] == "better"
    assert facts["artifact"]["state"] == "eligible" and facts["artifact"]["signature_valid"] is True
    assert facts["artifact"]["rollback_drilled"] is True and facts["artifact"]["reproduced"] is True
    assert facts["artifact"]["digest"].startswith("sha256:") and facts["artifact"]["version"] == "4.8.1"

    assert facts["again_asked"]["before"] != facts["again_asked"]["after"] and facts["again_asked"]["excluded"] == 1
    asked = [gate for gate in document["gates"] if gate["kind"] == "release_approval"]
    states = [gate["state"] for gate in asked if gate["question"].startswith(f"Release {facts['better']['candidate']}")]
    assert sorted(states) == ["passed", "withdrawn"], "a question on old evidence must not be the one that was answered"

    assert facts["duplicate"] == "duplicate"
    assert facts["worse"]["verdict"] == "worse" and facts["worse"]["why"].startswith("Worse overall")
    assert facts["inconclusive"]["first"] == "inconclusive" and facts["inconclusive"]["rounds"] == 1
    assert facts["inconclusive"]["revoked"] == "revoked"

    assert records["candidate"] == {"eligible": 1, "rejected": 1, "revoked": 1}
    assert records["artifact"] == {"eligible": 1, "revoked": 1} and records["pack"] == {"locked": 2}
    assert records["trial"]["excluded"] >= 1
    ended = {run["workflow"]: run["status"] for run in document["runs"] if run["workflow"] == "candidate-to-release"}
    assert ended == {"candidate-to-release": "completed"}
