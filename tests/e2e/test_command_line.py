"""The command line against a running demo: every command prints something a person or a script can use, and exits as promised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation

READS = (
    ("engine", "status"),
    ("workflows", "ls"),
    ("workflows", "show", "staged-rollout"),
    ("runs", "ls"),
    ("runs", "show", "run-1"),
    ("runs", "explain", "run-1"),
    ("gates", "ls"),
    ("rollouts", "ls"),
    ("rollouts", "show", "run-1"),
    ("fleet", "robots"),
    ("fleet", "cohorts"),
    ("events", "ls"),
    ("history", "verify"),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Slow enough that the sign-off still waits when the last test comes."""
    home = Installation(tmp_path_factory.mktemp("cli") / "home")
    home.json("demo", "--detach", "--speed", "60")
    end = time.monotonic() + 60
    while not (home.json("gates", "ls")["rows"] and home.json("fleet", "robots")["rows"]):
        assert time.monotonic() < end, "nobody was asked"
        time.sleep(0.2)
    yield home
    home.stop()


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_reads_print_text_and_one_json_document(demo: Installation, words: tuple[str, ...]) -> None:
    text = demo.run(*words)
    assert text.returncode == 0, text.stderr
    assert text.stdout.strip()
    assert all(char.isprintable() or char == "\n" for char in text.stdout)
    demo.json(*words)


def test_json_has_every_field_also_those_at_their_default(demo: Installation) -> None:
    status = demo.json("engine", "status")
    assert {"pid", "socket", "version", "database", "uptime_s", "message", "connectors", "speed"} <= set(status)
    assert {"ok", "events", "head", "problem"} <= set(demo.json("history", "verify"))
    assert {"mine", "claimed_by", "seats_open"} <= set(demo.json("gates", "ls")["rows"][0])


def gate_of(demo: Installation) -> str:
    return str(demo.json("gates", "ls")["rows"][0]["id"])


def test_people_of_the_sandbox_may_and_may_not(demo: Installation) -> None:
    gate = gate_of(demo)
    assert demo.json("gates", "show", gate, "--as", "ana")["gate"]["mine"] == ""
    assert "needs" in demo.json("gates", "show", gate, "--as", "eve")["gate"]["mine"]
    assert "excluded" in demo.json("gates", "show", gate, "--as", "rene")["gate"]["mine"]
    refused = demo.run("gates", "approve", gate, "--as", "eve", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "wrong_role"
    refusals = [e for e in demo.json("events", "ls", "--run", "run-1")["rows"] if e["type"] == "VoteRefused"]
    assert refusals and refusals[-1]["actor"]["id"] == "eve" and refusals[-1]["actor"]["via"] == "sandbox"
    assert demo.run("gates", "ls", "--as", "mallory").returncode == 1


def test_votes_are_seen_and_can_be_taken_back(demo: Installation) -> None:
    gate = gate_of(demo)
    assert demo.json("gates", "approve", gate, "--as", "ana", "--rationale", "looks fine", "--yes")["events"] == [
        "VoteCast"
    ]
    detail = demo.json("gates", "show", gate)
    assert [(v["person"], v["answer"], v["rationale"]) for v in detail["votes"] if not v["refused"]] == [
        ("ana", "approve", "looks fine")
    ]
    demo.json("gates", "claim", gate, "--as", "bo")
    demo.json("gates", "ask", gate, "why now?", "--as", "bo")
    demo.json("gates", "withdraw", gate, "--as", "ana")
    again = demo.json("gates", "approve", gate, "--as", "ana", "--evidence", "sha256:stale", "--yes", code=1)
    assert again["error"]["code"] == "stale_evidence"


def test_verbs_on_a_run(demo: Installation) -> None:
    assert demo.json("runs", "comment", "run-1", "hello \x1b[31mred", "--id", "comment-once")["events"] == [
        "CommentAdded"
    ]
    first = demo.json("events", "ls", "--run", "run-1")
    demo.json("runs", "comment", "run-1", "hello \x1b[31mred", "--id", "comment-once")
    again = demo.json("events", "ls", "--run", "run-1")
    assert len(first["rows"]) == len(again["rows"]), "the same id is done once"
    assert "\x1b" not in demo.run("events", "ls").stdout
    assert demo.json("runs", "suspend", "run-1", "--reason", "lunch", "--as", "ana")["events"]
    assert demo.json("runs", "ls", "--status", "suspended")["rows"]
    assert demo.json("runs", "resume", "run-1", "--as", "ana")["events"]
    assert demo.json("runs", "show", "run-404", code=1)["error"]["code"] == "not_found"
    preview = demo.json("runs", "cancel", "run-1", "--dry-run", "--as", "ana")
    assert preview["preview"] is True and preview["events"]
    assert demo.json("runs", "show", "run-1")["run"]["status"] in ("waiting", "running")


def test_a_risky_verb_wants_its_phrase_and_prompts_nobody(demo: Installation) -> None:
    silent = demo.run("runs", "terminate", "run-1", "--reason", "test")
    assert silent.returncode == 1
    assert "terminate run-1" in silent.stderr
    wrong = demo.json("runs", "terminate", "run-1", "--reason", "test", "--phrase", "terminate run-2", code=1)
    assert wrong["error"]["code"] == "phrase_mismatch"
    assert demo.json("runs", "show", "run-1")["run"]["status"] in ("waiting", "running")


def test_definitions_are_checked_with_line_and_field(demo: Installation, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "quarterdeck: 1\nworkflow: broken\nversion: 1\ntitle: Broken\nsteps:\n  wait_a_bit:\n    wait: {for: 1s}\n    nxt: done\n"
    )
    found = demo.json("workflows", "validate", str(broken), code=1)
    assert found["ok"] is False
    assert found["findings"][0]["line"] == 8
    assert "next" in found["findings"][0]["fix"]
    text = demo.run("workflows", "validate", str(broken))
    assert f"{broken}:8:" in text.stdout
    refused = demo.json("workflows", "register", str(broken), code=1)
    assert refused["error"]["code"] == "bad_definition" and refused["error"]["field"] == "args.text"
    assert "broken" not in [w["workflow"] for w in demo.json("workflows", "ls")]
    broken.write_text(broken.read_text().replace("nxt", "next"))
    demo.json("workflows", "register", str(broken))
    run = demo.json("runs", "start", "broken", "--id", "one-broken-run")["target"]
    assert demo.json("runs", "start", "broken", "--id", "one-broken-run")["target"] == run
    watched = demo.run("runs", "watch", run, "--json", timeout=60)
    assert watched.returncode == 0
    assert json.loads(watched.stdout.splitlines()[-1])["type"] == "RunCompleted"


def test_the_export_is_json_lines_and_a_file_is_private(demo: Installation, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in demo.run("history", "export", "--json").stdout.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["hash"] for row in rows)
    target = tmp_path / "export.jsonl"
    told = demo.json("history", "export", "--out", str(target))
    assert told["events"] >= len(rows)
    assert target.stat().st_mode & 0o777 == 0o600


def test_usage_and_unreachable_have_their_own_codes(demo: Installation, tmp_path: Path) -> None:
    assert demo.run("runs", "dance").returncode == 2
    assert demo.run("runs", "start").returncode == 2
    assert demo.run("rollouts", "extend", "run-1").returncode == 2
    nowhere = Installation(tmp_path / "nowhere")
    done = nowhere.run("runs", "ls", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "unreachable"
    assert not (tmp_path / "nowhere").exists(), "looking starts nothing and makes nothing"


def test_help_and_completion_need_no_engine(tmp_path: Path) -> None:
    nowhere = Installation(tmp_path / "nowhere")
    for words in (
        (),
        *((group,) for group in ("engine", "workflows", "runs", "gates", "rollouts", "fleet", "history", "demo")),
    ):
        assert "Usage: qd" in nowhere.run(*words, "--help").stdout
    assert "_QD_COMPLETE" in nowhere.run("completion", "bash").stdout


def test_doctor_finds_what_is_wrong(demo: Installation, tmp_path: Path) -> None:
    report = demo.json("doctor")
    assert report["ok"] is True
    assert {"engine", "identity", "socket", "database"} <= {check["name"] for check in report["checks"]}
    sick = Installation(tmp_path / "sick")
    (sick.home / "state").mkdir(parents=True)
    (sick.home / "state" / "quarterdeck.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 8192)
    found = sick.json("doctor", code=1)
    broken = next(check for check in found["checks"] if check["name"] == "database" and check["level"] == "problem")
    assert broken["fix"]


def test_without_a_terminal_qd_prints_what_the_console_would_show(demo: Installation) -> None:
    done = demo.run()
    assert done.returncode == 0
    assert "waits for you" in done.stdout
    dumb = subprocess.run(
        [sys.executable, "-c", "import pty,sys; sys.exit(pty.spawn([sys.executable, '-m', 'app']))"],
        env={**demo.environment, "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"\x1b[" not in dumb.stdout
    assert b"waits for you" in dumb.stdout


def test_a_demo_never_takes_over_a_real_installation(tmp_path: Path) -> None:
    home = Installation(tmp_path / "real")
    try:
        home.json("engine", "start")
        for words in (("demo", "--detach"), ("demo", "--stop")):
            done = home.run(*words)
            assert done.returncode == 1
            assert "no demo" in done.stderr
        assert home.json("engine", "status")["environment"] == "production"
        status: dict[str, Any] = home.json("runs", "ls", "--as", "ana", code=1)
        assert status["error"]["code"] == "not_sandbox"
    finally:
        home.run("engine", "stop", "--force")
    assert os.path.exists(home.home / "state" / "quarterdeck.db")
