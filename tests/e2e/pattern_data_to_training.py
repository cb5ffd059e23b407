"""What the scenario of data to training must show."""

from __future__ import annotations

from typing import Any


def check(document: dict[str, Any]) -> None:
    facts, records = document["facts"], document["records"]
    snapshot, training = facts["snapshot"], facts["training"]

    # every broken recording is set aside or mended with its reason, never in silence; nothing good is lost
    aside = facts["quarantined"]
    assert {"corrupt", "clock_back", "gap", "duplicate", "wrong_robot", "look_alike", "not_mcap"} <= set(aside)
    assert facts["repaired"] == 4 and facts["lerobot_kept"] == 4
    funnel = snapshot["funnel"]
    assert funnel["quarantined"] == sum(aside.values()) and funnel["valid"] + funnel["quarantined"] == funnel["found"]

    # two people label, a third audits; who asked for the dataset signs nothing of it
    assert set(facts["labelled_by"]) == {"ann", "max", "lea"} and facts["requester_refused"] == ["excluded", "excluded"]
    assert snapshot["agreement"]["alpha"] >= 0.8 and snapshot["agreement"]["word"] == "accept"
    assert snapshot["audit"]["k"] == 0 and snapshot["audit"]["n"] >= snapshot["audit"]["need"] == 20

    # gaps are asked for, filled by what comes, or waived by a person for a time
    assert len(facts["short_cells"]) == 2 and facts["collections"] == {"waived": 1}
    assert facts["joined_later"] >= 1 and facts["left_out"]["near_duplicate"] >= 1
    cells = {cell["key"]: cell for cell in snapshot["coverage"]}
    assert cells["task=jam-recovery site=HAM5"]["waived"] == "dirk"

    # frozen by groups, signed, and still what was signed
    assert snapshot["state"] == "finalized" and snapshot["signed_by"] == ["lea"] and snapshot["blockers"] == []
    assert all(snapshot["splits"][name] for name in ("train", "val", "test")) and snapshot["contamination"] == 0
    assert snapshot["episodes"] == sum(snapshot["splits"].values()) == len(snapshot["sessions"])
    assert facts["proof"] is True and facts["run_status"] == "completed"

    # trained by a real program, which lost its machine once and went on
    assert training["state"] == "succeeded" and training["preemptions"] == 1
    assert training["root_digest"] == snapshot["root_digest"] and training["checkpoint"]["digest"].startswith("sha256:")
    assert training["done"] == training["of"] == 24 and training["spent_s"] < training["budget_s"]
    assert '"event":"started"' in facts["log"].replace(" ", "")

    # and that very checkpoint becomes an eligible artifact with a signature that holds
    artifact = facts["artifact"]
    assert artifact["model_is_the_checkpoint"] and artifact["signature_valid"]
    assert artifact["verdict"] in ("better", "non_inferior")

    # consent withdrawn after the signature reaches the snapshot, the labels, and names what was made from it
    assert records["snapshot"] == {"withdrawn": 1} and "works council" in facts["withdrawn_for"]
    assert facts["dependants"][0].startswith(f"training {training['id']}") and facts["withdrawn_sessions"] >= 1
    assert set(facts["labels_after"]) == {"withdrawn"}
    kinds = {gate["kind"]: gate["state"] for gate in document["gates"]}
    assert {kinds[kind] for kind in ("dataset_signoff", "data_withdrawal")} == {"passed"}
    assert {"label_review", "waive_coverage"} <= set(kinds)
