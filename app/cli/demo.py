"""`qd demo`: a self-contained world to try everything in."""

from __future__ import annotations

import sys
from typing import Any

import click

from app import attach, plain, terminal, wire, world
from app.attach import Unreachable
from app.cli.session import REFUSED, end, refusals
from app.home import Home
from app.home import demo as demo_home
from app.scenarios import PATTERNS, TOUR, Scenario, named
from app.scenarios.stage import Stage
from app.scripted import Operator, document, happened
from engine.contract.runs import RunPage
from engine.contract.system import EngineStatus

ROLLOUTS = (
    "healthy",
    "canary-regression",
    "stage-regression",
    "telemetry-outage",
    "offline-canaries",
    "install-failures",
    "rollback-blocked",
)
SCENARIOS = (*ROLLOUTS, *PATTERNS)
INTERACTIVE, HEADLESS = 600.0, 6000.0
"""Sim seconds per second: a healthy rollout is then about five minutes to watch, or half a minute to wait for."""
LIMIT_S = 270.0
GUEST = "ana"
"""Who takes the tour: a release manager may sign, pause and approve."""


@click.command()
@click.option("--scenario", type=click.Choice(SCENARIOS), help="What happens in it (default: healthy, a rollout).")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--speed", type=float, help="How much faster than life time runs.")
@click.option("--robots", type=int, default=200, show_default=True)
@click.option(
    "--headless", is_flag=True, help="No console: a scripted operator plays it to its end, and says so in its events."
)
@click.option(
    "--tour", is_flag=True, help="A guided tour of ten minutes through all seven patterns; left and resumed with :tour."
)
@click.option("--detach", is_flag=True, help="Leave world and engine running, without a console.")
@click.option("--stop", is_flag=True, help="End the demo's engine and world.")
@click.option("--as", "person", default="", metavar="NAME", help="Be one of the sandbox people in the console.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def demo(
    *,
    scenario: str | None,
    seed: int,
    speed: float | None,
    robots: int,
    headless: bool,
    tour: bool,
    detach: bool,
    stop: bool,
    person: str,
    as_json: bool,
) -> None:
    """A self-contained world to try everything in: an update server, a metrics server, robots, and what goes on with them.

    Time runs faster than life. A demo that is running is opened again; another scenario begins anew.
    """
    home = demo_home()
    with refusals(as_json):
        try:
            if stop:
                ended = world.end(home)
                click.echo(plain.as_json({"stopped": ended}) if as_json else "stopped" if ended else "no demo runs")
                return
            if tour and (headless or scenario):
                raise click.UsageError("a tour is taken in the console, through a world of its own")
            if tour and not detach and (why := terminal.unfit()):
                end(f"a tour is taken in the console: {why}", REFUSED)
            scenario = TOUR if tour else scenario
            headless = headless or (not detach and bool(terminal.unfit()))
            pattern = named(scenario) if scenario in (*PATTERNS, TOUR) else None
            usual = pattern.speed if pattern and (headless or tour) else HEADLESS if headless else INTERACTIVE
            fastness = speed or usual
            here, run = _begun(home, scenario, seed, fastness, robots, afresh=headless)
        except world.NotADemo as error:
            end(plain.clean(error), REFUSED)
        if headless and pattern is not None:
            _act(home, here, pattern, as_json)
        elif headless:
            _play(home, here, run, as_json)
        elif detach:
            status = wire.get(home, "/v1/status", EngineStatus)
            told = {"run": run, "home": str(home.config.parent), "engine": status, "world": here.told()}
            text = f"{here.scenario} runs at {here.speed:g}x life: qd opens it, qd demo --stop ends it ({run})"
            click.echo(plain.as_json(told) if as_json else text)
        else:
            from app.opening import open_console

            sys.exit(open_console(home=home, person=person or (GUEST if tour else ""), start=":tour" if tour else ""))


def _begun(
    home: Home, scenario: str | None, seed: int, speed: float, robots: int, *, afresh: bool
) -> tuple[world.World, str]:
    """The demo's world and the run it is about: those that run, or new ones."""
    here = world.running(home)
    if here is not None and not afresh and scenario in (None, here.plays or here.scenario):
        attach.ensure(home)
        rows = wire.get(home, "/v1/runs?limit=1", RunPage).rows
        return here, rows[0].id if rows else ""
    name = scenario or "healthy"
    pattern = named(name) if name in (*PATTERNS, TOUR) else None
    if name == TOUR:
        click.echo("setting up one of everything: half a minute", err=True)
    here = world.start(
        home,
        scenario=pattern.world if pattern else name,
        seed=seed,
        speed=speed,
        robots=pattern.robots if pattern else robots,
        plays=name,
    )
    try:
        attach.ensure(home)
        if pattern is None:
            return here, _rollout(home, here)
        pattern.begin(Stage(home, here))
    except BaseException:
        world.end(home)  # half a story is none
        raise
    rows = wire.get(home, "/v1/runs?limit=1", RunPage).rows
    return here, rows[0].id if rows else ""


def _rollout(home: Home, here: world.World) -> str:
    operator = Operator(home)
    inputs: dict[str, Any] = {"version": here.release, "selector": here.selector, "reason": f"demo: {here.scenario}"}
    return operator.command(operator.starter(), "rollout.start", "", {"inputs": inputs}).target


def _act(home: Home, here: world.World, scenario: Scenario, as_json: bool) -> None:
    """A pattern's scenario, by the sandbox people alone."""
    click.echo(f"{scenario.name}, seed {here.seed}, {here.speed:g}x life: {plain.clean(scenario.title)}", err=True)
    try:
        assert scenario.play is not None, "only what can be played is played"
        facts = scenario.play(Stage(home, here, lambda text: click.echo(plain.clean(text, 300), err=True)))
        told = happened(home, scenario=scenario.name, seed=here.seed, facts=facts)
    finally:
        try:
            world.end(home)
        except Unreachable as error:
            click.echo(plain.clean(error), err=True)
    if as_json:
        click.echo(plain.as_json(told))
        return
    for run in told["runs"]:
        click.echo(plain.clean(f"{run['run']}  {run['workflow']}  {run['status']}  {run['ending']}"))
    for kind, states in told["records"].items():
        click.echo(plain.clean(f"{kind}: " + ", ".join(f"{count} {state}" for state, count in states.items())))
    click.echo(f"{told['events']} events, history {'whole' if told['chain_ok'] else 'BROKEN'}")


def _play(home: Home, here: world.World, run: str, as_json: bool) -> None:
    click.echo(f"{here.scenario}, seed {here.seed}, {here.speed:g}x life: {plain.clean(here.title)}", err=True)
    operator = Operator(home, lambda text: click.echo(plain.clean(text, 300), err=True))
    try:
        operator.play(run, limit_s=LIMIT_S)
        told = document(
            home,
            run,
            scenario=here.scenario,
            seed=here.seed,
            truth=world.truth(here),
            versions=(here.release, here.previous),
        )
    finally:
        try:
            world.end(home)
        except Unreachable as error:
            click.echo(plain.clean(error), err=True)
    if as_json:
        click.echo(plain.as_json(told))
        return
    rollout = told["rollout"]
    click.echo(
        f"{rollout['state']}: {rollout['robots_on_target']} robots on {here.release}, {rollout['robots_on_previous']} on {here.previous}"
    )
    for verdict in rollout["verdicts"]:
        click.echo(plain.clean(f"  {verdict.stage}: {verdict.word} {verdict.sentence}", 300))
    click.echo(f"{told['events']} events, history {'whole' if told['chain_ok'] else 'BROKEN'}")
