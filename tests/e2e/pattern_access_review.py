"""Access: three sign, the site is asked, the lease ends; a certificate is taken back; one is denied with its rules; one breaks glass."""

from __future__ import annotations

from typing import Any


def check(document: dict[str, Any]) -> None:
    facts = document["facts"]
    _direct(facts)
    _others(facts)
    kinds = {gate["kind"] for gate in document["gates"]}
    assert {"teleop_authority", "data_export", "post_review"} <= kinds
    assert not [gate for gate in document["gates"] if gate["state"] == "open"]
    assert {run["status"] for run in document["runs"]} == {"completed"}
    states = document["records"]
    assert set(states["lease"]) <= {"relinquished", "expired"} and "active" not in states["grant"]
    assert not set(states["access_request"]) - {"closed", "denied", "withdrawn"}


def _direct(facts: dict[str, Any]) -> None:
    assert facts["verdict"] == "needs_approval" and facts["seats"] == ["data-owner", "privacy-officer", "site-safety"]
    assert facts["own_vote"] == "excluded" and facts["driver_ack"] == "forbidden"
    assert "TEL-07" in facts["held_for"] and "TEL-03" in facts["held_for"]
    assert facts["lease_mode"] == "direct" and "TEL-08" in facts["second_held_for"]
    assert facts["use_after_end"] == "over" and facts["ended"] == "relinquished" and facts["finding"] == "ok"
    assert facts["record"].startswith("sha256:")
    assert facts["replay_same"] is True and facts["evaluated_ms"] < 2000


def _others(facts: dict[str, Any]) -> None:
    assert facts["certificate"] == "ssh-ed25519-cert-v01@openssh.com" and facts["certificate_sound"] is True
    assert (
        facts["revoked_in_s"] < 2
        and facts["revoked_by"] == "carl"
        and facts["serial_revoked"]
        and facts["krl"] == "SSHKRL"
    )
    assert facts["less_action"] == "observe" and "site-safety" not in facts["less_seats"]
    assert facts["rejected_because"] == "somebody on site can look"
    assert facts["denied_verdict"] == "deny" and any(reason.startswith("TRF-02") for reason in facts["denied_reasons"])
    assert facts["phrase"].startswith("break glass ") and facts["breakglass_review"] == "breakglass"
    assert facts["export_whole"] and facts["package_sound"] and facts["export_files"][0] == "MANIFEST.dsse.json"
    assert facts["fetched_by_other"] and facts["fetched_again"] == "one_shot"
    assert facts["observed_ended"] == "expired" and 1199 <= facts["observed_s"] <= 1201
