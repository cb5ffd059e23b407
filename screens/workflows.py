"""The catalogue of workflows: what each does, what starts it, its steps; start one with a form made from its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.client import Refused
from engine.contract.common import CommandAnswer, Json, Problem
from engine.contract.system import WorkflowView
from screens import event_views
from screens.acts import Act, Reason, register
from screens.base import Target
from screens.form_fields import FormField, json_as
from screens.model import Delta, coarse
from screens.split import SplitScreen
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.rows import Cells
from screens.widgets.text import Page

PLAIN = ("string", "integer", "number", "boolean")
KIND_GLYPH = {
    "gate": "\u2691",
    "wait": "\u25cb",
    "observe": "\u25ce",
    "choice": "?",
    "map": "\u2261",
    "child": "\u25b8",
    "emit": "\u25cf",
}

register(
    Act(
        "workflows.open",
        "enter",
        "look in",
        "workflow",
        help="What it does, step by step",
        cli="qd workflows show {id}",
        order=10,
    ),
    Act(
        "workflows.start",
        "plus",
        "start",
        "workflow",
        help="Start a run: a form asks for its inputs",
        cli="qd runs start {id}",
        order=11,
    ),
    Act(
        "workflows.runs",
        "r",
        "its runs",
        "workflow",
        help="The runs of this workflow",
        cli="qd runs ls --workflow {id}",
        order=12,
    ),
    Act(
        "workflows.text",
        "d",
        "definition",
        "workflow",
        help="The definition as it was written",
        cli="qd workflows show {id}",
        order=13,
    ),
)


class WorkflowsScreen(SplitScreen):
    NAME = "workflows"
    TITLE_WORD = "Workflows"
    ROOT = True
    LISTS = ("workflows",)
    ACTS = ("workflows.open", "workflows.start", "workflows.runs", "workflows.text")
    AUTO_FOCUS = "#workflows"

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, WorkflowView] = {}
        self._full: dict[str, WorkflowView] = {}
        self._loaded = False
        self._detail = ""

    def body(self) -> ComposeResult:
        with Container(classes="split"):
            yield LineTable(
                [
                    Column("WORKFLOW", 23, grow=1),
                    Column("V", 3, align="right"),
                    Column("RUNS", 5, align="right"),
                    Column("WHAT", 20, grow=2, optional=1),
                    Column("STARTED BY", 22, grow=3),
                ],
                empty=["Loading \u2026"],
                id="workflows",
            )
            with Container(id="side", classes="column"):
                yield Page(id="said", indent=4)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._loaded:
            self.refetch()

    # -- data ---------------------------------------------------------------------------------------------------

    def refetch(self) -> None:
        self._full.clear()
        self.ask(lambda: self.client.read("/v1/workflows", tuple[WorkflowView, ...]), self._got)

    def model_changed(self, delta: Delta | None) -> None:
        if delta is not None and delta.runs and self._loaded:
            self._look()

    def _got(self, rows: tuple[WorkflowView, ...]) -> None:
        self._loaded = True
        self._rows = {row.workflow: row for row in rows}
        table = self.table
        table.empty = ["No workflow is registered:  qd workflows register FILE"]
        table.merge([(row.workflow, cells(row)) for row in rows])
        self._look()

    def failed(self, problem: Problem) -> None:
        if not self._loaded:
            table = self.table
            table.empty = [f"The catalogue can't be shown: {problem.reason}."]
            table.refresh()

    def _with(self, name: str, do: Any) -> None:
        """Does something with a workflow in full, which is asked for once."""
        held = self._full.get(name)
        if held is not None:
            do(held)
            return

        def got(view: WorkflowView) -> None:
            self._full[name] = view
            do(view)

        path = event_views.path("/v1/workflows", name)
        self.ask(lambda: self.client.read(path, WorkflowView), got, group=f"fetch-{name}", quiet=True)

    # -- words --------------------------------------------------------------------------------------------------

    def verdict(self) -> list[Part]:
        if not self._loaded:
            return [("Asking for the catalogue \u2026", "muted")]
        runs = sum(row.runs for row in self._rows.values())
        by_rule = sum(any(not word.startswith("manual") for word in row.triggers) for row in self._rows.values())
        count = len(self._rows)
        return [
            f"{count} workflow{'s' * (count != 1)}, {by_rule} of them started by events or the clock; {runs:,} runs so far."
        ]

    # -- keys ---------------------------------------------------------------------------------------------------

    def at_cursor(self) -> WorkflowView | None:
        return self._rows.get(self.table.cursor_key)

    def target(self) -> Target | None:
        row = self.at_cursor()
        return Target("workflow", row.workflow, row.title or row.workflow) if row is not None else None

    def why_not(self, act: Act) -> Reason | None:
        if self.at_cursor() is None:
            return Reason("no workflow is under the cursor")
        if act.name == "workflows.start":
            me = self.model.me
            if me is not None and me.verbs and not may(me.verbs, "run.start"):
                return Reason(f"{me.person} may not start runs", "ask somebody who may, or :as NAME in the sandbox")
            row = self.at_cursor()
            if me is not None and row is not None and not may_start(row, me.roles, me.verbs):
                return Reason(f"{row.workflow} is started by {', '.join(row.starters)}")
        return None

    def act_console_back(self) -> None:
        if self._detail and not self.wide:
            self._detail = ""
            self._place()
            self.query_one("#workflows").focus()
        else:
            self._detail = ""
            super().act_console_back()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._look()

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.act_workflows_open()

    def act_workflows_open(self) -> None:
        self._show("steps")

    def act_workflows_text(self) -> None:
        self._show("text")

    def _show(self, what: str) -> None:
        self._detail = what
        self._place()
        self._look()
        self.query_one("#said").focus()

    def act_workflows_runs(self) -> None:
        row = self.at_cursor()
        if row is not None:
            self.console.go("runs", f"workflow:{row.workflow}")

    def act_workflows_start(self) -> None:
        row = self.at_cursor()
        if row is not None:
            self._with(row.workflow, self._ask_inputs)

    def _ask_inputs(self, view: WorkflowView) -> None:
        from screens.form import FormScreen

        fields = tuple(field_of(name, spec) for name, spec in view.inputs.items() if isinstance(spec, dict))
        starting = Starting(self, view)
        form = FormScreen(
            f"Start {view.title or view.workflow}",
            fields,
            starting.send,
            f"start {view.workflow}",
            verb="Start",
            look=starting.look,
            done=self._started,
        )
        if fields:
            self.console.ask_form(form)
        else:
            self.run_worker(starting.at_once(), group="command", exit_on_error=False)

    def _started(self, answer: CommandAnswer) -> None:
        self.say(("\u2713 started ", "strong"), answer.target)
        self.console.open("run", answer.target)

    # -- the side -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        row = self.at_cursor()
        if row is None or not (self.wide or self._detail):
            return
        self._with(row.workflow, self._draw)

    def _draw(self, view: WorkflowView) -> None:
        row = self.at_cursor()
        if row is None or row.workflow != view.workflow:
            return
        page = self.query_one("#said", Page)
        if self._detail == "text":
            page.show([[line] for line in view.text.splitlines()])
        else:
            page.show(workflow_page(view, self.model.now()))


class Starting:
    """What the form's button sends."""

    def __init__(self, screen: WorkflowsScreen, view: WorkflowView) -> None:
        from screens.form import sending

        self._screen, self._view = screen, view
        self._send = sending(screen.client, "run.start", view.workflow)

    async def send(self, answers: dict[str, Any]) -> CommandAnswer:
        return await self._send({"inputs": inputs_of(self._view, answers)})

    async def look(self, answers: dict[str, Any]) -> CommandAnswer:
        args = {"inputs": inputs_of(self._view, answers)}
        return await self._screen.client.command("run.start", self._view.workflow, args, preview=True)

    async def at_once(self) -> None:
        """A workflow that asks for nothing starts when the key is pressed."""
        try:
            self._screen._started(await self.send({}))
        except Refused as error:
            self._screen.say((f"start refused: {error.problem.reason}", "caution"), f" {error.problem.fix}", seconds=12)


def may(verbs: tuple[str, ...], verb: str) -> bool:
    """Whether a verb is among patterns such as `run.*`."""
    noun = verb.partition(".")[0]
    return any(one in (verb, f"{noun}.*", "*") for one in verbs)


def may_start(view: WorkflowView, roles: tuple[str, ...], verbs: tuple[str, ...]) -> bool:
    """Whether the definition lets somebody with these roles start it by hand; the engine has the last word."""
    return not view.starters or bool(set(view.starters) & set(roles)) or may(verbs, "engine.stop")


NAMED = {
    "site": ("site",),
    "cohort": ("cohort",),
    "run": ("run",),
    "rollout": ("rollout",),
    "artifact": ("artifact",),
    "candidate": ("candidate",),
    "snapshot": ("snapshot",),
    "session": ("session",),
    "training": ("training",),
    "case": ("case",),
    "incident": ("incident",),
    "request": ("access_request",),
}
"""Inputs by these names mean a thing the engine knows: those that fit are offered."""


def field_of(name: str, spec: Mapping[str, Json]) -> FormField:
    """A form's field for an input of a workflow."""
    kind = spec.get("type", "string")
    label = str(spec.get("title") or name.replace("_", " ").capitalize())
    default = spec.get("default")
    required = bool(spec.get("required", True)) and default is None
    hint = str(spec.get("description") or "")
    if isinstance(spec.get("enum"), list) and kind in PLAIN:
        choices = tuple(str(one) for one in spec["enum"])
        return FormField(name, label, "choice", required, choices, "" if default is None else str(default), hint)
    if kind == "boolean":
        return FormField(name, label, "bool", required, default=bool(default), hint=hint)
    if kind in ("integer", "number"):
        return FormField(
            name,
            label,
            "number",
            required,
            default="" if default is None else default,
            hint=hint,
            minimum=spec.get("minimum"),
            maximum=spec.get("maximum"),
        )
    if kind == "array" and (spec.get("items") or {}).get("type", "string") == "string":
        return FormField(
            name, label, required=required, hint=hint or "several, with commas between", default=_listed(default)
        )
    if kind in ("array", "object"):
        text = "" if default in (None, {}, []) else msgspec.json.encode(default).decode()
        return FormField(
            name,
            label,
            "long",
            required,
            default=text,
            check=json_as(list if kind == "array" else dict),
            hint=hint or f"as JSON, {'a list' if kind == 'array' else 'an object'}",
        )
    return FormField(
        name,
        label,
        "robot" if name == "robot" else "text",
        required,
        default=default or "",
        hint=hint,
        of=NAMED.get(name, ()),
        pattern=str(spec.get("pattern") or ""),
    )


def _listed(default: Json) -> str:
    return ", ".join(str(one) for one in default) if isinstance(default, list) else ""


def inputs_of(view: WorkflowView, answers: Mapping[str, Any]) -> dict[str, Json]:
    """What the form holds as the workflow's inputs. Raises Refused where a field holds no JSON."""
    found: dict[str, Json] = {}
    for name, value in answers.items():
        spec = view.inputs.get(name)
        kind = spec.get("type", "string") if isinstance(spec, dict) else "string"
        of_text = isinstance(spec, dict) and (spec.get("items") or {}).get("type", "string") == "string"
        if kind == "array" and of_text:
            found[name] = [one.strip() for one in str(value).split(",") if one.strip()]
        elif kind in ("array", "object"):
            try:
                found[name] = msgspec.json.decode(str(value), type=list if kind == "array" else dict)
            except (msgspec.DecodeError, RecursionError) as error:
                said = Problem(code="bad_input", reason=f"{name} is not JSON: {error}", field=f"args.{name}")
                raise Refused(said, 422) from error
        elif kind == "integer" and isinstance(value, float) and value.is_integer():
            found[name] = int(value)
        else:
            found[name] = value
    return found


def cells(row: WorkflowView) -> Cells:
    """One workflow: name, version, runs, title, what starts it."""
    starts = [word.removeprefix("event ").removeprefix("qd.") for word in row.triggers if not word.startswith("manual")]
    hand = [word.removeprefix("manual ") for word in row.triggers if word.startswith("manual")]
    said = ", ".join(starts) or (f"{hand[0]}" if hand else "by hand")
    return (row.workflow, (str(row.version), "muted"), f"{row.runs:,}", (row.title, "muted"), said)


def workflow_page(view: WorkflowView, now: float) -> list[list[Part]]:
    """What it is, what starts it, what it asks for, its steps."""
    lines: list[list[Part]] = [
        [(view.title or view.workflow, "strong")],
        [("workflow  ", "muted"), f"{view.workflow} version {view.version}", (f"  {view.runs:,} runs", "muted")],
        [("from      ", "muted"), view.source, (f", {coarse(max(0.0, now - view.registered_at))} ago", "muted")],
        [],
        [("Started by", "strong")],
    ]
    lines += [[f"  {word}"] for word in view.triggers or ("anybody who may start runs",)]
    lines += [[], [("Asks for", "strong")]]
    for name, spec in view.inputs.items():
        if isinstance(spec, dict):
            must = "" if spec.get("default") is not None or spec.get("required") is False else " (needed)"
            lines.append([f"  {name} ", (f"{spec.get('type', '')}{must}  {spec.get('title', '')}", "muted")])
    if not view.inputs:
        lines.append([("  nothing", "muted")])
    lines += [[], [("Steps", "strong")]]
    for node in view.graph:
        if isinstance(node, dict):
            depth = str(node.get("id", "")).count(".")
            glyph = KIND_GLYPH.get(str(node.get("kind", "")), "\u00b7")
            title = str(node.get("title") or "")
            lines.append(
                ["  " + "  " * depth, (f"{glyph} ", "muted"), str(node.get("name", "")), (f"  {title}", "muted")]
            )
    return lines
