"""What the way in may load: a console shows its first frame before anything heavy is imported, a command loads no console."""

from __future__ import annotations

import subprocess
import sys

import pytest

SQL = {"sqlalchemy", "sqlmodel", "alembic", "sqlite3"}
HEAVY = SQL | {"pydantic", "textual", "rich", "httpx", "starlette", "uvicorn", "apscheduler", "yaml", "scipy", "numpy"}


def loaded(statement: str) -> set[str]:
    """The top-level modules in a fresh interpreter after a statement."""
    program = f"{statement}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize("module", ["app.__main__", "app.attach", "app.home", "app.wire", "app.client", "app.opening"])
def test_the_consoles_way_in_loads_nothing_heavy(module: str) -> None:
    assert not loaded(f"import {module}") & (
        HEAVY | {"click", "asyncio"} - ({"asyncio"} if module == "app.client" else set())
    )


@pytest.mark.parametrize(
    "group", ["engine", "workflows", "runs", "gates", "rollouts", "fleet", "history", "demo", "completion"]
)
def test_no_command_loads_sql_or_a_console(group: str) -> None:
    assert not loaded(f"import app.cli; app.cli.root.get_command(None, {group!r})") & HEAVY


def test_help_loads_no_group() -> None:
    found = loaded("import app.cli\ntry: app.cli.root.main(['--help'])\nexcept SystemExit: pass")
    assert not found & HEAVY


def test_the_client_stays_light_until_it_is_used() -> None:
    assert not loaded("import app.client; from app.home import default; app.client.Client(default())") & HEAVY
