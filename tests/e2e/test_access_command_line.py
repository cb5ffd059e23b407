"""Access on the command line, with OpenSSH's own tools and a real archive at the end of it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation

pytestmark = pytest.mark.slow
KEYGEN = shutil.which("ssh-keygen")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = Installation(tmp_path_factory.mktemp("access") / "home")
    begun = home.run("demo", "--detach", "--scenario", "access-review", "--seed", "7")
    assert begun.returncode == 0, begun.stderr
    yield home
    home.stop()


def until(look: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def approved(home: Installation, request: str, person: str) -> dict[str, Any]:
    """Agrees at the request's gate, and waits for the grant."""

    def gate() -> str:
        return str(home.json("access", "show", request)["gate"])

    done = home.run("gates", "approve", until(gate), "--as", person, "--yes", "--rationale", "for the ticket")
    assert done.returncode == 0, done.stderr

    def granted() -> dict[str, Any] | None:
        found = home.json("access", "show", request)
        return found if found["grant"] and found["grant"]["state"] == "active" else None

    return dict(until(granted))


@pytest.mark.skipif(KEYGEN is None, reason="ssh-keygen is not installed here")
def test_a_shell_from_asking_to_the_revocation_list(home: Installation, tmp_path: Path) -> None:
    subprocess.run([str(KEYGEN), "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True, timeout=20)
    private = home.run(
        "access", "request", "shell", "--site", "HAM2", "--because", "x", "--key", str(tmp_path / "id"), "--as", "tess"
    )
    assert private.returncode == 2 and "private key" in private.stderr and "BEGIN" not in private.stderr
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
        "1h",
        "--key",
        str(tmp_path / "id.pub"),
        "--as",
        "tess",
    )
    foreseen = home.json(*asked, "--dry-run")
    assert foreseen["preview"] and "needs the agreement of data-owner" in foreseen["consequences"][0]
    request = home.json(*asked)["target"]
    grant = approved(home, request, "dirk")["grant"]
    certificate = tmp_path / "id-cert.pub"
    assert home.run("access", "cert", grant["id"], "--out", str(certificate)).returncode == 0
    said = subprocess.run(
        [str(KEYGEN), "-L", "-f", str(certificate)], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    assert f'"{grant["id"]} tess"' in said and "qd-HAM2" in said and f"Serial: {grant['serial']}" in said
    assert (
        home.json("access", "revoke", grant["id"], "--reason", "done", "--as", "carl")["result"]["state"] == "revoked"
    )
    krl = tmp_path / "krl"
    assert home.run("access", "ca", "--krl", str(krl)).returncode == 0
    revoked = subprocess.run(
        [str(KEYGEN), "-Q", "-f", str(krl), str(certificate)], capture_output=True, text=True, timeout=20, check=False
    )
    assert revoked.returncode == 1 and "REVOKED" in revoked.stdout
    used = home.run("access", "use", grant["id"], "command", "--count", "1", "--as", "tess")
    assert used.returncode == 1 and "is revoked: nothing more is done with it" in used.stderr


def test_an_export_is_fetched_whole_once_and_by_nobody_else(home: Installation, tmp_path: Path) -> None:
    kept = home.json("records", "ls", "evidence", "--limit", "1")["rows"][0]["id"]
    request = home.json(
        "access",
        "request",
        "export",
        "--file",
        kept,
        "--because",
        "the customer's own",
        "--ticket",
        "DA-1",
        "--as",
        "kim",
    )["target"]
    grant = approved(home, request, "dirk")["grant"]["id"]
    out = tmp_path / "taken.tar"
    assert (
        "was made for kim"
        in home.run("access", "fetch", grant, "--out", str(out), "--as", "eve").stderr
        + home.run("access", "fetch", grant, "--out", str(out), "--as", "dirk").stderr
    )
    assert home.run("access", "fetch", grant, "--out", str(out), "--as", "kim").returncode == 0
    with tarfile.open(out) as archive:
        manifest, file = archive.getnames()
        taken = archive.extractfile(file)
        assert manifest == "MANIFEST.dsse.json" and taken is not None
        assert "sha256:" + hashlib.sha256(taken.read()).hexdigest() == kept
    again = home.run("access", "fetch", grant, "--out", str(tmp_path / "again.tar"), "--as", "kim")
    assert again.returncode == 1 and "fetched already" in again.stderr and not (tmp_path / "again.tar").exists()


def test_what_is_wrong_is_said_with_its_field_and_changes_nothing(home: Installation) -> None:
    before = len(home.json("access", "ls")["requests"])
    wrong = home.json("access", "request", "direct", "--because", "x", "--as", "olga", code=1)
    assert wrong["error"]["field"] == "robots"
    assert home.run("access", "request", "direct", "--because", "x", "--robot", "R", "--for", "soon").returncode == 2
    viewer = home.json("access", "request", "observe", "--because", "x", "--robot", "R", "--as", "eve", code=1)
    assert viewer["error"]["code"]
    assert len(home.json("access", "ls")["requests"]) == before


def test_breaking_glass_names_its_phrase_and_the_rules_can_be_replayed(home: Installation) -> None:
    robot = home.json("access", "show", "Q-1")["request"]["robots"][0]
    words = ("access", "breakglass", "assist", "--robot", robot, "--reason", "fire door", "--as", "dana")
    refused = home.run(*words)
    assert refused.returncode == 1 and f"break glass {robot}" in refused.stderr
    assert home.json(
        "access", "breakglass", "assist", "--robot", robot, "--reason", "x", "--yes", "--as", "tom", code=1
    )["error"]["code"]
    request = home.json(*words, "--phrase", f"break glass {robot}")["target"]
    until(lambda: home.json("access", "show", request)["request"]["state"] == "granted")
    replay = home.json("access", "replay", "Q-1")
    assert replay["same"] is True and replay["took_ms"] < 2000
    shown = home.run("access", "show", "Q-1", "--trace").stdout
    assert "StVFernLV" in shown and "verified 2026-11-23" in shown and "looked at" in shown
    thread = home.run("trace", request)
    assert thread.returncode == 0 and "qd.access.breakglass" in thread.stdout, thread.stdout + thread.stderr
