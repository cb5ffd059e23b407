"""Form fields: text in, typed values or a reason out."""

from __future__ import annotations

from typing import Any

import pytest

from screens import fields
from screens.fields import Item, Wrong

NUMBER = Item(name="h", label="Hours", kind="number", minimum=1, maximum=72, required=True)


@pytest.mark.parametrize(
    ("item", "text", "value"),
    [
        (NUMBER, "24", 24.0),
        (NUMBER, " 2.5 ", 2.5),
        (Item(name="n", label="N", kind="integer"), "7", 7),
        (Item(name="n", label="N", kind="integer"), "", None),
        (Item(name="b", label="B", kind="boolean"), "yes", True),
        (Item(name="b", label="B", kind="boolean"), "no", False),
        (Item(name="c", label="C", choices=(1, 2)), "2", 2),
        (Item(name="t", label="T", pattern="^[A-Z]+-[0-9]+$"), "OPS-12", "OPS-12"),
        (Item(name="t", label="T", pattern="(unclosed"), "anything", "anything"),
        (Item(name="a", label="A", kind="array"), "x, y,,z", ["x", "y", "z"]),
    ],
)
def test_what_is_read(item: Item, text: str, value: Any) -> None:
    assert fields.read(item, text) == value


@pytest.mark.parametrize(
    ("item", "text", "reason"),
    [
        (NUMBER, "", "needed"),
        (NUMBER, "0.5", "at least 1"),
        (NUMBER, "100", "at most 72"),
        (NUMBER, "many", "a number"),
        (NUMBER, "nan", "finite"),
        (NUMBER, "1e999", "finite"),
        (Item(name="n", label="N", kind="integer"), "1.5", "whole number"),
        (Item(name="b", label="B", kind="boolean"), "maybe", "yes or no"),
        (Item(name="c", label="C", choices=("night", "any")), "day", "one of night, any"),
        (Item(name="t", label="T", pattern="^[A-Z]+$"), "low", "must look like"),
        (Item(name="t", label="T"), "x" * 5000, "at most"),
        (Item(name="o", label="O", kind="object"), "{}", "can't be typed here"),
    ],
)
def test_what_is_wrong_says_why(item: Item, text: str, reason: str) -> None:
    wrong = fields.read(item, text)
    assert isinstance(wrong, Wrong) and reason in wrong.reason


def test_a_form_is_grouped_and_left_out_fields_are_left_out() -> None:
    items = fields.of_form(
        {
            "soak": {"type": "number", "minimum": 1},
            "note": {"type": "string", "required": False},
            "ok": {"type": "boolean", "default": True},
        }
    )
    assert [item.start for item in items] == ["", "", "yes"]
    out, wrong = fields.values(items, {"form.soak": "3", "form.note": "", "form.ok": "no"})
    assert out == {"form": {"soak": 3.0, "ok": False}} and not wrong
