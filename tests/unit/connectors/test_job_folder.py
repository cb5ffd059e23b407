"""A training job as a folder two machines see: whole or not there, data copied once, nothing of the vault ever linked."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from connectors.job_folder import JobFolders, Told
from engine.capabilities.data.training import Spec
from engine.capabilities.ports import ActionError

ONE, TWO = "a" * 24, "b" * 24


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    recording = tmp_path / "vault" / "recording.mcap"
    recording.parent.mkdir()
    recording.write_bytes(b"recorded")
    base = tmp_path / "vault" / "base"
    base.write_bytes(b"weights")
    data = tmp_path / "data"
    data.mkdir()
    (data / "episodes.jsonl").write_text(json.dumps({"episode": "S-1", "file": str(recording)}) + "\n")
    (data / "labels.json").write_text("{}")
    (tmp_path / "shared").mkdir()
    return Spec(training="T-1", argv=("{python}", "{data}"), data=str(data), base=str(base), recipe={"epochs": 2})


def test_the_cluster_finds_everything_at_its_own_paths(spec: Spec, tmp_path: Path) -> None:
    folders, told = JobFolders(tmp_path / "shared", "/mnt/qd/"), []
    folders.prepare(ONE, spec, lambda done, of: told.append((done, of)))
    place = tmp_path / "shared" / "jobs" / ONE
    theirs = msgspec.json.decode((place / "spec.json").read_bytes(), type=Spec)
    assert theirs.data == f"/mnt/qd/jobs/{ONE}/data" and theirs.base.startswith(f"{theirs.data}/files/")
    (line,) = (place / "data" / "episodes.jsonl").read_text().splitlines()
    file = json.loads(line)["file"]
    assert file.startswith(f"{theirs.data}/files/") and file.endswith(".mcap") and told == [(1, 1)]
    assert (place / "data" / "files" / Path(file).name).read_bytes() == b"recorded"
    assert (place / "data" / "labels.json").read_text() == "{}" and (place / "supervise.py").stat().st_size > 1000
    assert json.loads((place / "recipe.json").read_bytes()) == {"epochs": 2}


def test_data_is_copied_once_for_all_jobs_and_goes_with_the_last(spec: Spec, tmp_path: Path) -> None:
    folders, pool = JobFolders(tmp_path / "shared"), tmp_path / "shared" / "files"
    folders.prepare(ONE, spec)
    first = {path.name: path.stat().st_ino for path in pool.iterdir()}
    folders.prepare(TWO, spec)
    folders.prepare(TWO, spec)
    assert {path.name: path.stat().st_ino for path in pool.iterdir()} == first and len(first) == 2
    source = tmp_path / "vault" / "recording.mcap"
    assert source.stat().st_nlink == 1, "what is kept is never linked: a program may write into its data"
    folders.forget(ONE)
    assert len(list(pool.iterdir())) == 2
    folders.forget(TWO)
    assert not list(pool.iterdir()) and source.exists()


def test_a_crash_in_the_middle_leaves_no_half_job(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = JobFolders(tmp_path / "shared")

    def crash(*_: object) -> None:
        raise OSError("power loss")

    with monkeypatch.context() as patched:
        patched.setattr("connectors.job_folder.os.replace", crash)
        with pytest.raises(OSError, match="power"):
            folders.prepare(ONE, spec)
    assert not folders.exists(ONE)
    folders.prepare(ONE, spec)
    assert folders.exists(ONE)


def test_what_stands_and_what_is_asked_is_written_whole(spec: Spec, tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "shared")
    folders.prepare(ONE, spec)
    assert folders.told(ONE) == Told() and folders.attempt(ONE) == folders.moment(ONE) == 0
    folders.begin(ONE, 3)
    folders.ask(ONE, "cancel")
    folders.end(ONE, "cancelled", "Cancelled", "by a person")
    assert folders.attempt(ONE) == 3 and folders.told(ONE).state == "cancelled" and folders.moment(ONE) > 0
    assert not list((tmp_path / "shared" / "jobs" / ONE).glob("*.new")) and folders.log(ONE, 0, 10) == b""
    (tmp_path / "shared" / "jobs" / ONE / "status.json").write_text("{")
    with pytest.raises(ActionError) as torn:
        folders.told(ONE)
    assert torn.value.error == "BadStatus"


def test_names_lead_nowhere_else(spec: Spec, tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "shared")
    folders.prepare(ONE, spec)
    out = tmp_path / "shared" / "jobs" / ONE / "out"
    (out / "model.bin").write_bytes(b"x")
    (out / "link.bin").symlink_to("/etc/passwd")
    assert folders.checkpoint(ONE, "../../out/model.bin").read_bytes() == b"x"
    for name in ("link.bin", "none.bin"):
        with pytest.raises(ActionError) as refused:
            folders.checkpoint(ONE, name)
        assert refused.value.error == "NoCheckpoint"
    for job in ("../../etc", "", "A" * 24):
        with pytest.raises(ActionError) as strange:
            folders.log(job, 0, 1)
        assert strange.value.error == "NoSuchJob"
    with pytest.raises(ActionError) as unmounted:
        JobFolders(tmp_path / "nowhere").prepare(TWO, spec)
    assert unmounted.value.error == "NoWorkspace" and unmounted.value.retryable
