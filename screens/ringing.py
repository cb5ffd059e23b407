"""What rings in a terminal, and how grave it must be: a person's own wishes, kept in their settings.

Pure, but for the form that asks. Quiet hours are the engine's (the policy of the notices) and hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.contract.common import CommandAnswer

if TYPE_CHECKING:
    from screens.base import QScreen

LEVELS = ("info", "notice", "warning", "alarm")
NEVER = "off"
SEVERITY = {"alarm": "critical", "warning": "warning"}
"""What quiet hours call a level; the rest is `info`."""
WAYS = ("bell", "desktop", "title")
SETTING = "alerting"


@dataclass(frozen=True, slots=True)
class Wishes:
    """From which level on each way is used; `off`: never. `when`: always, or only while I am on duty.

    `desktop_by` is how this terminal takes a notification: osc9, osc777, or auto (by what it says it is).
    """

    bell: str = "alarm"
    desktop: str = "alarm"
    title: str = "warning"
    when: str = "always"
    desktop_by: str = "auto"

    def wants(self, way: str, level: str) -> bool:
        least = getattr(self, way)
        return least in LEVELS and level in LEVELS and LEVELS.index(level) >= LEVELS.index(least)


CHOICES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(WAYS, (NEVER, *reversed(LEVELS))),
    "when": ("always", "duty"),
    "desktop_by": ("auto", "osc9", "osc777"),
}


def wishes(kept: Any) -> Wishes:
    """From the settings; a word that is none of the choices counts as not said."""
    said = kept if isinstance(kept, Mapping) else {}
    good = {name: said[name] for name, words in CHOICES.items() if said.get(name) in words}
    return replace(Wishes(), **good)


def plain(wanted: Wishes) -> dict[str, str]:
    return asdict(wanted)


def sentence(wanted: Wishes) -> str:
    """What is wished, in words."""
    found = []
    for way, word in zip(WAYS, ("bell", "notification", "badge in the title"), strict=True):
        least = getattr(wanted, way)
        found.append(f"no {word}" if least == NEVER else f"{word} from {least}")
    return ", ".join(found) + ("; only on duty" if wanted.when == "duty" else "")


def ask(screen: QScreen) -> None:
    """The form that changes it."""
    from screens.form import FormField, FormScreen

    now = wishes(screen.console.kept(SETTING))
    words = {
        "off": "never",
        "alarm": "alarms only",
        "warning": "warnings and alarms",
        "notice": "news too",
        "info": "everything",
    }
    levels = tuple((one, words[one]) for one in CHOICES["bell"])
    fields = (
        FormField("bell", "Bell", "choice", choices=levels, default=now.bell),
        FormField("desktop", "Notification", "choice", choices=levels, default=now.desktop, hint="OSC 9 or 777, if this terminal takes them"),
        FormField("title", "Badge in the title", "choice", choices=levels, default=now.title),
        FormField("when", "When", "choice", choices=(("always", "always"), ("duty", "only while I am on duty")), default=now.when),
        FormField("desktop_by", "Notification by", "choice", choices=(("auto", "what the terminal says it is"), ("osc9", "OSC 9"), ("osc777", "OSC 777")), default=now.desktop_by),
    )  # fmt: skip

    async def keep(answers: dict[str, Any]) -> CommandAnswer:
        wanted = wishes({**plain(now), **answers})
        screen.console.keep(SETTING, plain(wanted))
        screen.say(("\u2713 ", "strong"), sentence(wanted))
        return CommandAnswer(id="kept", verb="kept here")

    screen.console.ask_form(FormScreen("What rings in this terminal", fields, keep, "alerting", verb="Keep"))
