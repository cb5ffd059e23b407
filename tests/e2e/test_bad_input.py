"""Whatever comes in wrong is named and refused, and nothing is harmed by it: through the real engine and the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import jobs
from engine.contract.fleet import RobotRow
from tests.e2e.installation import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

POLICY = """\
policy: 1
people:
  ana: {roles: [release-manager, operator]}
  bo: {roles: [safety-officer, operator]}
  dana: {roles: [break-glass, operator]}
  eve: {roles: [viewer]}
  gus: {roles: [release-manager]}
windows:
  change-freeze: {reason: changes are frozen}
  holidays:
    deny: [{from: 2020-01-01T00:00:00Z, to: 2060-01-01T00:00:00Z}]
    reason: nothing moves over the holidays
"""
GATE = """\
quarterdeck: 1
workflow: {name}
version: 1
inputs:
  what: {{type: string, default: x}}
steps:
  go:
    gate: "Do ${{inputs.what}}?"
    evidence: {{what: "${{inputs.what}}"}}
    seats: [{{role: release-manager}}, {{role: safety-officer}}]
    exclude: [run.started_by]
    expires: {expires}
    on_timeout: {{goto: fail}}
    on_reject: {{goto: fail}}
"""
FROZEN = """\
quarterdeck: 1
workflow: frozen
version: 1
windows: {honour: [holidays], override: break-glass}
steps:
  ask:
    gate: "Go?"
    seats: [{role: release-manager}]
    expires: 1h
    on_timeout: {goto: fail}
    on_reject: {goto: fail}
  act:
    action: rollout.retry
    with: {stage: {name: one}}
    retry: {attempts: 1}
    catch: [{error: "*", goto: fail}]
"""
BROKEN = """\
quarterdeck: 1
workflow: broken
version: 1
steps:
  go:
    gate: "Go?"
    seats: [{role: release-manger}]
    on_timeout: {goto: nowhere}
    on_reject: {goto: fail}
  act:
    acton: rollout.freeze
"""
EVIL = "evil\x1b]52;c;eA==\x07\x9b31m\u202e\x7f<[red]b[/]>\n\r"
NAME = EVIL.strip() + "/../7"
ROBOT = RobotRow(
    id=NAME, serial=EVIL, site=EVIL, region=EVIL, customer=EVIL, variant=EVIL, mode=EVIL, desired=EVIL, reported=EVIL
)
BAD_BYTES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def installed(folder: Path, *, state: Path | None = None) -> Installation:
    """A sandbox with people and windows and no remote systems."""
    (folder / "config").mkdir(parents=True, mode=0o700)
    (folder / "config" / "quarterdeck.yaml").write_text("environment: sandbox\n")
    (folder / "config" / "policy.yaml").write_text(POLICY)
    (folder / "config" / "policy.yaml").chmod(0o600)
    if state is not None:
        (folder / "state").symlink_to(state)
    return Installation(folder)


def registered(home: Installation, folder: Path, text: str) -> None:
    (folder / "definition.yaml").write_text(text)
    home.json("workflows", "register", str(folder / "definition.yaml"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("desk")
    home = installed(folder / "home")
    try:
        home.json("engine", "start")
        for text in (GATE.format(name="ask", expires="1h"), GATE.format(name="short", expires="1s"), FROZEN):
            registered(home, folder, text)
        yield home
    finally:
        home.json("engine", "stop")


def refused(home: Installation, *words: str, code: int = 1) -> dict[str, Any]:
    problem: dict[str, Any] = home.json(*words, code=code)["error"]
    return problem


def gate_of(home: Installation, workflow: str, person: str = "ana") -> tuple[str, str]:
    run = home.json("runs", "start", workflow, "--as", person)["target"]
    return run, home.json("gates", "ls")["rows"][-1]["id"] if not run else f"{run}.1"


def events(home: Installation, run: str, type_: str) -> list[dict[str, Any]]:
    rows = home.json("events", "ls", "--run", run)["rows"]
    return [row for row in rows if row["type"] == type_]


# definitions


def test_a_broken_definition_names_line_field_and_fix_and_is_not_registered(desk: Installation, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    found = desk.json("workflows", "validate", str(file), code=1)
    assert found["ok"] is False
    told = {(f["line"], f["field"]): f["fix"] for f in found["findings"]}
    assert "release-manager" in told[7, "steps.go.seats.0.role"]
    assert told[6, "steps.go.expires"] and told[8, "steps.go.on_timeout.goto"] and told[11, "steps.act"]
    shown = desk.run("workflows", "validate", str(file))
    assert shown.returncode == 1
    assert f"{file}:7:" in shown.stdout
    problem = refused(desk, "workflows", "register", str(file))
    assert (problem["code"], problem["field"]) == ("bad_definition", "args.text")
    assert "line 6" in problem["reason"] and "steps.go.expires" in problem["reason"] and problem["fix"]
    assert "broken" not in [w["workflow"] for w in desk.json("workflows", "ls")]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b"quarterdeck: 1\nworkflow: \x1b[31mx\n",
        b"a: [",
        b"[" * 3000,
        b"a: &a [*a]",
        b"quarterdeck: 1\nworkflow: a\nworkflow: b\n",
        b"quarterdeck: 2\nworkflow: a\nversion: 1\nsteps: {}\n",
    ],
)
def test_what_is_no_definition_is_refused_in_words(desk: Installation, tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "odd.yaml"
    file.write_bytes(raw)
    for verb in ("validate", "register"):
        done = desk.run("workflows", verb, str(file))
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout + done.stderr
        assert not BAD_BYTES.search(done.stdout + done.stderr)


# votes


def test_votes_that_do_not_count_are_refused_with_the_reason_and_recorded(desk: Installation) -> None:
    run, gate = gate_of(desk, "ask")
    said = {
        "wrong_role": refused(desk, "gates", "approve", gate, "--as", "eve"),
        "excluded": refused(desk, "gates", "approve", gate, "--as", "ana"),
        "stale_evidence": refused(desk, "gates", "approve", gate, "--as", "bo", "--evidence", "sha256:00"),
        "bad_answer": refused(desk, "gates", "answer", gate, "maybe", "--as", "bo"),
        "bad_form": refused(desk, "gates", "approve", gate, "--as", "bo", "--form", "colour=red"),
    }
    desk.json("gates", "approve", gate, "--as", "bo")
    said["duplicate"] = refused(desk, "gates", "approve", gate, "--as", "bo")
    assert {code: problem["code"] for code, problem in said.items()} == {code: code for code in said}
    assert all(problem["reason"] for problem in said.values())
    assert said["stale_evidence"]["field"] == "evidence_digest"
    desk.json("gates", "approve", gate, "--as", "gus")
    late = refused(desk, "gates", "approve", gate, "--as", "gus")
    assert late["code"] in ("closed", "not_open")
    kept = [(e["data"]["person"], e["data"]["code"]) for e in events(desk, run, "VoteRefused")]
    assert kept == [
        ("eve", "wrong_role"),
        ("ana", "excluded"),
        ("bo", "stale_evidence"),
        ("bo", "bad_answer"),
        ("bo", "bad_form"),
        ("bo", "duplicate"),
        ("gus", late["code"]),
    ]
    exported = desk.run("history", "export", "--run", run, "--json").stdout.splitlines()
    assert sum(json.loads(line)["type"] == "VoteRefused" for line in exported) == len(kept)


def test_an_id_counts_once_and_for_one_thing(desk: Installation) -> None:
    (run, gate), (_, other) = gate_of(desk, "ask"), gate_of(desk, "ask")
    first = desk.json("gates", "approve", gate, "--as", "bo", "--id", "vote-of-bo-1")
    assert desk.json("gates", "approve", gate, "--as", "bo", "--id", "vote-of-bo-1")["seq"] == first["seq"]
    assert len(events(desk, run, "VoteCast")) == 1 and not events(desk, run, "VoteRefused")
    problem = refused(desk, "gates", "approve", other, "--as", "bo", "--id", "vote-of-bo-1")
    assert (problem["code"], problem["field"]) == ("id_taken", "id"), "it was not cast, and nobody is told it was"


def test_a_vote_after_expiry_is_refused_and_recorded(desk: Installation) -> None:
    run, gate = gate_of(desk, "short")
    deadline = time.monotonic() + 20
    while not events(desk, run, "GateExpired"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert refused(desk, "gates", "approve", gate, "--as", "bo")["code"] == "expired"
    assert [e["data"]["code"] for e in events(desk, run, "VoteRefused")] == ["expired"]


def test_a_frozen_window_holds_votes_and_actions_until_who_may_overrides_it(desk: Installation) -> None:
    run, gate = gate_of(desk, "frozen", "gus")
    problem = refused(desk, "gates", "approve", gate, "--as", "ana")
    assert problem["code"] == "frozen"
    assert "nothing moves over the holidays" in problem["reason"]
    assert [e["data"]["code"] for e in events(desk, run, "VoteRefused")] == ["frozen"]

    override = ("runs", "override-window", run, "ask", "--reason", "robots stand in the way", "--yes")
    assert refused(desk, *override, "--as", "ana")["code"] == "forbidden"
    head = desk.json("engine", "status")["head"]
    assert desk.json(*override, "--dry-run", "--as", "dana")["phrase"] == "override ask"
    assert desk.json("engine", "status")["head"] == head, "a preview changes nothing"
    bare = desk.run("runs", "override-window", run, "ask", "--reason", "x", "--as", "dana")
    assert bare.returncode == 1 and "nobody is here to type it" in bare.stderr
    desk.json(*override, "--as", "dana")
    desk.json("gates", "approve", gate, "--as", "ana")

    held = desk.json("runs", "explain", run)
    assert [(w["path"], "holidays" in w["what"], bool(w["until"])) for w in held] == [("act", True, True)]
    assert not events(desk, run, "StepStarted") or events(desk, run, "StepStarted")[-1]["data"]["step"] != "act"
    desk.json("runs", "override-window", run, "act", "--reason", "must", "--yes", "--as", "dana")
    deadline = time.monotonic() + 10
    while desk.json("runs", "show", run)["run"]["status"] not in ("failed", "completed"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert events(desk, run, "WindowHeld") and len(events(desk, run, "WindowOverridden")) == 2


# the door


def ask(home: Installation, raw: bytes, *, timeout: float = 20) -> tuple[int, dict[str, Any]]:
    """One raw request; the status and the document of the answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(str(home.home / "run" / "engine.sock"))
        with contextlib.suppress(BrokenPipeError):
            sock.sendall(raw)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65_536):
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert not BAD_BYTES.search(body.decode()), "an answer moves no cursor"
    return status, json.loads(body) if b"application/json" in head else {}


def get(home: Installation, path: str) -> tuple[int, dict[str, Any]]:
    return ask(home, f"GET {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n".encode("latin-1"))


def post(home: Installation, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    head = f"POST {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return ask(home, head.encode() + body)


COMMENT = {"id": "bad-input-1", "target": "run-1", "args": {"text": "hello"}}


def comment(**changed: Any) -> bytes:
    return json.dumps({**COMMENT, **changed}).encode()


@pytest.mark.parametrize(
    ("verb", "body", "status", "field"),
    [
        ("run.comment", comment(args={"text": "x" * 1_100_000}), 413, "body"),
        ("run.comment", b"x" * 5_000_000, 413, "body"),
        ("run.comment", b"{nope", 400, "body"),
        ("run.comment", b"\xff\xfe", 400, "body"),
        ("run.comment", b"", 400, "body"),
        ("run.comment", b"[]", 422, "body"),
        ("run.comment", b"[" * 100_000, 422, "body"),
        ("run.comment", comment(args={"text": "x", "deep": json.loads("[" * 90 + "]" * 90)}), 422, "args"),
        ("run.comment", b'{"args":{"text":' + b"[" * 5000 + b"]" * 5000 + b"}}", 422, "body"),
        ("run.comment", comment(extra=1), 422, "extra"),
        ("run.comment", comment(args={"text": "x", "tex": 1}), 422, "args.tex"),
        ("run.comment", comment(args={"text": 5}), 422, "args.text"),
        ("run.comment", comment(args={}), 422, "args.text"),
        ("run.comment", comment(target=5), 422, "target"),
        ("run.comment", comment(target=""), 422, "target"),
        ("run.comment", comment(id="x"), 422, "id"),
        ("run.comment", comment(target="run-999999"), 404, "target"),
        ("run.comment", comment(target="../../etc/passwd"), 404, "target"),
        ("run.comment", comment(target="run-\x00"), 404, "target"),
        ("run.coment", comment(), 404, "verb"),
        ("run.start", comment(target="ask", args={"inputs": {"wat": 1}}), 422, "inputs.wat"),
        ("run.start", comment(target="ask", args={"inputs": {"what": 1}}), 422, "inputs.what"),
        ("run.start", comment(target="nope", args={}), 404, "target"),
        ("gate.delegate", b'{"id":"bad-input-2","target":"run-1.1","args":{"to":"bo","until":1e999}}', 422, "args"),
        ("rollout.extend", comment(args={"hours": 1e308}), 422, "args.hours"),
        ("rollout.extend", comment(args={"hours": -1}), 422, "args.hours"),
    ],
)
def test_a_bad_command_is_a_problem_with_its_field(
    desk: Installation, verb: str, body: bytes, status: int, field: str
) -> None:
    got, problem = post(desk, f"/v1/commands/{verb}", body.replace(b"bad-input-1", f"bad-{hash(body)}".encode()))
    assert (got, problem.get("field", "")) == (status, field), problem
    assert problem["code"] and problem["reason"]


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/v1/runs?cursor=zz", 422, "cursor"),
        ("/v1/runs?cursor=-5", 422, "cursor"),
        ("/v1/runs?limit=-5", 422, "limit"),
        ("/v1/runs?limit=0", 422, "limit"),
        ("/v1/runs?limit=1e3", 422, "limit"),
        ("/v1/runs?limit=99999999999999999999999", 422, "limit"),
        ("/v1/runs?status=nope", 422, "status"),
        ("/v1/runs?sort=;drop", 422, "sort"),
        ("/v1/runs?statsu=failed", 422, "statsu"),
        ("/v1/runs?text=%00", 422, "text"),
        ("/v1/gates?state=%27", 422, "state"),
        ("/v1/events?after=-1", 422, "after"),
        ("/v1/feed?mode=x", 422, "mode"),
        ("/v1/feed?after=x", 422, "after"),
        ("/v1/history/export?after=x", 422, "after"),
        ("/v1/runs/../../../etc/passwd", 404, ""),
        ("/v1/runs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, ""),
        ("/v1/runs/%ff%fe", 404, ""),
        ("/v1/runs/%00%1b%c2%9b", 404, ""),
        ("/v1/runs/nope/events", 404, ""),
        ("/v1/gates/run-1.99999999999999999999", 404, ""),
        ("/v1/workflows/%2e%2e", 404, ""),
        ("/v1/runs/" + "a" * 60_000, 404, ""),
        ("/v1/commands/run.comment", 405, ""),
    ],
)
def test_a_bad_read_is_a_problem_with_its_field(desk: Installation, path: str, status: int, field: str) -> None:
    got, problem = get(desk, path)
    assert (got, problem.get("field", "")) == (status, field), problem
    assert len(problem["reason"]) < 600


@pytest.mark.parametrize("text", ['"', "'", "%25", "*", 'a"b', "NEAR(", "a+AND", "\\", "-", "!!", "%F0%9F%A4%96"])
def test_search_words_are_words_whatever_they_are(desk: Installation, text: str) -> None:
    assert get(desk, f"/v1/runs?text={text}")[0] == 200


def test_slow_and_broken_clients_harm_nobody(desk: Installation) -> None:
    path = str(desk.home / "run" / "engine.sock")
    halves = (
        b"GET /v1/run",
        b"POST /v1/commands/run.comment HTTP/1.1\r\nHost: e\r\nContent-Length: 500000\r\n\r\n{",
        b"GET /v1/feed?mode=events HTTP/1.1\r\nHost: e\r\n\r\n",
        b"POST /v1/commands/run.comment HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
        b"\x16\x03\x01\x02\x00",
    )
    held = []
    try:
        for index in range(60):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(5)
            sock.connect(path)
            sock.sendall(halves[index % len(halves)])
            held.append(sock)
        began = time.monotonic()
        assert desk.json("engine", "status")["state"] == "ok"
        assert post(desk, "/v1/commands/run.comment", comment(id="while-slow-1"))[0] == 200
        assert time.monotonic() - began < 5
    finally:
        for sock in held:
            sock.close()
    for raw in (b"\x00\x01garbage\r\n\r\n", b"POST /v1/x HTTP/1.1\r\nHost: e\r\nContent-Length: -5\r\n\r\n"):
        assert ask(desk, raw)[0] == 400


def test_the_engine_is_well_after_all_that(desk: Installation) -> None:
    assert desk.json("engine", "status")["state"] == "ok"
    assert desk.json("history", "verify")["ok"]
    assert "Traceback" not in (desk.home / "state" / "engine.log").read_text()


def test_an_impossible_rollout_is_refused_before_it_is_a_run(desk: Installation) -> None:
    before = len(desk.json("runs", "ls")["rows"])
    for inputs, field in (
        (('version="1"', 'selector="foo"'), "args.inputs.selector"),
        (('version="1"', 'selector="colour:red"'), "args.inputs.selector"),
        (('version="1"', 'selector="all"', 'plan={"stagez":1}'), "args.inputs.plan"),
        (('selector="all"',), "inputs.version"),
        (("version=1", 'selector="all"'), "inputs.version"),
    ):
        words = [word for pair in inputs for word in ("--input", pair)]
        assert refused(desk, "rollouts", "start", *words)["field"] == field
        assert refused(desk, "runs", "start", "staged-rollout", *words)["field"] == field
    assert len(desk.json("runs", "ls")["rows"]) == before


# hostile text


def test_hostile_text_is_inert_on_every_way_out(desk: Installation) -> None:
    run = desk.json("runs", "start", "ask", "--input", f"what={EVIL}", "--as", "ana")["target"]
    gate = f"{run}.1"
    desk.json("runs", "comment", run, EVIL)
    desk.json("gates", "ask", gate, EVIL, "--as", "bo")
    desk.json("gates", "approve", gate, "--as", "bo", "--rationale", EVIL)
    with contextlib.closing(sqlite3.connect(desk.home / "state" / "quarterdeck.db")) as database:
        names = [row[1] for row in database.execute("pragma table_info(robots)")]
        values = dict.fromkeys(names, 0) | {"id": NAME} | dict.fromkeys(("site", "rollout", "state", "hold"), EVIL)
        values["view"] = msgspec.json.encode(ROBOT)
        marks = ", ".join("?" * len(names))
        database.execute(f"insert into robots ({', '.join(names)}) values ({marks})", [values[n] for n in names])
        database.commit()
    for words in (
        ("runs", "ls"),
        ("runs", "show", run),
        ("runs", "explain", run),
        ("runs", "show", "nope\x9b\x1b[31m"),
        ("gates", "ls"),
        ("gates", "show", gate),
        ("events", "ls", "--run", run),
        ("history", "export", "--run", run),
        ("fleet", "robots"),
        ("fleet", "show", NAME),
    ):
        for form in ((), ("--json",)):
            done = desk.run(*words, *form)
            out = done.stdout + done.stderr
            assert not BAD_BYTES.search(out), (words, form, out[:300])
            assert out.strip()
    assert desk.json("fleet", "show", NAME)["site"] == EVIL
    shown = desk.json("runs", "show", run)
    assert shown["inputs"]["what"] == EVIL, "nothing is changed on the way, only written harmlessly"
    for path in ("/v1/watch", f"/v1/runs/{run}", f"/v1/gates/{gate}", f"/v1/runs/{run}/events", "/v1/robots"):
        assert get(desk, path)[0] == 200, path


# the command line


COMMANDS = """
engine: start stop status logs run
workflows: ls show validate register
runs: ls show start watch explain cancel suspend resume retry skip redrive comment terminate override-window
gates: ls show approve reject delegate
rollouts: ls show start pause resume promote rollback hold extend
fleet: robots cohorts show
events: ls follow
history: verify export
demo:
doctor:
"""
NO_JSON = {("engine", "run")}


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for line in COMMANDS.split("\n"):
        group, _, verbs = line.partition(":")
        found += [(group, verb) for verb in verbs.split()] or ([(group,)] if group else [])
    return found


def test_every_command_is_there_with_help_and_json() -> None:
    from click.testing import CliRunner

    from app.cli import root

    for words in commands():
        done = CliRunner().invoke(root, [*words, "--help"])
        assert done.exit_code == 0, words
        assert len(done.output.split("\n")) > 5
        assert ("--json" in done.output) is (words not in NO_JSON), words


def test_exit_codes_without_an_engine_and_on_wrong_usage(tmp_path: Path, desk: Installation) -> None:
    alone = Installation(tmp_path / "nobody")
    for words in (("runs", "ls"), ("gates", "approve", "run-1.1"), ("history", "verify"), ("engine", "status")):
        assert alone.json(*words, code=3)["error"]["code"] == "unreachable"
        done = alone.run(*words)
        assert done.returncode == 3 and "no engine" in done.stderr
    assert not (tmp_path / "nobody").exists(), "looking leaves nothing behind"
    assert alone.json("engine", "stop")["stopped"] is False
    for words in (
        ("runs", "dance"),
        ("runs", "ls", "--limit", "-1"),
        ("runs", "show"),
        ("workflows", "validate", "/no"),
    ):
        assert desk.run(*words).returncode == 2
    for words in (("runs", "ls", "--as", "a\nb"), ("runs", "start", "ask", "--input", "novalue")):
        assert desk.run(*words).returncode == 2
    assert desk.run("runs", "show", "run-404").returncode == 1
    assert desk.run("engine", "status").returncode == 0
    done = desk.run()
    assert done.returncode == 0 and "needs a terminal" in done.stderr, "no console, but what it would have shown"


# the disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk has to be mounted, and that takes root")
    options = ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, timeout=10, check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], timeout=10, check=False)


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_stops_commands_loses_nothing_and_ends_by_itself(tmp_path: Path, disk: Path) -> None:
    home = installed(tmp_path / "home", state=disk)
    try:
        home.json("engine", "start")
        registered(home, tmp_path, GATE.format(name="ask", expires="1h"))
        run = home.json("runs", "start", "ask", "--as", "ana")["target"]
        taken = ["before"]
        home.json("runs", "comment", run, "before")
        fill(disk)
        for number in range(40):
            text = f"{number} " + "x" * 3000
            done = home.run("runs", "comment", run, text, "--json")
            if done.returncode != 0:
                break
            taken.append(text)
        problem = json.loads(done.stdout)["error"]
        assert problem["code"] == "store_read_only"
        assert "full" in problem["reason"] and "make room" in problem["fix"]
        status = home.json("engine", "status")
        assert status["state"] == "read_only" and "make room" in status["message"]
        assert home.json("runs", "show", run)["run"]["id"] == run, "reading goes on"
        checks = {c["name"]: c for c in home.json("doctor", code=1)["checks"]}
        assert checks["disk"]["level"] == "problem" and "make room" in checks["disk"]["fix"]

        os.kill(status["pid"], signal.SIGKILL)
        dead = home.run("engine", "start")
        assert dead.returncode == 3 and "make room" in dead.stderr
        (disk / "fill").unlink()
        home.json("engine", "start")
        fill(disk)
        for number in range(40):
            if home.run("runs", "comment", run, f"again {number} " + "y" * 3000).returncode != 0:
                break
            taken.append(f"again {number} " + "y" * 3000)
        (disk / "fill").unlink()
        deadline = time.monotonic() + 10
        while home.json("engine", "status")["state"] != "ok":
            assert time.monotonic() < deadline, "it goes on by itself"
            time.sleep(0.2)
        home.json("runs", "comment", run, "after")
        kept = [e["data"]["text"] for e in events(home, run, "CommentAdded")]
        assert kept == [*taken, "after"], "what was acknowledged is there, what was refused is not"
        assert home.json("history", "verify")["ok"]
    finally:
        home.stop()


def test_a_disk_that_cannot_be_written_is_said_at_start(tmp_path: Path, disk: Path) -> None:
    home = installed(tmp_path / "home", state=disk)
    try:
        home.json("engine", "start")
        home.json("engine", "stop")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], timeout=10, check=True)
        done = home.run("engine", "start")
        assert done.returncode == 3
        assert "Read-only" in done.stderr and "Traceback" not in done.stderr
        checks = {c["name"]: c for c in home.json("doctor", code=1)["checks"]}
        assert checks["state"]["level"] == "problem" and "read-only" in checks["state"]["fix"]
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], timeout=10, check=True)
        assert home.json("engine", "start")["state"] == "ok"
    finally:
        home.stop()


# the database


def test_a_second_engine_on_the_same_database_refuses(desk: Installation, tmp_path: Path) -> None:
    def start(run: Path) -> subprocess.CompletedProcess[str]:
        folders = ("--config", str(desk.home / "config"), "--state", str(desk.home / "state"), "--run", str(run))
        return subprocess.run(
            [sys.executable, "-m", "engine", *folders], capture_output=True, text=True, timeout=30, check=False
        )

    other = start(tmp_path)
    assert other.returncode == 75
    assert "belongs to a running engine" in other.stderr and "qd engine stop" in other.stderr
    assert "Traceback" not in other.stderr
    assert start(desk.home / "run").returncode == 75
    assert desk.json("engine", "status")["state"] == "ok"


@pytest.mark.parametrize("kind", ["text", "blob"])
def test_a_changed_event_is_noticed_by_verify_by_the_doctor_and_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    home = installed(tmp_path / "home")
    try:
        home.json("engine", "start")
        registered(home, tmp_path, GATE.format(name="ask", expires="1h"))
        run = home.json("runs", "start", "ask", "--as", "ana")["target"]
        seq = events(home, run, "RunStarted")[0]["seq"]
        with contextlib.closing(sqlite3.connect(home.home / "state" / "quarterdeck.db")) as database:
            change = f"update events set data = cast(replace(data, 'ana', 'eve') as {kind}) where seq = ?"
            assert database.execute(change, (seq,)).rowcount == 1
            database.commit()
        report = home.json("history", "verify", code=1)
        assert (report["ok"], report["first_bad"]) == (False, seq)
        home.json("engine", "stop")
        done = home.run("engine", "start")
        assert done.returncode == 3
        assert f"does not hold at event {seq}" in done.stderr and "restore the last good copy" in done.stderr
        assert home.json("history", "verify", code=1)["first_bad"] == seq, "no engine is needed for it"
        checks = {c["name"]: c for c in home.json("doctor", code=1)["checks"]}
        assert checks["history"]["level"] == "problem" and f"event {seq}" in checks["history"]["found"]
        assert "restore the last good copy" in checks["history"]["fix"]

        monkeypatch.setattr(
            jobs, "SETTLE_S", 0.0
        )  # what is too long to be verified at start is verified while it serves
        soundness = jobs.Soundness(home.home / "state" / "quarterdeck.db")
        asyncio.run(asyncio.wait_for(soundness.look(), 30))
        state, message = soundness.state(("ok", ""))
        assert state == "damaged" and f"event {seq}" in message and "qd doctor" in message
        assert soundness.state(("read_only", "full")) == ("read_only", "full")
    finally:
        home.stop()


def test_a_damaged_file_is_noticed_at_start_and_the_doctor_says_what_to_do(tmp_path: Path) -> None:
    home = installed(tmp_path / "home")
    file = home.home / "state" / "quarterdeck.db"
    try:
        home.json("engine", "start")
        home.json("engine", "stop")
        raw = bytearray(file.read_bytes())
        for at in range(len(raw) // 2, len(raw) // 2 + 16_384):
            raw[at] ^= 0xFF
        file.write_bytes(raw)
        done = home.run("engine", "start")
        assert done.returncode == 3
        assert "is damaged" in done.stderr and "restore the last good copy" in done.stderr
        checks = {c["name"]: c for c in home.json("doctor", code=1)["checks"]}
        assert checks["database"]["level"] == "problem" and "restore" in checks["database"]["fix"]
        assert bytes(raw) == file.read_bytes(), "the evidence is left as it is"
    finally:
        home.stop()


# a live rollout


def _other_rollout_gets_none_of_its_robots(home: Installation, run: str, release: str) -> None:
    """Whatever its selector is called: a robot is in one open rollout."""
    words = ("--input", f'version="{release}"', "--input", 'selector="-site:NOWHERE"', "--as", "ana")
    other = home.json("rollouts", "start", *words)["target"]
    deadline = time.monotonic() + 20
    while (found := home.json("runs", "show", other))["run"]["status"] not in ("failed", "completed"):
        assert time.monotonic() < deadline, found["run"]
        time.sleep(0.2)
    assert "leaves no robot to update" in found["error"] and f"in rollout {run}" in found["error"]
    ended = home.json("rollouts", "show", other)["rollout"]["state"]
    assert ended in ("aborted", "failed")


def test_the_verbs_of_a_live_rollout_behave_and_previews_change_nothing(tmp_path: Path) -> None:
    home = Installation(tmp_path / "home")

    def state() -> str:
        found: str = home.json("rollouts", "show", run)["rollout"]["state"]
        return found

    def until(*wanted: str) -> None:
        deadline = time.monotonic() + 30
        while (now := state()) not in wanted:
            assert time.monotonic() < deadline, f"{now}, not {wanted}"
            time.sleep(0.2)

    try:
        started = home.json("demo", "--scenario", "healthy", "--seed", "5", "--speed", "600", "--detach")
        run = started["run"]
        release = started["world"]["release"]
        for version, selector, field in (
            ("9.9.9", "all", "version"),
            (release, "site:ATLANTIS", "selector"),
            (release, "planet:mars", "selector"),
        ):
            words = ("--input", f'version="{version}"', "--input", f'selector="{selector}"')
            assert refused(home, "rollouts", "start", *words)["field"] == f"args.inputs.{field}"
        assert [r["id"] for r in home.json("runs", "ls")["rows"]] == [run], "none of them became a run"

        assert refused(home, "rollouts", "promote", run, "--yes", "--as", "ana")["code"]
        deadline = time.monotonic() + 20
        while not (gates := home.json("gates", "ls")["rows"]):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        gate = gates[0]["id"]
        bare = home.run("gates", "approve", gate, "--as", "ana")
        assert bare.returncode == 1 and "nobody is here to type it" in bare.stderr
        wrong = refused(home, "gates", "approve", gate, "--as", "ana", "--phrase", "start 1 all")
        assert (wrong["code"], wrong["field"]) == ("phrase_mismatch", "args.phrase")
        home.json("gates", "approve", gate, "--as", "ana", "--yes")
        home.json("gates", "approve", gate, "--as", "bo", "--yes")
        until("running")
        time.sleep(1.0)

        for verb in ("pause", "hold"):
            done = home.json("rollouts", verb, run, "--dry-run", "--as", "ana")
            assert done["preview"] is True and done["consequences"]
        assert state() == "running"
        kinds = [e["type"] for e in home.json("events", "ls", "--run", run, "--limit", "1000")["rows"]]
        assert "CommandRefused" not in kinds[-3:]
        assert refused(home, "rollouts", "pause", run, "--as", "eve")["code"] == "forbidden"
        home.json("rollouts", "pause", run, "--as", "ana", "--reason", "look")
        until("paused")
        _other_rollout_gets_none_of_its_robots(home, run, release)
        explained = home.json("runs", "explain", run)
        assert any("rollout.resume" in wait["what"] for wait in explained)
        assert (
            refused(home, "rollouts", "resume", run, "--as", "ana", "--phrase", "nonsense")["code"] == "phrase_mismatch"
        )
        assert home.json("rollouts", "resume", run, "--as", "ana", "--dry-run")["phrase"].startswith("resume ")
        assert state() == "paused"
        home.json("rollouts", "resume", run, "--as", "ana", "--yes")
        until("running")
        preview = home.json("rollouts", "rollback", run, "--as", "bo", "--dry-run")
        assert preview["phrase"].startswith("rollback ") and preview["consequences"]
        assert state() == "running"
        home.json("rollouts", "hold", run, "--as", "cy")
        until("held")
        home.json("rollouts", "rollback", run, "--as", "bo", "--yes", "--reason", "enough")
        until("rolling_back", "rolled_back")
        assert refused(home, "rollouts", "promote", run, "--as", "ana", "--yes")["code"]
        assert home.json("history", "verify")["ok"]
    finally:
        home.stop()
