"""`qd config themes`: which palettes there are, which one is chosen, and what is wrong with a person's own files."""

from __future__ import annotations

import os
from typing import Any

import click

import themes as looks
from app import plain, settings
from app.cli.session import REFUSED, end

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("themes")
@click.argument("name", required=False)
@JSON
def themes(*, name: str | None, as_json: bool) -> None:
    """Every theme and what it is for; with NAME the console puts it on from now on. Checks your own files.

    Your own are NAME.toml in the folder that is printed; exit code 1 when one of them can't be used.
    """
    from themes import own
    from themes.palettes import PALETTES

    path = settings.file_of()
    folder = path.parent / "themes"
    mine, problems = own.read(folder)
    kept = settings.read(path)
    known = {palette.name: palette for palette in (*PALETTES, *mine.values())}
    if name is not None:
        if name not in known:
            end(f"no theme is called {plain.clean(name, 40)!r}; there are {', '.join(known)}", REFUSED)
        kept = {**kept, "theme": name}
        settings.write(path, kept)
    wanted = kept.get("theme")
    chosen = wanted if wanted in known else looks.default(os.environ)
    rows: list[dict[str, Any]] = [
        {"name": one.name, "says": one.says, "dark": one.dark, "own": one.name in mine, "chosen": one.name == chosen}
        for one in known.values()
    ]
    if as_json:
        click.echo(plain.as_json({"folder": str(folder), "themes": rows, "problems": list(problems)}))
    else:
        cells = [("*" if row["chosen"] else "", row["name"], "yes" if row["own"] else "", row["says"]) for row in rows]
        click.echo(plain.table(cells, ("", "theme", "own", "for"), empty=""))
        click.echo(f"\nyour own: {plain.clean(folder)}/NAME.toml")
        for problem in problems:
            click.echo(plain.clean(problem), err=True)
    broken = {file.stem for file in folder.glob("*.toml")} - set(mine)
    if broken:
        raise SystemExit(REFUSED)
