"""Forms of maintenance: filing a case, holding it, coding and resolving it, the checklist, escalation. Each is one key to
open and one to send; what has a sensible answer is answered beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.contract.cases import CASE_OVER, HOLD_REASONS, CaseDetail, CaseView
from engine.contract.client import Client
from engine.contract.common import CommandAnswer
from engine.contract.tickets import TicketConflict, TicketDetail
from screens.form import FormField, FormScreen, sending
from screens.layout import Line

Done = Callable[[CommandAnswer], None]
IMPACTS = (("3", "one robot"), ("2", "a site stands"), ("1", "people, fleet"))
URGENCIES = (("3", "can wait"), ("2", "today"), ("1", "now"))
CODED = ("mode", "mechanism", "cause", "detection", "item")
LABELS = {
    "mode": "Mode (how seen)",
    "mechanism": "Mechanism",
    "cause": "Cause",
    "detection": "Found by",
    "item": "Maintained item",
}
Numbers = tuple[str, ...]


def filing(
    client: Client, open_cases: Sequence[CaseView], modes: Sequence[str], done: Done, robot: str = ""
) -> FormScreen:
    """Robot and symptom are asked; the rest has an answer. Cases that are open on the robot are named while one types."""
    send = sending(client, "case.open")

    async def numbered(answers: dict[str, Any]) -> CommandAnswer:
        return await send(_numbers(answers, ("impact", "urgency")))

    def notes(found: Mapping[str, Any]) -> list[Line]:
        same = [one for one in open_cases if one.robot == found.get("robot") and one.state not in CASE_OVER]
        return [
            [("open on it: ", "caution"), (one.id, "strong"), f" {one.symptom} ({one.state.replace('_', ' ')})"]
            for one in same[:3]
        ]

    fields = (
        FormField("robot", "Robot", kind="robot", required=True, hint="some letters of its name, site or serial"),
        FormField(
            "symptom", "Symptom", required=True, hint="what one sees, in your words; it names component and mode"
        ),
        FormField("impact", "Impact", kind="choice", choices=IMPACTS, default="3"),
        FormField("urgency", "Urgency", kind="choice", choices=URGENCIES, default="2"),
        FormField(
            "safety_related", "About safety", kind="bool", default=False, hint="the robot leaves dispatch at once"
        ),
        FormField("mode", "Failure mode", kind="choice", choices=tuple(modes), hint="only if you know it"),
        FormField("external_ref", "Reference", hint="a ticket or work order elsewhere"),
    )
    return FormScreen(
        "File a case",
        fields,
        numbered,
        "case",
        verb="File",
        notes=notes,
        start={"robot": robot} if robot else None,
        done=done,
    )


def holding(client: Client, case: CaseView, done: Done) -> FormScreen:
    """What it waits for has to be said: a hold stops the clocks."""
    send = sending(client, "case.hold", case.id)

    async def in_hours(answers: dict[str, Any]) -> CommandAnswer:
        args = {name: value for name, value in answers.items() if name != "until"}
        return await send(args | ({"hours": answers["until"] / 3600} if "until" in answers else {}))

    fields = (
        FormField("reason", "Reason", kind="choice", required=True, choices=HOLD_REASONS, default="parts"),
        FormField("ref", "Waits for", required=True, hint="an order, a ticket, a name: what will end it"),
        FormField("until", "Expected in", kind="duration", hint="the clock stops at most as long as the policy allows"),
    )
    return FormScreen(f"Put {case.id} on hold", fields, in_hours, f"hold {case.id}", verb="Hold", done=done)


def coding(client: Client, detail: CaseDetail, done: Done) -> FormScreen:
    """Codes and the resolution; with `resolve` the verification begins, without it the codes are kept."""
    case = detail.case
    code, resolve = sending(client, "case.code", case.id), sending(client, "case.resolve", case.id)

    async def either(answers: dict[str, Any]) -> CommandAnswer:
        args = {name: value for name, value in answers.items() if name != "resolve"}
        if "parts" in args:
            args["parts"] = [part.strip() for part in str(args["parts"]).split(";") if part.strip()]
        return await (resolve if answers.get("resolve") else code)(args)

    def notes(found: Mapping[str, Any]) -> list[Line]:
        left = [name for name in (*CODED, "resolution") if not found.get(name)]
        return [[("still needed to resolve: ", "muted"), ", ".join(left)]] if left and found.get("resolve") else []

    given = {name: getattr(case, name) for name in CODED}
    given["detection"] = given["detection"] or _found_by(case.source)
    fields = (
        *(
            FormField(name, LABELS[name], kind="choice", choices=detail.codes.get(name, ()), default=given[name])
            for name in CODED
        ),
        FormField("resolution", "What was done", kind="long", default=case.resolution),
        FormField("parts", "Parts", hint="connector J7: A-1 out, A-2 in; several with ;"),
        FormField("calibration", "Calibration", hint="digest of the new calibration file, if one was made"),
        FormField("resolve", "Resolve it now", kind="bool", default=True, hint="no keeps the codes only"),
    )
    return FormScreen(
        f"Code and resolve {case.id}", fields, either, f"code {case.id}", verb="Send", notes=notes, done=done
    )


def stepping(client: Client, detail: CaseDetail, done: Done) -> FormScreen:
    """The next step of the runbook, with what was measured."""
    send = sending(client, "case.step", detail.case.id)

    async def numbered(answers: dict[str, Any]) -> CommandAnswer:
        return await send(_numbers(answers, ("step",)))

    coming = next((one.number for one in detail.runbook if not one.done), len(detail.runbook))
    choices = tuple(
        (str(one.number), f"{one.number}. {one.text}{'  (done)' if one.done else ''}") for one in detail.runbook
    )
    fields = (
        FormField("step", "Step", kind="choice", required=True, choices=choices, default=str(coming)),
        FormField("value", "Reading", hint="what was measured, with its unit"),
    )
    return FormScreen(
        f"{detail.case.runbook}: a step is done", fields, numbered, f"step {detail.case.id}", verb="Tick", done=done
    )


def checking(client: Client, detail: CaseDetail, done: Done) -> FormScreen:
    """The checklist before the robot returns: one yes or no for each item."""
    case = detail.case
    send = sending(client, "case.check", case.id)

    async def ticked(answers: dict[str, Any]) -> CommandAnswer:
        return await send(
            {"done": [item for place, item in enumerate(detail.checklist) if answers.get(f"item{place}")]}
        )

    fields = tuple(
        FormField(
            f"item{place}",
            item[:1].upper() + item[1:],
            kind="bool",
            required=True,
            default=True if case.checklist.get(item) else "",
        )
        for place, item in enumerate(detail.checklist)
    )
    return FormScreen(f"Checklist of {case.id}", fields, ticked, f"check {case.id}", verb="Sign", done=done)


def escalating(client: Client, detail: CaseDetail, done: Done) -> FormScreen:
    case = detail.case
    at = detail.levels.index(case.level) if case.level in detail.levels else 0
    choices = tuple((one, f"{one} {detail.on_call.get(one, '').removeprefix('role:')}") for one in detail.levels)
    fields = (
        FormField(
            "level",
            "To",
            kind="choice",
            required=True,
            choices=choices,
            default=detail.levels[min(at + 1, len(detail.levels) - 1)] if detail.levels else "",
        ),
        FormField("reason", "Why", required=True, hint="the context bundle goes with it"),
    )
    return FormScreen(
        f"Escalate {case.id}",
        fields,
        sending(client, "case.escalate", case.id),
        f"escalate {case.id}",
        verb="Escalate",
        done=done,
    )


def weighing(client: Client, case: CaseView, done: Done) -> FormScreen:
    send = sending(client, "case.weigh", case.id)

    async def numbered(answers: dict[str, Any]) -> CommandAnswer:
        return await send(_numbers(answers, ("impact", "urgency")))

    fields = (
        FormField("impact", "Impact", kind="choice", required=True, choices=IMPACTS, default=str(case.impact or 3)),
        FormField(
            "urgency", "Urgency", kind="choice", required=True, choices=URGENCIES, default=str(case.urgency or 2)
        ),
        FormField("safety_related", "About safety", kind="bool", default=case.safety_related),
        FormField("reason", "Why", required=True),
    )
    return FormScreen(f"Priority of {case.id}", fields, numbered, f"weigh {case.id}", verb="Change", done=done)


def asking(
    client: Client, verb: str, case: CaseView, title: str, field: FormField, *, word: str, done: Done
) -> FormScreen:
    """One thing to fill in: a note, a reason, a problem, another case."""
    return FormScreen(title, (field,), sending(client, verb, case.id), f"{verb} {case.id}", verb=word, done=done)


def settling(client: Client, ticket: TicketDetail, done: Done) -> FormScreen:
    """Whose value stands, for each field about which case and ticket disagree. Nothing is chosen beforehand."""
    link = ticket.link

    def field(one: TicketConflict) -> FormField:
        choices = (("ours", f"here: {one.ours or 'none'}"), ("theirs", f"there: {one.theirs or 'none'}"))
        return FormField(
            one.field, one.field.capitalize(), kind="choice", choices=choices, hint=one.why or "both changed"
        )

    def notes(found: Mapping[str, Any]) -> list[Line]:
        said: list[Line] = []
        for one in link.conflicts:
            if found.get(one.field) == "ours":
                said.append([(f"{link.ticket}: {one.field} becomes {one.ours or 'none'} there", "caution")])
            elif found.get(one.field) == "theirs":
                said.append([(f"{link.case}: {one.field} becomes {one.theirs or 'none'} here", "caution")])
        return said

    title = f"{link.case} and {link.system}/{link.ticket} disagree"
    fields = tuple(field(one) for one in link.conflicts)
    send = sending(client, "ticket.resolve", link.id)
    return FormScreen(title, fields, send, f"ticket.resolve {link.id}", verb="Settle", notes=notes, done=done)


def _found_by(source: str) -> str:
    return {"operator": "operator_report", "telemetry": "telemetry", "update_failure": "update", "drift": "update"}.get(
        source, ""
    )


def _numbers(answers: dict[str, Any], names: Numbers) -> dict[str, Any]:
    """Choices are words; these are numbers to the engine."""
    return {name: int(value) if name in names else value for name, value in answers.items()}
