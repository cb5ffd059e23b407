"""The manual is whole: a page for every screen, pattern and code; every link leads somewhere; every page can be reached."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.manual import manual
from app.manual import FOLDER, PARTS, book
from screens.base import QScreen
from screens.manual_text import lay, text
from tests.unit.manual.codes import codes

ROOT = Path(__file__).parents[3]
PAGES = sorted(path.stem for path in FOLDER.glob("*.md"))


def test_every_code_of_a_refusal_has_its_place() -> None:
    pages = book()
    missing = {code: where for code, where in sorted(codes().items()) if not pages.of_code(code)}
    assert not missing, f"codes that no page of app/manual/errors*.md explains: {missing}"


def test_the_codes_are_found() -> None:
    found = codes()
    assert len(found) > 200
    assert {"phrase_mismatch", "stale_evidence", "bad_form", "not_configured", "store_read_only", "closed"} <= set(
        found
    )


def test_every_screen_has_its_page() -> None:
    pages = book()
    for path in (ROOT / "screens").glob("*.py"):
        for name, kind in inspect.getmembers(importlib.import_module(f"screens.{path.stem}"), inspect.isclass):
            if issubclass(kind, QScreen) and kind.NAME and kind.__module__ == f"screens.{path.stem}":
                assert pages.of_screen(kind.NAME) != "contents", f"no page says `screens: {kind.NAME}` ({name})"


def test_no_two_pages_explain_the_same_screen() -> None:
    named = [screen for page in book().pages.values() for screen in page.screens]
    assert len(named) == len(set(named))


def test_every_pattern_has_its_page() -> None:
    told = "\n".join((FOLDER / f"{name}.md").read_text() for name in PAGES if name.startswith("pattern-"))
    readme = (ROOT / "README.md").read_text()
    definitions = re.findall(r"^\| [^|]+ \| `([a-z-]+)\.yaml` \|", readme, re.M)
    assert len(definitions) == 7
    assert all(f"`{name}`" in told for name in definitions)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_and_its_links_lead_somewhere(name: str) -> None:
    pages = book()
    leaf = pages.open(name)
    assert leaf.title != name and leaf.part in PARTS
    for cells in (36, 77, 100):
        laid = lay(leaf, cells)
        assert laid.lines and "{keys" not in text(laid)
        for target, _ in laid.links:
            page, _, place = target.partition("#")
            assert page in pages.pages, f"{name} links to {target}"
            assert not place or place in pages.pages[page].places, f"{name} links to {target}"
    assert any(target.partition("#")[0] == name for target, _ in lay(pages.open("contents"), 80).links)


def test_the_command_line_prints_pages_codes_and_finds() -> None:
    run = CliRunner().invoke
    assert "# " not in run(manual, []).output and "Rollouts" in run(manual, []).output
    assert "denominators" in run(manual, ["rollouts"]).output.lower()
    code = run(manual, ["phrase_required"]).output
    assert code.startswith("phrase_required") and "phrase_mismatch" not in code
    assert json.loads(run(manual, ["gates", "--json"]).output)["title"] == "Gates"
    found = json.loads(run(manual, ["--search", "bootloader", "--json"]).output)
    assert any(one["page"].startswith("concept-rollback") for one in found)
    wrong = run(manual, ["rolouts"])
    assert wrong.exit_code == 1 and "did you mean rollouts?" in wrong.output
    assert run(manual, ["--search", "zzzz"]).exit_code == 1
