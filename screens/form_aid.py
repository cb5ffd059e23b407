"""What stands beneath the fields of a form: values that fit, choices, hints. Pure, but for the widgets it reads."""

from __future__ import annotations

from collections.abc import Mapping

from engine.contract.fleet import RobotRow
from screens.form_fields import FormField, Wrong, read
from screens.widgets.choosing import Choose, Completed
from screens.widgets.clean import clean
from screens.widgets.parts import Part

Line = list[Part]
AID_LINES = 5


def hint(field: FormField) -> str:
    ways = {
        "choice": "left and right, or its first letter",
        "bool": "y or n",
        "multi": "space takes one, left and right move" if field.options else "separated by commas",
        "duration": "like 30m, 2h or 1d12h",
        "long": "Enter makes a new line, Tab goes on, ^E opens your editor",
    }
    way = ways.get(field.kind, "")
    return " \u00b7 ".join(part for part in (field.hint, field.unit and f"in {field.unit}", way) if part)


def amiss(field: FormField, text: str) -> str:
    """What is wrong with what stands in a field, while it is typed. An empty field is not wrong yet."""
    if not text.strip():
        return ""
    value = read(field, text)
    return value.reason if isinstance(value, Wrong) else ""


def label(field: FormField, text: str) -> Line:
    """A field's name: a star when it is needed, a cross when what stands there can't be sent."""
    mark: Line = [(" \u2717", "caution")] if amiss(field, text) else [(" *", "caution")] if field.required else []
    return [(field.label, "" if field.required else "muted"), *mark]


def uncertain(widget: Completed) -> str:
    """Why what stands in a field that names one of many is not certain to mean one of them."""
    typed = widget.value.strip()
    if widget.settled or not typed:
        return ""
    if len(widget.matches) > 1:
        return f"{len(widget.matches)} fit {typed!r}; \u2193 points at one, Enter takes it"
    if len(widget.matches) == 1:
        return f"is it {widget.matches[0][0]}? Enter takes it"
    return f"none is called {clean(typed, 40)!r}"


def offered(widget: Completed, *, alike: Mapping[str, str], strict: bool) -> list[Line]:
    """The values that fit what was typed, or what tells the one that stands there apart; look-alikes are said."""
    typed = widget.value.strip()
    if widget.settled:
        about = next(about for value, about in widget.matches if value == typed)
        lines: list[Line] = [[("\u2713 ", "muted"), (typed, "strong"), f"  {about}"]]
        if alike.get(typed):
            lines.append([("! ", "caution"), (f"its name is close to {alike[typed]}: sure?", "caution")])
        return lines
    if not typed:
        return []
    if not widget.matches:
        return [[(f"nothing fits {clean(typed, 40)!r}", "caution")]] if strict else []
    first = max(0, min(widget.at - 1, len(widget.matches) - (AID_LINES - 1)))
    lines = []
    for place, (value, about) in list(enumerate(widget.matches))[first : first + AID_LINES - 1]:
        here = place == widget.at and (widget.pointed or len(widget.matches) == 1)
        lines.append([("\u203a " if here else "  "), (value, "strong") if here else value, (f"  {about}", "muted")])
    count = len(widget.matches)
    if count == 1:
        lines.append([("Enter takes it", "muted")])
    else:
        lines.append([(f"{count} fit; \u2193 \u2191 point at one, Enter takes it", "muted")])
    return lines


def about(robot: RobotRow) -> str:
    """What tells a robot apart from its like: site, tail of the serial number, variant, what it runs."""
    tail = f"sn \u2026{robot.serial[-4:]}" if len(robot.serial) > 4 else f"sn {robot.serial}"
    return "  ".join(part for part in (robot.site, tail, robot.variant, robot.reported, robot.mode) if part)


def around(widget: Choose) -> list[Line]:
    """The choices near the one that is taken, when they don't fit beside each other."""
    at = max(widget.at, 0)
    first = max(0, min(at - 1, len(widget.options) - AID_LINES))
    lines: list[Line] = []
    for place, (_, word) in list(enumerate(widget.options))[first : first + AID_LINES]:
        here = place == widget.at
        lines.append([("\u203a " if here else "  "), (word, "strong") if here else word])
    return lines
