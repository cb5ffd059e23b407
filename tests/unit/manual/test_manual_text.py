"""Pages of the manual: Markdown into lines for a terminal, places and links that can be found again."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from screens.manual_text import Book, lay, places_of, plain, read, snake, text

PAGE = """title: A page
screens: runs run
part: Screens
---
# A page

Words with `code`, **weight** and a [link to another](other#deep), which wrap (`inside`).
They join with the next line.

- an item that is long enough to be broken over two lines of a narrow terminal
  and goes on
1. first

## `one_code`, `two_code`

| key | does | what it is about |
| --- | --- | --- |
| `a` | claims | the thing under the cursor, see [here](#x) |

```
code   stays
```
"""


@pytest.mark.parametrize("cells", [24, 40, 77, 100])
def test_no_line_is_wider_than_asked_and_no_word_is_lost(cells: int) -> None:
    leaf = read("page", PAGE)
    laid = lay(leaf, cells)
    assert all(
        sum(cell_len(run.text.rstrip() if run is line[-1] else run.text) for run in line) <= cells
        for line in laid.lines
    )
    said = " ".join(text(laid).split())
    for word in (
        "code,",
        "weight",
        "another,",
        "(inside).",
        "join",
        "goes on",
        "first",
        "two_code",
        "claims",
        "cursor,",
    ):
        assert word in said


def test_links_know_their_target_and_their_line() -> None:
    laid = lay(read("page", PAGE), 40)
    assert [target for target, _ in laid.links] == ["other#deep", "#x"]
    for number, (_, line) in enumerate(laid.links):
        assert any(run.link == number for run in laid.lines[line])
    assert laid.places["one_code"] == laid.places["two_code"] == laid.places["one_code-two_code"]


def test_a_head_says_what_a_page_is_about() -> None:
    leaf = read("page", PAGE)
    assert (leaf.title, leaf.part, leaf.screens) == ("A page", "Screens", ("runs", "run"))
    assert {"one_code", "two_code", "a-page"} <= leaf.places
    assert read("bare", "# Only: text").title == "bare"


def test_what_a_line_stands_for_is_asked_when_its_page_is_opened() -> None:
    asked: list[tuple[str, str]] = []

    def expand(word: str, argument: str) -> str:
        asked.append((word, argument))
        return "| key | what |\n| --- | --- |\n| `x` | ends it |"

    book = Book([read("page", "before\n{keys screens.runs:RunsScreen}\nafter")], expand)
    assert not asked
    assert "ends it" in text(lay(book.open("page"), 80))
    book.open("page")
    assert asked == [("keys", "screens.runs:RunsScreen")]


def test_search_finds_places_and_puts_headings_first() -> None:
    book = Book([read("a", "# Apples\n\nabout pears"), read("b", "# Other\n\n## Pears\n\nround")])
    assert [found.target for found in book.search("pears")] == ["b#pears", "a#apples"]
    assert book.search("pears nowhere") == [] and book.search("  ") == []


def test_words_resolve_to_pages_places_screens_and_codes() -> None:
    book = Book([read("page", PAGE), read("errors", "title: Errors\npart: Errors\n---\n## `no_way`\n\nNone.")])
    for words, target in {
        "page": "page",
        "page#one_code": "page#one_code",
        "page#nowhere": "page",
        "runs": "page",
        "A page": "page",
        "no_way": "errors#no_way",
        "NoWay": "errors#no_way",
        "one_code": "",
        "strange": "",
    }.items():
        assert book.resolve(words) == target
    assert book.of_screen("run") == "page" and book.of_screen("unheard-of") == "contents"


def test_small_words() -> None:
    assert snake("NotConfigured") == "not_configured" and snake("already") == "already"
    assert places_of("Why `a` and `b_c`?") == ["a", "b_c", "why-a-and-b_c"]
    assert plain("[x](y) `z` **w**") == "x z w"
