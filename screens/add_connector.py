"""Adding a system: the kinds there are, then a form with what the chosen one asks for. Secrets go to the keyring alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from textual.app import ComposeResult
from textual.containers import Container

from engine.contract.client import Client, EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, Json, Problem
from engine.contract.systems import FieldView, KindPage, KindView, SystemPage, SystemView
from screens import acts, systems_view
from screens.acts import Act, Reason
from screens.base import QScreen, Target
from screens.form import FormField, FormScreen
from screens.secret_words import means, needed_first, partner_of
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part
from screens.widgets.text import Page

PATH = "/v1/connectors"
PATIENCE_S = 120.0
WIDE = 120

acts.register(
    Act("kinds.choose", "enter", "choose", target="kind", help="Answer what it asks for; it is tested, and read at once", cli="qd connectors add {id}", order=1),
)  # fmt: skip


class KindsScreen(QScreen):
    """Which kind of system."""

    NAME = "kinds"
    TITLE_WORD = "Add a system"
    ACTS = ("kinds.choose",)
    AUTO_FOCUS = "#kinds"
    CSS = """
    KindsScreen #both { layout: vertical; height: 1fr; width: 1fr; }
    KindsScreen #kinds { height: 1fr; }
    KindsScreen #about { height: 9; border-top: solid $qd-cursor-away; }
    KindsScreen #both.-wide { layout: horizontal; }
    KindsScreen #both.-wide #kinds { width: 1fr; }
    KindsScreen #both.-wide #about { height: 1fr; width: 1fr; border-top: none; border-left: solid $qd-cursor-away; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: tuple[KindView, ...] = ()
        self._names: frozenset[str] = frozenset()
        self._entries: dict[str, str] = {}

    def body(self) -> ComposeResult:
        columns = [
            Column("kind", 12),
            Column("system", 18, grow=2),
            Column("serves", 14, grow=1),
            Column("from", 6, grow=1, optional=1),
        ]
        with Container(id="both"):
            yield LineTable(columns, empty=("Loading \u2026",), id="kinds")
            yield Page(id="about")

    def on_mount(self) -> None:
        super().on_mount()
        self.refetch()

    def refetch(self) -> None:
        self.ask(lambda: self.client.read(f"{PATH}/kinds", KindPage), self._got)
        self.ask(lambda: self.client.read(PATH, SystemPage), self._got_systems, group="fetch-systems", quiet=True)

    def _got(self, page: KindPage) -> None:
        self._kinds = tuple(sorted(page.kinds, key=lambda one: (bool(one.error), one.title or one.kind)))
        table = self.query_one("#kinds", LineTable)
        table.empty = ("No kind fits. Esc clears the filter.",)
        table.merge([(one.kind, systems_view.kind_cells(one)) for one in self._kinds])
        self._show()

    def _got_systems(self, page: SystemPage) -> None:
        self._names = frozenset(one.id for one in page.systems)
        self._entries = {secret.entry: one.id for one in page.systems for secret in one.secrets}

    def on_resize(self) -> None:
        super().on_resize()
        self._show()

    def on_line_table_moved(self, message: LineTable.Moved) -> None:
        super().on_line_table_moved(message)
        self._show()

    def at_cursor(self) -> KindView | None:
        key = self.query_one("#kinds", LineTable).cursor_key
        return next((one for one in self._kinds if one.kind == key), None)

    def _show(self) -> None:
        if not self.is_mounted:
            return
        self.query_one("#both").set_class(self.size.width >= WIDE, "-wide")
        one, page = self.at_cursor(), self.query_one("#about", Page)
        page.show(systems_view.kind_page(one, max(40, page.size.width - 3)) if one is not None else [])

    def verdict(self) -> list[Part]:
        count = sum(not one.error for one in self._kinds)
        return ["Which kind of system? ", (f"{count} can be added; / finds one by what it serves.", "muted")]

    def target(self) -> Target | None:
        one = self.at_cursor()
        return Target("kind", one.kind, one.title) if one is not None else None

    def why_not(self, act: Act) -> Reason | None:
        one = self.at_cursor()
        if act.name == "kinds.choose" and one is not None and one.error:
            return Reason(f"{one.kind} can't be loaded: {one.error}")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        self.perform(acts.act("kinds.choose"))

    def act_kinds_choose(self) -> None:
        one = self.at_cursor()
        if one is not None:
            self.console.ask_form(add_form(self.client, one, self._names, self._entries, self._added))

    def _added(self, answer: CommandAnswer) -> None:
        name = answer.result.get("id", "") if isinstance(answer.result, dict) else answer.target
        self.dismiss_or_pop()
        self.console.open("system", str(name or answer.target))


# -- forms --------------------------------------------------------------------------------------------------------


def field_of(field: FieldView, value: Json = None, *, among: Sequence[FieldView] = ()) -> FormField:
    """A form's field for a setting of a connector."""
    label, hint = field.name.replace("_", " "), field.description
    if field.secret:
        partner = partner_of(field, among)
        return FormField(
            field.name,
            label,
            "secret",
            field.required,
            hint=f"{means(field)}; kept in the keyring, shown nowhere. Of several lines: qd connectors add --secret-file",
            when=(lambda out: bool(out.get(partner))) if partner else None,
        )
    if field.type == "boolean":
        return FormField(
            field.name, label, "bool", field.required, default="" if value is None else bool(value), hint=hint
        )
    if field.type in ("integer", "number"):
        return FormField(field.name, label, "number", field.required, default="" if value is None else value, hint=hint)
    if field.type == "array":
        text = (
            ", ".join(str(one) for one in value)
            if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
            else _json(value)
        )
        return FormField(
            field.name, label, required=field.required, default=text, hint=f"{hint}; several with commas between"
        )
    if field.type in ("object", "any"):
        return FormField(field.name, label, "long", field.required, default=_json(value), hint=f"{hint}; as JSON")
    return FormField(field.name, label, "text", field.required, default="" if value is None else str(value), hint=hint)


def _json(value: Json) -> str:
    return "" if value in (None, {}, []) else msgspec.json.encode(value).decode()


def settings_of(fields: Sequence[FieldView], answers: Mapping[str, Any]) -> dict[str, Json]:
    """What the form holds as settings by their types. Raises Refused where a field holds no JSON."""
    found: dict[str, Json] = {}
    for field in fields:
        if field.name not in answers or field.secret:
            continue
        value = answers[field.name]
        if field.type == "array":
            found[field.name] = _listed(field, str(value))
        elif field.type in ("object", "any"):
            found[field.name] = _decoded(field, str(value))
        elif field.type == "integer" and isinstance(value, float) and value.is_integer():
            found[field.name] = int(value)
        else:
            found[field.name] = value
    return found


def _listed(field: FieldView, text: str) -> Json:
    if text.lstrip().startswith("["):
        return _decoded(field, text)
    return [one.strip() for one in text.split(",") if one.strip()]


def _decoded(field: FieldView, text: str) -> Json:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        if field.type == "any":
            return text
        said = Problem(code="bad_input", reason=f"{field.name} is not JSON: {error}", field=f"args.{field.name}")
        raise Refused(said, 422) from error


def entry(name: str, field: str) -> str:
    """The keyring entry of a system's secret."""
    return name if field == "secret" else f"{name}.{field}"


def add_form(
    client: Client,
    kind: KindView,
    names: frozenset[str],
    entries: Mapping[str, str],
    done: Callable[[CommandAnswer], None],
) -> FormScreen:
    """What a kind asks for: first what is needed, then what has a default."""
    first = kind.kind if kind.kind not in names else ""
    ordered = needed_first(kind.fields)
    fields = [
        FormField(
            "name",
            "name",
            required=True,
            default=first,
            hint="how people and workflows call it here: updates, jira-eu …",
        ),
        *(field_of(one, among=kind.fields) for one in ordered),
    ]
    if len(kind.capabilities) > 1:
        fields.append(
            FormField(
                "serves",
                "serves",
                "multi",
                choices=kind.capabilities,
                hint="what it is asked for here; none chosen: all",
            )
        )
    fields.append(
        FormField("anyway", "add it unreached", "bool", default=False, hint="although it does not answer now")
    )
    adding = Adding(client, kind, entries)
    return FormScreen(
        f"Add {kind.title or kind.kind}",
        tuple(fields),
        adding.send,
        f"connector add {kind.kind}",
        verb="Add",
        done=done,
    )


class Adding:
    """Sends what the form holds: secrets to the keyring, the rest as a command; what was stored is taken back when refused."""

    def __init__(self, client: Client, kind: KindView, entries: Mapping[str, str]) -> None:
        self._client, self._kind, self._entries = client, kind, entries

    async def send(self, answers: dict[str, Any]) -> CommandAnswer:
        name = str(answers["name"])
        options = settings_of(self._kind.fields, answers)
        secret = [one.name for one in self._kind.fields if one.secret and answers.get(one.name)]
        for field in secret:
            user = self._entries.get(entry(name, field))
            if user:
                said = Problem(
                    code="taken",
                    reason=f"{user} uses the keyring entry {entry(name, field)}",
                    fix="choose another name",
                    field="args.name",
                )
                raise Refused(said, 409)
        held = {field: entry(name, field) for field in secret}
        args: dict[str, Json] = {
            "name": name, "kind": self._kind.kind, "url": options.pop("url", ""), "secret": held.get("secret", ""),
            "options": {**options, **{field: kept for field, kept in held.items() if field != "secret"}},
            "serves": list(answers.get("serves", ())),
        }  # fmt: skip
        if answers.get("anyway"):
            args["anyway"] = True
        stored: list[str] = []
        try:
            for field, kept in held.items():
                await self._client.store_secret(kept, str(answers[field]))
                stored.append(kept)
            return await self._client.command("connector.add", "", args, patience_s=PATIENCE_S)
        except Refused:
            for kept in stored:
                await _forget(self._client, kept)
            raise


async def _forget(client: Client, kept: str) -> None:
    try:
        await client.store_secret(kept, "")
    except (Refused, EngineUnreachable):
        return  # it stays in the keyring, where nothing names it; the refusal that led here is what has to be read


def secret_form(client: Client, one: SystemView, done: Callable[[CommandAnswer], None]) -> FormScreen:
    """Another secret for a system that is there."""
    fields = tuple(
        FormField(
            secret.field,
            secret.field.replace("_", " "),
            "secret",
            len(one.secrets) == 1,
            hint=f"replaces the keyring entry {secret.entry}",
        )
        for secret in one.secrets
    )

    async def send(answers: dict[str, Any]) -> CommandAnswer:
        for secret in one.secrets:
            if answers.get(secret.field):
                await client.store_secret(secret.entry, str(answers[secret.field]))
        return CommandAnswer(id="", verb="connector.secret", target=one.id)

    return FormScreen(f"New secret of {one.id}", fields, send, f"connector secret {one.id}", verb="Store", done=done)


def change_form(client: Client, kind: KindView, one: SystemView, done: Callable[[CommandAnswer], None]) -> FormScreen:
    """The settings of a system as they are, to be changed. Its secrets have a form of their own."""
    held = {**one.options, "url": one.url}
    shown = [field for field in kind.fields if not field.secret]
    fields = [field_of(field, held.get(field.name)) for field in shown]
    if len(kind.capabilities) > 1:
        fields.append(
            FormField(
                "serves",
                "serves",
                "multi",
                choices=kind.capabilities,
                default=one.serves,
                hint="what it is asked for here",
            )
        )

    async def send(answers: dict[str, Any]) -> CommandAnswer:
        """What was emptied goes back to its default."""
        options = {**dict.fromkeys(field.name for field in shown), **settings_of(shown, answers)}
        args: dict[str, Json] = {}
        if "url" in options:
            args["url"] = options.pop("url") or ""
        args["options"] = {name: value for name, value in options.items() if value != one.options.get(name)}
        if "serves" in answers:
            args["serves"] = list(answers["serves"])
        return await client.command("connector.set", one.id, args, patience_s=PATIENCE_S)

    return FormScreen(f"Settings of {one.id}", tuple(fields), send, f"connector set {one.id}", verb="Change", done=done)
