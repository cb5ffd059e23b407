"""Forms of access: asking for it, telling what was missing, reporting readiness, offering less, breaking glass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.contract.access import CLASSES, AccessRequest, Grant
from engine.contract.client import Client
from engine.contract.common import CommandAnswer
from screens.form import FormField, FormScreen, sending
from screens.form_fields import span
from screens.layout import Line
from screens.widgets.parts import Part

Done = Callable[[CommandAnswer], None]
TELEOP = ("observe", "assist", "direct")
DATA = ("view", "copy", "export")
WHAT = (
    ("observe", "observe a robot"),
    ("assist", "assist a robot: it decides"),
    ("direct", "direct drive of a robot"),
    ("shell", "shell on a gateway"),
    ("view", "look at data"),
    ("copy", "copy data"),
    ("export", "export data"),
)
DRIVEN = tuple(one for one in WHAT if one[0] in (*TELEOP, "shell"))
ONCE = ("copy", "export")


def _is(*actions: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda found: found.get("action") in actions


def asking(client: Client, done: Done, limits: Mapping[str, float], *, robot: str = "") -> FormScreen:
    """What and why; the rest has an answer. Only fields that the action has are shown."""
    send = sending(client, "access.open")

    async def listed(answers: dict[str, Any]) -> CommandAnswer:
        args = {name: value for name, value in answers.items() if name not in ("robot", "names")}
        if answers.get("robot"):
            args["robots"] = [answers["robot"]]
        if answers.get("names"):
            args |= named(answers["names"])
        return await send(args)

    def notes(found: Mapping[str, Any]) -> list[Line]:
        action = str(found.get("action"))
        if action not in limits:
            return []
        once: list[Part] = ["; handed over once"] if action in ONCE else []
        return [[("at most ", "muted"), span(limits[action]), *once]]

    fields = (
        FormField("action", "What", kind="choice", required=True, choices=WHAT, default="observe"),
        FormField(
            "robot",
            "Robot",
            kind="robot",
            required=True,
            when=_is(*TELEOP),
            hint="some letters of its name, site or serial",
        ),
        FormField("site", "Site", required=True, when=_is("shell"), of=("site",), hint="whose gateway"),
        FormField(
            "names", "Data", required=True, when=_is(*DATA), hint="sessions, a snapshot or digests, separated by commas"
        ),
        FormField("purpose", "Because", required=True, hint="what it is for; people decide by it"),
        FormField(
            "ticket", "Ticket", of=("case", "incident"), hint="the case or incident; needed from outside the company"
        ),
        FormField("duration_s", "How long", kind="duration", hint="the policy's limit when left out"),
        FormField(
            "public_key",
            "Public key",
            required=True,
            when=_is("shell"),
            hint="the text of your id_….pub; the private half stays with you",
        ),
        FormField("on_behalf_of", "For whom", kind="person", hint="when it is not for you"),
        FormField(
            "transform",
            "Take less",
            kind="choice",
            choices=(("", "as it is"), ("derived", "measures only"), ("blurred", "blurred")),
            when=_is(*DATA),
        ),
        FormField(
            "classes",
            "It also has",
            kind="multi",
            choices=CLASSES,
            hint="classes are found by themselves; you can only add",
        ),
    )
    return FormScreen(
        "Ask for access",
        fields,
        listed,
        "access",
        verb="Ask",
        notes=notes,
        start={"robot": robot, "action": "observe"} if robot else None,
        done=done,
    )


def named(text: str) -> dict[str, Any]:
    """Sessions, snapshots and digests told apart by how they look."""
    found: dict[str, Any] = {}
    for name in (one.strip() for one in text.split(",")):
        if name.startswith("sha256:"):
            found.setdefault("files", []).append(name)
        elif name.startswith("S-"):
            found.setdefault("sessions", []).append(name)
        elif name:
            found["snapshot"] = name
    return found


def telling(client: Client, request: AccessRequest, done: Done) -> FormScreen:
    """What the rules asked for."""
    fields = (
        FormField("text", "What you say", kind="long", hint=request.reason[:200]),
        FormField("ticket", "Ticket", hint=request.ticket),
        FormField("actor_location", "Where you are", hint=request.actor_location),
        FormField("public_key", "Public key", when=lambda found: request.action == "shell"),
        FormField("classes", "It also has", kind="multi", choices=CLASSES),
    )
    return FormScreen(
        f"Add to {request.id}",
        fields,
        sending(client, "access.told", request.id),
        f"told-{request.id}",
        verb="Tell",
        done=done,
    )


def reporting(client: Client, request: AccessRequest, done: Done) -> FormScreen:
    """What a session needs, as the station sees it."""
    fields = (
        FormField(
            "latency_p95_ms",
            "Latency p95",
            kind="number",
            unit="ms",
            minimum=0,
            maximum=60_000,
            required=request.action == "direct",
        ),
        FormField("recording", "Recording ready", kind="bool", required=True, default=True),
        FormField(
            "deadman",
            "Dead-man works",
            kind="bool",
            default=True if request.action == "direct" else "",
            when=lambda found: request.action == "direct",
        ),
        FormField(
            "stop_tested",
            "Stop tested now",
            kind="bool",
            default=True if request.action == "direct" else "",
            when=lambda found: request.action == "direct",
        ),
        FormField(
            "zone_clear",
            "Zone clear",
            kind="bool",
            hint="only who does not drive may say so",
            when=lambda found: request.action == "direct",
        ),
    )
    return FormScreen(
        f"Report for {request.id}",
        fields,
        sending(client, "access.report", request.id),
        f"report-{request.id}",
        verb="Report",
        done=done,
    )


def offering(client: Client, request: AccessRequest, done: Done) -> FormScreen:
    """The less intrusive options the rules found."""
    choices = tuple((one.name, one.says) for one in request.evaluation.alternatives if one.changes)
    fields = (
        FormField(
            "alternative",
            "Offer instead",
            kind="choice",
            required=True,
            choices=choices,
            default=choices[0][0] if choices else "",
        ),
    )
    return FormScreen(
        f"Offer less for {request.id}",
        fields,
        sending(client, "access.offer", request.id),
        f"offer-{request.id}",
        verb="Offer",
        done=done,
    )


def answering(client: Client, request: AccessRequest, done: Done) -> FormScreen:
    fields = (
        FormField(
            "accept",
            f"Take {request.offered}",
            kind="bool",
            required=True,
            default=True,
            hint=f"offered by {request.offered_by}; no stays with what you asked",
        ),
    )
    return FormScreen(
        f"Answer the offer of {request.id}",
        fields,
        sending(client, "access.answer", request.id),
        f"answer-{request.id}",
        verb="Answer",
        done=done,
    )


def extending(client: Client, grant: Grant, done: Done) -> FormScreen:
    fields = (
        FormField("duration_s", "How much longer", kind="duration", required=True),
        FormField("purpose", "Because", required=True),
    )
    return FormScreen(
        f"More time than {grant.id}",
        fields,
        sending(client, "access.extend", grant.id),
        f"extend-{grant.id}",
        verb="Ask",
        done=done,
    )


def breaking(client: Client, done: Done, *, robot: str = "") -> FormScreen:
    """At once and without approval: the phrase is asked for, compliance is paged."""
    send = sending(client, "breakglass.take")

    def args(answers: dict[str, Any]) -> dict[str, Any]:
        found = {name: value for name, value in answers.items() if name != "robot"}
        return found | ({"robots": [answers["robot"]]} if answers.get("robot") else {})

    async def listed(answers: dict[str, Any]) -> CommandAnswer:
        return await send(args(answers))

    async def look(answers: dict[str, Any]) -> CommandAnswer:
        return await client.command("breakglass.take", "", args(answers), preview=True)

    fields = (
        FormField("action", "What", kind="choice", required=True, choices=DRIVEN, default="assist"),
        FormField("robot", "Robot", kind="robot", required=True, when=_is(*TELEOP)),
        FormField("site", "Site", required=True, when=_is("shell"), of=("site",)),
        FormField("public_key", "Public key", required=True, when=_is("shell")),
        FormField("reason", "Because", required=True, hint="read by compliance, who is paged now"),
    )
    return FormScreen(
        "Break glass",
        fields,
        listed,
        "breakglass",
        verb="Break glass",
        look=look,
        start={"robot": robot} if robot else None,
        done=done,
    )
