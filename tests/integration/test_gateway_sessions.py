"""`qd access ssh` end to end: a real engine, a real sshd, a person with a terminal, grants that end."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation
from tests.e2e.terminal import Terminal
from tests.services.ssh import Sshd, running

pytestmark = pytest.mark.service


class Site(Installation):
    """An installation whose engine knows one real gateway."""

    def __init__(self, home: Path, sshd: Sshd) -> None:
        super().__init__(home)
        self.sshd = sshd

    def begin(self) -> None:
        config = self.home / "config"
        config.mkdir(parents=True, mode=0o700)
        settings = {
            "environment": "sandbox",
            "connectors": {"gateways": {"kind": "ssh", "secret": "gateway-key", "options": self.options()}},
            "policy": {"gateways": {"session": {"detach": "2s"}}},
        }
        (config / "quarterdeck.yaml").write_text(json.dumps(settings), "utf-8")
        subprocess.run(
            [sys.executable, "-m", "engine.secret", "set", "gateway-key", "--config", str(config)],
            input=self.sshd.private, text=True, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        done = self.run("engine", "start")
        assert done.returncode == 0, done.stderr

    def options(self) -> dict[str, Any]:
        return {name: value for name, value in self.sshd.settings().items() if name != "secret"}

    def glass(self, person: str = "root") -> dict[str, Any]:
        """A grant without waiting for anybody."""
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.home / f"id-{time.monotonic_ns()}")],
            check=True,
        )
        key = max(self.home.glob("id-*.pub"), key=lambda one: one.stat().st_mtime_ns)
        asked = self.json(
            "access", "breakglass", "shell", "--site", "HAM2", "--reason", "agent hangs", "--key", str(key), "--yes"
        )

        def granted() -> dict[str, Any] | None:
            found = self.json("access", "show", asked["target"])["grant"]
            return found if found and found["state"] == "active" else None

        grant: dict[str, Any] = until(granted)
        authority = self.json("access", "ca")
        (self.sshd.data / "ca.pub").write_text(authority["public_key"] + "\n", "utf-8")
        return grant

    def session(self, id: str) -> dict[str, Any]:
        return {"watchers": [], "exit": None, "recording": "", **self.json("records", "show", "ssh_session", id)}

    def over(self, id: str, seconds: float = 10) -> dict[str, Any]:
        return dict(until(lambda: (found := self.session(id))["state"] not in ("opening", "open") and found, seconds))


def until(look: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.1)
    return found


class Person:
    """`qd access ssh` on a terminal of its own."""

    def __init__(self, site: Site, *words: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(
                sys.executable,
                [sys.executable, "-m", "app", "access", "ssh", *words],
                {**site.environment, "TERM": "xterm-256color"},
            )
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def sees(self, pattern: str, seconds: float = 15) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.said)):
            assert time.monotonic() < deadline, f"{pattern!r} not in {self.said[-1500:]!r}"
            ready, _, _ = select.select([self.fd], [], [], 0.2)
            if ready:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                self.said += data.decode("utf-8", "replace")
                if not data and not re.search(pattern, self.said):
                    raise AssertionError(f"{pattern!r} not in {self.said[-1500:]!r}, and it ended")
        return found

    def ended(self, seconds: float = 10) -> int:
        deadline = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while select.select([self.fd], [], [], 0.1)[0]:
                    try:
                        self.said += os.read(self.fd, 65536).decode("utf-8", "replace")
                    except OSError:
                        break
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            ready, _, _ = select.select([self.fd], [], [], 0.1)
            if ready:
                try:
                    self.said += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    time.sleep(0.05)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"it did not end: {self.said[-800:]!r}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running() as sshd:
        site = Site(tmp_path_factory.mktemp("gw") / "h", sshd)
        site.begin()
        try:
            yield site
        finally:
            site.stop()


def test_without_a_grant_nobody_gets_in_and_that_it_was_tried_is_kept(site: Site) -> None:
    refused = site.run("access", "ssh", "ham2", "id")
    assert refused.returncode == 1 and "no grant that runs" in refused.stderr, refused.stderr
    assert "qd access request shell --site HAM2" in refused.stderr
    assert "would be refused" in site.run("access", "ssh", "--dry-run", "ham2", "id").stdout
    kept = site.json("access", "sessions", "--all")
    assert [(one["state"], one["gateway"]) for one in kept] == [("refused", "ham2")]
    assert site.run("access", "ssh", "nowhere", "id").returncode == 1
    assert site.run("access", "ssh", "--as", "eve", "ham2", "id").returncode == 1  # not in her roles
    logins = site.sshd.log.read_text("utf-8")
    assert "ID GR-" not in logins and "ID no-grant" not in logins  # looks of the engine itself come with its own key


def test_a_command_with_a_grant_is_run_recorded_and_its_status_passed_on(site: Site) -> None:
    grant = site.glass()
    done = site.run("access", "ssh", "ham2", "echo seen; printf '\\033]52;c;cHduZWQ=\\007'; exit 7")
    assert (done.returncode, done.stdout) == (7, "seen\n"), done.stderr
    session = site.json("access", "sessions", "--all")[0]
    assert (session["state"], session["exit"], session["grant"]) == ("ended", 7, grant["id"])
    assert f"ID {grant['id']} root {session['id']} (serial {grant['serial']})" in site.sshd.log.read_text("utf-8")
    digest = session["recording"]
    played = site.json("history", "play", digest)
    assert "".join(data for _, code, data in played["events"] if code == "o").startswith("seen\n")
    assert site.run("history", "play", session["id"]).stdout == "seen\n\n"
    used = site.json("records", "show", "grant", grant["id"])["used"]
    assert used["sessions"] == 1 and used["recordings"] == [session["id"], digest]
    saved = site.home / "out.cast"
    assert site.run("history", "play", digest, "--out", str(saved)).returncode == 0
    lines = saved.read_text("utf-8").splitlines()
    assert json.loads(lines[0])["version"] == 2 and json.loads(lines[1])[1] == "o"
    assert site.run("history", "verify").returncode == 0
    logged = "".join(path.read_text("utf-8") for path in site.home.rglob("*.log"))
    assert "engine" in logged and "echo seen" not in logged  # what is run is in the history, not in a log


def test_a_shell_is_typed_into_resized_watched_and_left(site: Site) -> None:
    grant = site.glass()
    person = Person(site, "ham2")
    id = person.sees(r"(SS-\d+) on ham2 as \w+, with " + grant["id"]).group(1)
    person.type("stty -echo; PS1=; echo a''b; tput cols\r")
    person.sees("ab\r\n")
    page = site.json("fleet", "gateways", "--look")
    row = page["gateways"][0]
    assert (row["reachable"], row["host_key"], [one["id"] for one in row["sessions"]]) == (True, "trusted", [id]), row[
        "error"
    ]
    live = subprocess.Popen(
        [sys.executable, "-m", "app", "access", "watch", id, "--as", "carl"], env=site.environment, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    until(lambda: site.session(id)["watchers"] == ["carl"])
    person.type("echo still''here; exit 3\r")
    assert person.ended() == 3
    assert f"qd history play {id}" in person.said
    assert "stillhere" in (live.communicate(timeout=10)[0] or "")
    done = site.session(id)
    assert (done["state"], done["exit"]) == ("ended", 3) and done["input_b"] > 20
    assert (
        site.run("access", "ssh", "--as", "tess", "ham2", "id").returncode == 1
    )  # somebody else's grant opens nothing


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed here")
def test_the_console_lends_its_terminal_and_takes_it_back(site: Site) -> None:
    grant = site.glass()
    console = Terminal([sys.executable, "-m", "app"], environment=site.environment)
    try:
        console.wait("watch")
        console.press("F6")
        console.wait(r"ham2 .*up.*GR-")
        console.press("S")
        console.wait(r"SS-\d+ on ham2 as \w+, with " + grant["id"])
        console.wait(r"[#$] ?$|[#$] *\n")
        console.type("echo in''side")
        console.press("Enter")
        console.wait("inside")
        console.type("exit 4")
        console.press("Enter")
        left = console.wait("Enter goes back to the console")
        id = re.search(r"(SS-\d+): left with status 4", left).group(1)  # type: ignore[union-attr]
        console.press("Enter")
        console.wait(rf"{id} +ended")
        console.press("Tab", "g", "Enter")
        console.wait(rf"{id} \w+ on ham2 with {grant['id']}")
        console.press("G")
        assert "inside" in console.wait("exit 4")
    finally:
        console.close()


def test_a_revoked_grant_ends_the_session_within_two_seconds(site: Site) -> None:
    grant = site.glass()
    person = Person(site, "--grant", grant["id"], "ham2")
    id = person.sees(r"(SS-\d+) on ham2").group(1)
    person.type("trap '' HUP; echo in''side; sleep 60\r")
    person.sees("inside")
    began = time.monotonic()
    site.json("access", "revoke", grant["id"], "--reason", "enough", "--as", "carl")
    person.sees("was revoked", 5)
    assert time.monotonic() - began < 4  # two starts of the command line are in it
    assert person.ended() == 255
    done = site.over(id)
    assert (done["state"], done["exit"]) == ("cut", None) and done["recording"].startswith("sha256:")
    assert "in''side" in site.run("history", "play", id).stdout
    history = site.json("records", "history", "ssh_session", id)
    assert history[-1]["actor"]["kind"] == "engine"


def test_what_others_agreed_to_opens_it_and_its_end_closes_it(site: Site) -> None:
    """Asked for by tess, agreed to by the owner of the data, over after some seconds: nobody has to do anything."""
    site.glass()
    key = str(max(site.home.glob("id-*.pub")))
    asked = (
        "access",
        "request",
        "shell",
        "--site",
        "HAM2",
        "--because",
        "agent hangs",
        "--ticket",
        "M-7",
        "--for",
        "9s",
        "--key",
        key,
    )
    request = site.json(*asked, "--as", "tess")["target"]
    gate = until(lambda: site.json("access", "show", request)["gate"])
    refused = site.run("access", "ssh", "--as", "tess", "ham2", "id")
    assert refused.returncode == 1 and "tess has no grant" in refused.stderr  # asked for is not granted
    assert site.run("gates", "approve", gate, "--as", "dirk", "--yes", "--rationale", "for the ticket").returncode == 0
    grant = until(
        lambda: (found := site.json("access", "show", request)["grant"]) and found["state"] == "active" and found
    )
    person = Person(site, "--as", "tess", "ham2")
    id = person.sees(r"(SS-\d+) on ham2 as \w+, with " + grant["id"]).group(1)
    person.type("trap '' HUP; sleep 60\r")
    assert person.ended(20) == 255
    done = site.over(id)
    assert (done["state"], done["person"]) == ("cut", "tess") and "ended" in done["ended_why"]
    assert done["ended_at"] - grant["expires_at"] < 3 and done["recording"]
    assert f"ID {grant['id']} tess {id}" in site.sshd.log.read_text("utf-8")


def test_a_session_is_ended_by_who_may_and_by_hanging_up(site: Site) -> None:
    site.glass()
    person = Person(site, "ham2")
    id = person.sees(r"(SS-\d+) on ham2").group(1)
    person.type("echo re''ady\r")
    person.sees("ready")
    assert site.run("access", "cut", id, "--as", "tom").returncode == 1
    site.json("access", "cut", id, "--reason", "no", "--as", "carl")
    assert person.ended() == 255
    assert site.json("records", "history", "ssh_session", id)[-1]["actor"]["id"] == "carl"

    other = Person(site, "ham2")
    id = other.sees(r"(SS-\d+) on ham2").group(1)
    other.type("echo re''ady\r")
    other.sees("ready")
    other.type("\r~.")
    other.ended()
    assert site.over(id)["ended_why"] == "root hung up"

    lost = Person(site, "ham2")
    id = lost.sees(r"(SS-\d+) on ham2").group(1)
    os.kill(lost.pid, signal.SIGKILL)
    assert lost.ended() == -9
    assert "the connection of root ended" in site.over(id)["ended_why"]


def test_a_flood_is_kept_whole_and_memory_stays_flat(site: Site) -> None:
    site.glass()
    pid = site.json("engine", "status")["pid"]
    before = _rss(pid)
    done = site.run("access", "ssh", "ham2", "head -c 12000000 /dev/zero | tr '\\0' a")
    assert (done.returncode, len(done.stdout)) == (0, 12_000_000)
    session = site.json("access", "sessions", "--all")[0]
    assert session["output_b"] == 12_000_000 and _rss(pid) - before < 60_000


def test_an_engine_that_is_stopped_ends_its_sessions_and_says_so(site: Site) -> None:
    site.glass()
    person = Person(site, "ham2")
    id = person.sees(r"(SS-\d+) on ham2").group(1)
    person.type("echo re''ady\r")
    person.sees("ready")
    assert site.run("engine", "stop").returncode == 0
    assert person.ended() == 255 and "the engine was stopped" in person.said
    assert site.run("engine", "start").returncode == 0
    done = site.session(id)
    assert (done["state"], done["ended_why"]) == ("cut", "the engine was stopped") and done["recording"]


def test_an_engine_that_is_killed_leaves_the_recording_and_the_next_one_keeps_it(site: Site) -> None:
    site.glass()
    person = Person(site, "ham2")
    id = person.sees(r"(SS-\d+) on ham2").group(1)
    person.type("echo last''words\r")
    person.sees("lastwords")
    os.kill(site.json("engine", "status")["pid"], signal.SIGKILL)
    assert person.ended(60) != 0
    assert site.run("engine", "start").returncode == 0
    done = site.over(id)
    assert (done["state"], done["ended_why"]) == ("lost", "the engine went down while it was open")
    assert "lastwords" in site.run("history", "play", id).stdout
    assert not list((site.home / "state").glob("sessions/*.cast"))


WORKFLOW = """
quarterdeck: 1
workflow: gateway-check
version: 1
title: Look and act on a gateway
inputs:
  file: {type: string, required: true}
  more: {type: string, default: "true"}
defaults: {retry: {attempts: 6, first: 1s, factor: 2, cap: 3s}}
steps:
  act:
    action: gateway.run
    effect: once
    key: run.id + "/act"
    with:
      gateway: ham2
      command: "echo x >>{file}; eval {more}; echo done"
      args: {file: "${inputs.file}", more: "${inputs.more}"}
      ok: [0]
  take:
    action: gateway.fetch
    with: {gateway: ham2, path: "${inputs.file}", media: text/plain}
"""


def _run(site: Site, file: Path, more: str = "true") -> str:
    definition = site.home / "gateway-check.yaml"
    definition.write_text(WORKFLOW, "utf-8")
    site.json("workflows", "register", str(definition))
    words = (
        "runs",
        "start",
        "gateway-check",
        "--input",
        f"file={json.dumps(str(file))}",
        "--input",
        f"more={json.dumps(more)}",
    )
    return str(site.json(*words)["target"])


def _finished(site: Site, run: str, seconds: float = 60) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        found = site.json("runs", "show", run)
        return found if found["run"]["status"] not in ("running", "waiting", "pending") else None

    return dict(until(over, seconds))


def test_the_engine_is_killed_by_the_command_it_asked_for_and_it_ran_once(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "effects"
    run = _run(site, file, f"kill -9 {site.json('engine', 'status')['pid']}; sleep 1")
    until(file.exists)
    until(lambda: site.run("engine", "start").returncode == 0)
    done = _finished(site, run)
    assert done["run"]["status"] == "completed", done
    assert file.read_text() == "x\n"


def test_a_gateway_that_is_away_is_waited_for_and_the_run_says_so(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "effects"
    site.sshd.stop()
    try:
        run = _run(site, file)
        waiting = until(
            lambda: [one for one in site.json("runs", "explain", run) if "can't be reached" in json.dumps(one)]
        )
        assert waiting and not file.exists()
    finally:
        site.sshd.start()
    done = _finished(site, run)
    assert done["run"]["status"] == "completed" and file.read_text() == "x\n"
    assert all(step.get("attempt", 1) == 1 for step in done["steps"])  # to be away is no attempt


def _rss(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))  # type: ignore[union-attr]
