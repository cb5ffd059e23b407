"""Atlassian Document Format, version 1: plain text there and back. Only paragraphs and line ends are written; of what is
read, every node with text counts, and structure becomes lines."""

from __future__ import annotations

from typing import Any

Json = Any
DEPTH = 40
BLOCKS = frozenset(
    {
        "paragraph",
        "heading",
        "blockquote",
        "codeBlock",
        "listItem",
        "tableRow",
        "rule",
        "panel",
        "mediaSingle",
        "taskItem",
    }
)


def document(text: str) -> Json:
    """Text as a document. An empty line ends a paragraph."""
    blocks = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        inner: list[Json] = []
        for number, line in enumerate(block.split("\n")):
            inner += [{"type": "hardBreak"}] if number else []
            inner += [{"type": "text", "text": line}] if line else []
        blocks.append({"type": "paragraph", "content": inner} if inner else {"type": "paragraph"})
    return {"type": "doc", "version": 1, "content": blocks}


def text(node: Json) -> str:
    """The text of a document; paragraphs stand apart by an empty line."""
    if isinstance(node, str):
        return node
    blocks = node.get("content", ()) if isinstance(node, dict) else ()
    return "\n\n".join(_inner(one, 0).strip("\n") for one in blocks).rstrip()


def _inner(node: Json, depth: int) -> str:
    if not isinstance(node, dict) or depth > DEPTH:
        return ""
    kind = node.get("type")
    if kind == "text":
        return str(node.get("text", ""))
    if kind == "hardBreak":
        return "\n"
    if kind in ("mention", "emoji", "inlineCard", "date", "status"):
        about = node.get("attrs") or {}
        return str(about.get("text") or about.get("shortName") or about.get("url") or about.get("timestamp") or "")
    inside = "".join(_inner(one, depth + 1) for one in node.get("content") or ())
    return inside + "\n" if kind in BLOCKS and depth else inside
