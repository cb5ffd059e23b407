"""Where an installation lives, and which one `qd` means."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from app import home
from app.home import HomeError


def test_qd_home_puts_everything_under_one_folder(tmp_path: Path) -> None:
    found = home.default({"QD_HOME": str(tmp_path)})
    assert (found.config, found.state, found.run) == (tmp_path / "config", tmp_path / "state", tmp_path / "run")
    assert found.socket == tmp_path / "run" / "engine.sock"
    assert home.demo({"QD_HOME": str(tmp_path)}).state == found.state
    assert [each.state for each in home.candidates({"QD_HOME": str(tmp_path)})] == [found.state]


def test_else_the_xdg_folders_hold_it_and_the_socket_outlives_the_login(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_STATE_HOME": str(tmp_path / "s")}
    found = home.default(env)
    assert found.config == tmp_path / "c" / "quarterdeck"
    assert found.state == tmp_path / "s" / "quarterdeck"
    assert found.run == Path(f"/tmp/quarterdeck-{os.getuid()}")
    demo = home.demo(env)
    assert demo.state == tmp_path / "s" / "quarterdeck" / "demo" / "state"
    assert [each.name for each in home.candidates(env)] == ["default", "demo"]


def test_a_socket_given_by_path_is_never_ours_to_start(tmp_path: Path) -> None:
    (only,) = home.candidates({"QD_SOCKET": str(tmp_path / "qd.sock"), "QD_HOME": "/elsewhere"})
    assert only.socket == tmp_path / "qd.sock"
    with pytest.raises(HomeError):
        home.prepare(only)


def test_a_deep_folder_gets_a_short_socket_of_its_own(tmp_path: Path) -> None:
    one, other = (home.one_folder(tmp_path / ("x" * 120) / name, name="h") for name in "ab")
    assert one.socket != other.socket
    assert len(os.fsencode(one.socket)) < 108


def test_folders_are_private_and_a_foreign_run_folder_is_refused(tmp_path: Path) -> None:
    found = home.default({"QD_HOME": str(tmp_path / "h")})
    home.prepare(found)
    for folder in (found.config, found.state, found.run):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found.run.chmod(0o777)
    home.prepare(found)
    assert stat.S_IMODE(found.run.stat().st_mode) == 0o700
    found.run.rmdir()
    (tmp_path / "trap").mkdir()
    found.run.symlink_to(tmp_path / "trap")
    with pytest.raises(HomeError):
        home.prepare(found)
