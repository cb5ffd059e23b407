"""The command line. Each group stands in a module of its own and is loaded when it is asked for."""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

# name -> (module:attribute, one line of help); the help stands here so that `qd --help` loads nothing
GROUPS = {
    "engine": ("app.cli.engine:engine", "Start, stop and look at the engine."),
    "workflows": ("app.cli.workflows:workflows", "Definitions: list, show, validate, register."),
    "runs": ("app.cli.runs:runs", "Runs: list, show, start, watch, explain, and every verb on them."),
    "gates": ("app.cli.gates:gates", "Questions to people: list, show, approve, reject, delegate."),
    "rollouts": ("app.cli.rollouts:rollouts", "Staged rollouts: list, show, start, pause, promote, roll back."),
    "fleet": ("app.cli.fleet:fleet", "Robots, cohorts and gateways."),
    "data": ("app.cli.data:data", "Recordings, labels, datasets, snapshots and training."),
    "models": ("app.cli.models:models", "Candidates, evaluation packs, artifacts."),
    "corrections": ("app.cli.corrections:corrections", "What people had to correct: clusters, triage, routes."),
    "incidents": ("app.cli.incidents:incidents", "Incidents: declare, contain, options, clocks, follow-ups."),
    "cases": ("app.cli.cases:cases", "Maintenance cases: open, claim, work, resolve, return to service."),
    "tickets": ("app.cli.tickets:tickets", "Tickets of cases elsewhere: both sides, conflicts, sync."),
    "access": ("app.cli.access:access", "Access requests, grants, leases, sessions on gateways."),
    "connectors": ("app.cli.connectors:connectors", "Remote systems: list, add, test, sync, check, remove."),
    "handover": ("app.cli.handover:handover", "Hand a shift over, take one over; what a shift has to know."),
    "oncall": ("app.cli.oncall:oncall", "Who is on duty, what I watch, what rings."),
    "calendar": ("app.cli.calendar:calendar", "What lies ahead: windows, deadlines, what ends."),
    "alerts": ("app.cli.alerts:alerts", "What fires; silences: who, why, until when."),
    "events": ("app.cli.events:events", "Events: list, emit, follow."),
    "hooks": ("app.cli.hooks:hooks", "Webhooks: who tells, what could not be read."),
    "notices": ("app.cli.notices:notices", "What people were told outside the console."),
    "triggers": ("app.cli.triggers:triggers", "What events start; why one did or did not."),
    "trace": ("app.cli.trace:trace", "The thread from an event, run or record, both ways."),
    "records": ("app.cli.records:records", "Records of any kind: list, show, history; evidence."),
    "history": ("app.cli.history:history", "The record: verify, export, play."),
    "find": ("app.cli.find:find", "Anything by its id or a word of its name."),
    "config": ("app.cli.config:config", "The console's settings: keys, views, hints."),
    "demo": ("app.cli.demo:demo", "A self-contained world to try everything in."),
    "manual": ("app.cli.manual:manual", "The manual: screens, patterns, concepts, errors."),
    "doctor": ("app.cli.doctor:doctor", "Look at this installation and say what to do."),
    "completion": ("app.cli.completion:completion", "Completion for your shell."),
}


class LazyGroup(click.Group):
    """Loads the module of a command only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in GROUPS:
            return None
        module, _, name = GROUPS[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in GROUPS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("0.1.0", prog_name="quarterdeck")
@click.option("--socket", metavar="PATH", help="The engine's socket, e.g. one forwarded with ssh -L.")
@click.option("--home", metavar="DIR", help="Everything of one installation under DIR (as QD_HOME does).")
@click.option("--as", "person", default="", metavar="NAME", help="Open the console as one of the sandbox people.")
@click.option(
    "--read-only",
    "only_looks",
    is_flag=True,
    help="A console that only looks: every key that changes something is barred.",
)
@click.option(
    "--plain",
    "as_lines",
    is_flag=True,
    help="Lines and a prompt instead of a screen: for screen readers and serial lines.",
)
@click.pass_context
def root(
    ctx: click.Context, *, socket: str | None, home: str | None, person: str, only_looks: bool, as_lines: bool
) -> None:
    """Quarterdeck: what robots, models and data go through. Without a command: the console."""
    if socket:
        os.environ["QD_SOCKET"] = socket
    if home:
        os.environ["QD_HOME"] = home
    if ctx.invoked_subcommand is None:
        from app.opening import in_lines, open_console

        if as_lines and only_looks:
            raise click.UsageError("--read-only is about the screen; in lines, commands that only look change nothing")
        if as_lines:
            ctx.exit(in_lines(person=person))
        ctx.exit(open_console(person=person, only_looks=only_looks))


def main(arguments: list[str]) -> Any:
    return root.main(args=arguments, prog_name="qd")
