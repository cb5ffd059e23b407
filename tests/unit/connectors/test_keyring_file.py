"""The sealed file holds secrets only for those who may have them, and survives crashes and races."""

from __future__ import annotations

import base64
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from keyring.errors import InitError, KeyringError, PasswordDeleteError, PasswordSetError

from connectors.keyring_file import KEY_B, MAGIC, FileKeyring, UnsafeFile, create_key, read_key
from engine.capabilities.ports import ActionError
from engine.capabilities.secrets import Secrets

SECRET = "correct horse battery staple"


@pytest.fixture
def ring(tmp_path: Path) -> FileKeyring:
    create_key(tmp_path / "secrets.key")
    return FileKeyring(str(tmp_path / "secrets.qdk"), f"file:{tmp_path / 'secrets.key'}")


def again(ring: FileKeyring) -> FileKeyring:
    return FileKeyring(ring.file, ring.key)


def test_what_is_stored_comes_back_in_another_process_and_nothing_else_does(ring: FileKeyring) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    ring.set_password("quarterdeck", "metrics", "Straße ☂")
    other = again(ring)
    assert other.get_password("quarterdeck", "updates") == SECRET
    assert other.get_password("quarterdeck", "metrics") == "Straße ☂"
    assert other.get_password("quarterdeck", "nothing") is None and other.get_password("other", "updates") is None
    assert other.names("quarterdeck") == ["metrics", "updates"]
    other.delete_password("quarterdeck", "updates")
    assert ring.get_password("quarterdeck", "updates") is None
    with pytest.raises(PasswordDeleteError):
        ring.delete_password("quarterdeck", "updates")


def test_the_file_shows_nothing_and_is_the_owners_alone(ring: FileKeyring) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    data = Path(ring.file).read_bytes()
    assert data.startswith(MAGIC)
    for word in (SECRET, "updates", "quarterdeck", base64.b64encode(SECRET.encode()).decode()):
        assert word.encode() not in data[len(MAGIC) :]
    for path in (ring.file, ring.file + ".lock", ring.key.removeprefix("file:")):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_every_write_is_sealed_anew(ring: FileKeyring) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    first = Path(ring.file).read_bytes()
    ring.set_password("quarterdeck", "updates", SECRET)
    assert Path(ring.file).read_bytes() != first, "a nonce is used once"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_file_or_key_others_can_touch_is_not_believed(ring: FileKeyring, mode: int) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    for path in (ring.file, ring.key.removeprefix("file:")):
        os.chmod(path, mode)
        with pytest.raises(UnsafeFile, match="chmod 600"):
            again(ring).get_password("quarterdeck", "updates")
        os.chmod(path, 0o600)
    assert again(ring).get_password("quarterdeck", "updates") == SECRET


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_somebody_else_is_not_believed(ring: FileKeyring) -> None:
    os.chown(ring.key.removeprefix("file:"), 65534, 65534)
    with pytest.raises(UnsafeFile, match="belongs to"):
        ring.get_password("quarterdeck", "updates")


def test_a_symbolic_link_is_not_followed(ring: FileKeyring, tmp_path: Path) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    (tmp_path / "link.qdk").symlink_to(ring.file)
    (tmp_path / "link.key").symlink_to(ring.key.removeprefix("file:"))
    with pytest.raises(KeyringError):
        FileKeyring(str(tmp_path / "link.qdk"), ring.key).get_password("quarterdeck", "updates")
    with pytest.raises(KeyringError):
        FileKeyring(ring.file, f"file:{tmp_path / 'link.key'}").get_password("quarterdeck", "updates")


@pytest.mark.parametrize("at", [0, len(MAGIC), len(MAGIC) + 5, -1, -20])
def test_a_changed_file_is_noticed_and_not_overwritten(ring: FileKeyring, at: int) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    data = bytearray(Path(ring.file).read_bytes())
    data[at] ^= 1
    Path(ring.file).write_bytes(data)
    with pytest.raises(KeyringError):
        ring.get_password("quarterdeck", "updates")
    with pytest.raises(KeyringError):
        ring.set_password("quarterdeck", "updates", "new")
    assert Path(ring.file).read_bytes() == data


@pytest.mark.parametrize("length", [0, 3, len(MAGIC), len(MAGIC) + 12, len(MAGIC) + 20])
def test_a_cut_file_is_noticed(ring: FileKeyring, length: int) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    Path(ring.file).write_bytes(Path(ring.file).read_bytes()[:length])
    with pytest.raises(KeyringError):
        ring.get_password("quarterdeck", "updates")


def test_the_wrong_key_opens_nothing_and_says_nothing(ring: FileKeyring, tmp_path: Path) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)
    create_key(tmp_path / "other.key")
    with pytest.raises(KeyringError) as caught:
        FileKeyring(ring.file, f"file:{tmp_path / 'other.key'}").get_password("quarterdeck", "updates")
    assert SECRET not in str(caught.value) and (tmp_path / "other.key").read_text().strip() not in str(caught.value)


def test_an_existing_key_is_never_replaced(ring: FileKeyring) -> None:
    path = Path(ring.key.removeprefix("file:"))
    before = path.read_bytes()
    create_key(path)
    assert path.read_bytes() == before


def test_a_failed_write_leaves_the_old_file(ring: FileKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.set_password("quarterdeck", "updates", SECRET)

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", broken)
        with pytest.raises(PasswordSetError, match="No space left"):
            ring.set_password("quarterdeck", "updates", "new")
    assert ring.get_password("quarterdeck", "updates") == SECRET
    assert sorted(p.name for p in Path(ring.file).parent.iterdir()) == [
        "secrets.key",
        "secrets.qdk",
        "secrets.qdk.lock",
    ]


def _write(file: str, key: str, name: str) -> None:
    for i in range(5):
        FileKeyring(file, key).set_password("quarterdeck", f"{name}-{i}", name)


def test_writers_at_the_same_time_lose_nothing(ring: FileKeyring) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(ring.file, ring.key, f"p{n}")) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(ring.names("quarterdeck")) == 20


def test_keys_from_a_descriptor_and_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = os.urandom(KEY_B)
    (tmp_path / "raw").write_bytes(key)
    os.chmod(tmp_path / "raw", 0o600)
    assert read_key(f"fd:{os.open(tmp_path / 'raw', os.O_RDONLY)}") == key
    (tmp_path / "qd-key").write_bytes(base64.b64encode(key) + b"\n")
    os.chmod(tmp_path / "qd-key", 0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_key("credential:qd-key") == key
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(InitError, match="LoadCredential"):
        read_key("credential:qd-key")


@pytest.mark.parametrize("source", ["", "env:QD_KEY", "file:", "fd:x", "fd:-1", "credential:../x", "hunter2"])
def test_no_other_source_of_keys_is_known(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("QD_KEY", base64.b64encode(os.urandom(KEY_B)).decode())
    with pytest.raises(InitError):
        read_key(source)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_the_wrong_size_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "key").write_bytes(os.urandom(size))
    os.chmod(tmp_path / "key", 0o600)
    with pytest.raises(InitError, match="32 bytes"):
        read_key(f"file:{tmp_path / 'key'}")


# -- reading secrets by name -------------------------------------------------------------------------------------------


def test_secrets_come_from_the_named_back_end_whatever_the_environment_says(
    ring: FileKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    Secrets({}, tmp_path).set("updates", SECRET)
    assert Secrets({"backend": "file"}, tmp_path).get("updates") == SECRET
    assert ring.get_password("quarterdeck", "updates") == SECRET


def test_a_missing_secret_says_which_and_how(ring: FileKeyring, tmp_path: Path) -> None:
    with pytest.raises(ActionError) as caught:
        Secrets({}, tmp_path).get("updates")
    assert caught.value.error == "SecretMissing" and "'updates'" in caught.value.message
    assert (caught.value.kind, caught.value.retryable) == ("configuration", False)


@pytest.mark.parametrize(
    "backend",
    [
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "keyrings.alt.file.PlaintextKeyring",
        "nothing",
        "no.such.Class",
    ],
)
def test_back_ends_that_keep_nothing_secret_are_refused(tmp_path: Path, backend: str) -> None:
    with pytest.raises(ActionError) as caught:
        Secrets({"backend": backend}, tmp_path).get("updates")
    assert caught.value.error == "KeyringUnusable"


def test_an_unreadable_keyring_names_the_fix(ring: FileKeyring, tmp_path: Path) -> None:
    Secrets({}, tmp_path).set("updates", SECRET)
    os.chmod(tmp_path / "secrets.key", 0o644)
    with pytest.raises(ActionError) as caught:
        Secrets({}, tmp_path).get("updates")
    assert "chmod 600" in caught.value.message and SECRET not in caught.value.message


def test_a_secret_is_stored_from_a_pipe_never_from_an_argument(tmp_path: Path) -> None:
    def run(*arguments: str, value: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "engine.secret", *arguments, "--config", str(tmp_path)]
        return subprocess.run(command, input=value, capture_output=True, text=True, timeout=60, check=False)

    assert run("check", "updates").returncode == 1
    stored = run("set", "updates", value=SECRET + "\n")
    assert stored.returncode == 0 and SECRET not in stored.stderr + stored.stdout
    assert Secrets({}, tmp_path).get("updates") == SECRET
    assert run("check", "updates").returncode == 0
    assert run("set", "updates", SECRET).returncode == 2, "a value as an argument is a usage error"
    assert run("set", "updates", value="\n").returncode == 2 and Secrets({}, tmp_path).get("updates") == SECRET
    assert run("delete", "updates").returncode == 0 and run("check", "updates").returncode == 1
