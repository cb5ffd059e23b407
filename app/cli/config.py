"""`qd config`: a person's settings of the console: keys, views, hints. What the engine is told stands in quarterdeck.yaml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from app import plain, settings
from app.cli.config_themes import themes
from app.cli.session import REFUSED, end

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
CHOICES: dict[str, dict[str, Any]] = {
    "hints": {"on": True, "off": False},
    "digits": {"screens": "screens", "count": "count"},
}
"""Settings with a few values, and how they are kept."""


@click.group()
def config() -> None:
    """The console's settings: keys, themes, views, hints."""


config.add_command(themes)


def _show(as_json: bool, value: Any, text: Callable[[], str]) -> None:
    click.echo(plain.as_json(value) if as_json else text())


@config.command("ls")
@JSON
def ls(*, as_json: bool) -> None:
    """All of them, and the file they stand in."""
    path = settings.file_of()
    found = {name: value for name, value in settings.read(path).items() if name != "history"}
    lines = [f"{name}: {plain.clean(plain.as_json(value), 300)}" for name, value in found.items()]
    _show(as_json, {"file": str(path), "settings": found}, lambda: "\n".join([str(path), *lines]))


@config.command("set")
@click.argument("name", type=click.Choice(list(CHOICES)))
@click.argument("value")
def set_(name: str, value: str) -> None:
    """hints on|off: words for those who are new here. digits screens|count: what 1 to 9 do in the console."""
    if value not in CHOICES[name]:
        raise click.UsageError(f"{name} is {' or '.join(CHOICES[name])}, not {plain.clean(value, 40)}")
    path = settings.file_of()
    settings.write(path, {**settings.read(path), name: CHOICES[name][value]})
    click.echo(f"{name}: {value}")


@config.command("keys")
@click.argument("act", required=False)
@click.argument("key", required=False)
@click.option("--reset", is_flag=True, help="ACT gets its own key again.")
@JSON
def keys(*, act: str | None, key: str | None, reset: bool, as_json: bool) -> None:
    """Every key with what it does; with ACT and KEY it is moved. Says where two acts now want one key."""
    from screens import acts, keymap

    screens = keymap.every_screen()
    path = settings.file_of()
    kept = settings.read(path)
    wanted = dict(kept["keys"]) if isinstance(kept.get("keys"), dict) else {}
    if act is not None:
        wanted = _moved(wanted, act, key, reset)
    good, problems = keymap.accepted(wanted)
    problems += keymap.unknown(good)
    problems += dict.fromkeys(clash.said for screen in screens for clash in keymap.clashes(screen, good))
    if act is not None:
        mine = [problem for problem in problems if act in problem]
        if mine and not reset:
            end(f"not moved: {'; '.join(plain.clean(one, 300) for one in mine)}", REFUSED)
        settings.write(path, {**kept, "keys": wanted})
    where: dict[str, list[str]] = {}
    for screen in screens:
        for name in screen.ACTS:
            where.setdefault(name, []).append(screen.NAME or screen.TITLE_WORD)
    rows = [
        {
            "act": one.name,
            "key": good.get(one.name, one.key),
            "own_key": one.key,
            "does": one.help or one.verb,
            "screens": sorted(filter(None, where.get(one.name, ["everywhere"]))),
        }
        for one in acts.REGISTRY.values()
        if one.key and (act is None or one.name == act)
    ]

    def told() -> str:
        cells = [
            (
                "/".join(map(acts.shown_key, str(row["key"]).split(","))) + ("  (moved)" if row["act"] in good else ""),
                str(row["act"]), ", ".join(row["screens"]), str(row["does"]),
            )
            for row in sorted(rows, key=lambda row: (str(row["screens"]), str(row["act"])))
        ]  # fmt: skip
        return plain.table(cells, ("key", "act", "screens", "what it does"), empty="no act is called that")

    _show(as_json, {"keys": rows, "problems": list(problems)}, told)
    for problem in problems:
        click.echo(plain.clean(problem, 400), err=True)
    if problems:
        raise SystemExit(REFUSED)


def _moved(wanted: dict[str, Any], act: str, key: str | None, reset: bool) -> dict[str, Any]:
    """The map with one act moved, or as it was when only asked about."""
    from screens import keymap
    from screens.acts import REGISTRY

    if act not in REGISTRY and act not in wanted:
        end(plain.clean(keymap.unknown({act: ""})[0].removeprefix("key map: "), 200), REFUSED)
    if reset:
        return {name: held for name, held in wanted.items() if name != act}
    return {**wanted, act: ",".join(keymap.written(one) for one in key.split(","))} if key else wanted


@config.command("views")
@click.option("--forget", metavar="NAME", help="Take this one away.")
@JSON
def views_(*, forget: str | None, as_json: bool) -> None:
    """Saved views: a list with a filter and an order, under a name (:view NAME in the console)."""
    from screens import views

    path = settings.file_of()
    kept = settings.read(path)
    found = views.read(kept.get("views"))
    if forget is not None:
        if forget not in found:
            end(f"no view is called {plain.clean(forget, 40)!r}; there are {', '.join(found) or 'none'}", REFUSED)
        del found[forget]
        settings.write(path, {**kept, "views": views.stored(found)})
    cells = [(name, view.noun, view.filter, str(view.shape.get("sort", ""))) for name, view in found.items()]
    heads = ("view", "list", "filter", "order")
    _show(
        as_json,
        {"views": views.stored(found)},
        lambda: plain.table(cells, heads, empty="none yet: :save NAME in the console"),
    )
