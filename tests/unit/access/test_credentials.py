"""Certificates, revocation lists, signed statements and packages: checked with other people's tools where there are some."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from engine.capabilities.access import envelope, package, ssh_ca
from engine.capabilities.ports import ActionError
from engine.capabilities.vault import Vault
from tests.unit.access.site import Keyring

KEYGEN = shutil.which("ssh-keygen")
needs_keygen = pytest.mark.skipif(KEYGEN is None, reason="ssh-keygen is not installed here")
NOW = 1_763_900_000


def pair(folder: Path, kind: str = "ed25519", bits: str = "") -> tuple[Path, str]:
    """A person's own key pair, by OpenSSH."""
    path = folder / f"id_{kind}{bits}"
    command = [str(KEYGEN), "-q", "-t", kind, "-N", "", "-C", "tom", "-f", str(path), *(["-b", bits] if bits else [])]
    subprocess.run(command, check=True, timeout=60)
    return path, path.with_suffix(path.suffix + ".pub").read_text("utf-8")


def certified(folder: Path, keys: Keyring, public: str, *, serial: int = 12) -> Path:
    made = ssh_ca.Authority.open(keys).sign(
        public, serial=serial, key_id="GR-12 tom for VendorCo", principals=["qd-HAM2"], valid_after=NOW, valid_before=NOW + 7200,
        source_address="10.0.0.0/8",
    )  # fmt: skip
    path = folder / f"id-{serial}-cert.pub"
    path.write_text(made.text + "\n", "utf-8")
    return path


@needs_keygen
@pytest.mark.parametrize(("kind", "bits"), [("ed25519", ""), ("ecdsa", "256"), ("rsa", "3072")])
def test_openssh_reads_the_certificate_as_it_was_meant(tmp_path: Path, kind: str, bits: str) -> None:
    keys = Keyring()
    _, public = pair(tmp_path, kind, bits)
    certificate = certified(tmp_path, keys, public)
    done = subprocess.run(
        [str(KEYGEN), "-L", "-f", str(certificate)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env={"TZ": "UTC"},
    )
    said = done.stdout
    assert "user certificate" in said and 'Key ID: "GR-12 tom for VendorCo"' in said and "Serial: 12" in said
    assert f"Signing CA: ED25519 {ssh_ca.Authority.open(keys).fingerprint}" in said
    start, end = (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) for t in (NOW, NOW + 7200))
    assert f"from {start} to {end}" in said
    assert (
        "qd-HAM2" in said and "permit-pty" in said and "source-address 10.0.0.0/8" in said and "force-command" in said
    )
    assert "permit-port-forwarding" not in said and "permit-agent-forwarding" not in said


@needs_keygen
def test_openssh_reads_the_revocation_list(tmp_path: Path) -> None:
    keys = Keyring()
    _, public = pair(tmp_path)
    good, bad = certified(tmp_path, keys, public, serial=12), certified(tmp_path, keys, public, serial=13)
    krl = tmp_path / "krl"
    krl.write_bytes(ssh_ca.Authority.open(keys).revocations([13, 99], version=2, at=NOW, comment="quarterdeck"))
    assert (
        subprocess.run(
            [str(KEYGEN), "-Q", "-f", str(krl), str(good)], capture_output=True, timeout=20, check=False
        ).returncode
        == 0
    )
    revoked = subprocess.run(
        [str(KEYGEN), "-Q", "-f", str(krl), str(bad)], capture_output=True, text=True, timeout=20, check=False
    )
    assert revoked.returncode == 1 and "REVOKED" in revoked.stdout
    krl.write_bytes(ssh_ca.Authority.open(keys).revocations([], version=3, at=NOW))  # nothing taken back is a list too
    assert (
        subprocess.run(
            [str(KEYGEN), "-Q", "-f", str(krl), str(bad)], capture_output=True, timeout=20, check=False
        ).returncode
        == 0
    )


def test_the_ca_is_made_once_and_its_secret_half_is_only_in_the_keyring(tmp_path: Path) -> None:
    keys = Keyring()
    with pytest.raises(ActionError, match="no entry"):
        ssh_ca.Authority.open(keys, make=False)
    first = ssh_ca.Authority.open(keys).public
    assert ssh_ca.Authority.open(keys, make=False).public == first
    assert first.startswith("ssh-ed25519 ") and "PRIVATE" in keys.kept[ssh_ca.SECRET] and "PRIVATE" not in first


@needs_keygen
def test_private_weak_and_nonsense_keys_are_refused_with_the_reason(tmp_path: Path) -> None:
    private, public = pair(tmp_path)
    _, weak = pair(tmp_path, "rsa", "2048")
    certificate = certified(tmp_path, Keyring(), public).read_text("utf-8")
    for text, says in (
        (private.read_text("utf-8"), "private key"),
        (weak, "2048 bits is too weak"),
        (certificate, "not a public SSH key of a kind"),
        ("ssh-ed25519 AAAA\x1b[2J", "base64"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAP", "not a public SSH key"),
        ("", "not a public SSH key"),
    ):
        with pytest.raises(ActionError, match=says) as refused:
            ssh_ca.public_key(text)
        assert refused.value.error == "BadKey" and "BEGIN" not in refused.value.message


@needs_keygen
def test_a_certificate_never_opens_every_account_nor_ends_before_it_begins(tmp_path: Path) -> None:
    _, public = pair(tmp_path)
    ca = ssh_ca.Authority.open(Keyring())
    with pytest.raises(ActionError, match="every account"):
        ca.sign(public, serial=1, key_id="x", principals=[], valid_after=NOW, valid_before=NOW + 1)
    with pytest.raises(ActionError, match="end before it begins"):
        ca.sign(public, serial=1, key_id="x", principals=["a"], valid_after=NOW, valid_before=NOW)


def run_forced(until: float, original: str) -> subprocess.CompletedProcess[str]:
    command = ssh_ca.forced_command(int(until))
    env = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "SSH_ORIGINAL_COMMAND": original}
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=20, env=env, check=False)


def test_the_forced_command_does_what_was_asked_until_the_end_and_then_nothing() -> None:
    done = run_forced(time.time() + 60, 'echo "one two" | tr a-z A-Z; exit 7')
    assert (done.stdout, done.returncode) == ("ONE TWO\n", 7)
    began = time.monotonic()
    cut = run_forced(time.time() + 2, "echo started; sleep 15; echo never")
    assert cut.stdout == "started\n" and time.monotonic() - began < 6
    over = run_forced(time.time() - 1, "echo never")
    assert over.returncode == 255 and over.stdout == "" and "has ended" in over.stderr
    stubborn = run_forced(time.time() + 2, "trap '' HUP TERM; echo started; while :; do sleep 1; done")
    assert stubborn.stdout == "started\n"


def test_a_statement_is_taken_from_its_own_key_whole_and_in_its_time() -> None:
    keys = Keyring()
    signer = envelope.Signer.open(keys)
    signed = signer.sign(envelope.EXPORT, {"grant": "GR-1", "not_before": 10.0, "expires_at": 20.0})
    assert envelope.opened(signed, signer.public, now=15.0).body["grant"] == "GR-1"
    for now in (9.0, 20.0, 1e9):
        with pytest.raises(envelope.BadEnvelope, match="over, or not yet"):
            envelope.opened(signed, signer.public, now=now)
    with pytest.raises(envelope.BadEnvelope, match="not by this key"):
        envelope.opened(signed, envelope.Signer.open(Keyring()).public)
    changed = msgspec.json.decode(signed)
    changed["payloadType"] = envelope.TICKET  # a ticket to look is no export
    with pytest.raises(envelope.BadEnvelope, match="was changed"):
        envelope.opened(msgspec.json.encode(changed), signer.public)
    for junk in (b"", b"[]", b'{"payload": 1}', signed[:-30]):
        with pytest.raises(envelope.BadEnvelope):
            envelope.opened(junk, signer.public)


def test_the_pre_authentication_encoding_is_dsse(tmp_path: Path) -> None:
    """The example of the protocol's own description."""
    assert (
        envelope.encoding("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def session(folder: Path, name: str, data: bytes) -> SimpleNamespace:
    (folder / name).write_bytes(data)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return SimpleNamespace(
        id="S-1/../../etc", uri=(folder / name).as_uri(), name=name, content="", digest=digest, bytes=len(data), robot="R-1", site="HAM2",
        variant="rev-B", task="pick", outcome="ok", start=1.0, end=2.0, duration_s=1.0, distance_m=0.5, interventions=1, features={"speed": 0.4},
    )  # fmt: skip


def test_a_package_holds_its_manifest_and_exactly_what_was_approved(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    source = package.of_session(session(tmp_path, "a b.mcap", b"x" * 100_000), "")
    kept = package.build([source], b"signed", vault, name="GR-1")
    with tarfile.open(vault.path(kept.digest)) as archive:
        names = archive.getnames()
        assert names == [package.MANIFEST, "sessions/S-1_.._.._etc.mcap"]  # no name leaves the folder
        found = archive.extractfile(names[1])
        assert found is not None and "sha256:" + hashlib.sha256(found.read()).hexdigest() == source.digest
    assert package.build([source], b"signed", vault, name="GR-1").digest == kept.digest
    assert list((tmp_path / "vault").glob(".export-*")) == []


def test_a_file_that_is_no_longer_what_was_approved_stops_the_export(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    source = package.of_session(session(tmp_path, "a.mcap", b"as approved"), "")
    (tmp_path / "a.mcap").write_bytes(b"as altered!")
    with pytest.raises(package.SourceChanged, match="approved was"):
        package.build([source], b"signed", vault, name="GR-1")
    (tmp_path / "a.mcap").unlink()
    with pytest.raises(package.SourceChanged, match="can't be read"):
        package.build([source], b"signed", vault, name="GR-1")


def test_derived_hands_over_the_measures_and_keeps_the_recording(tmp_path: Path) -> None:
    source = package.of_session(session(tmp_path, "a.mcap", b"video"), "derived")
    assert source.data is not None and b"video" not in source.data
    assert msgspec.json.decode(source.data)["features"] == {"speed": 0.4}
