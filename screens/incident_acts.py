"""What can be done on an incident by key, on its own screen and on the list; the form that declares one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract.common import CommandAnswer
from engine.contract.incidents import HoldView, IncidentView
from screens import acts
from screens.acts import Act, Field, Level
from screens.base import Target
from screens.form import FormField, FormScreen, sending

if TYPE_CHECKING:
    from screens.base import QScreen

WHY = Field("reason", "Why?", required=True)
OPTION_WORDS = ("rollback", "forward", "hotfix", "config", "restrict", "monitor")

acts.register(
    Act("incident.contain", "C", "contain", target="incident", level=Level.SAFE, command="incident.contain", order=1,
        help="Now, without typing: rollouts pause, what has not begun is withdrawn, robots leave dispatch", cli="qd incidents contain {id}"),
    Act("incident.take", "I", "command", target="incident", level=Level.SAFE, command="incident.take", order=2,
        help="You command it from now on; whoever did is named", cli="qd incidents take {id}"),
    Act("incident.execute", "R", "execute", target="incident", order=4,
        help="The gate of the chosen option: it wants the phrase of what would be touched", cli="qd gates approve GATE"),
    Act("incident.rescope", "S", "rescope", target="incident", level=Level.SAFE, command="incident.rescope", order=5,
        help="Look again: suspects, affected robots and options anew", cli="qd incidents rescope {id}"),
    Act("incident.hold", "H", "hold robot", target="incident", order=6,
        help="A robot stays exactly as it is until two people release it", cli="qd incidents hold ROBOT --incident {id} --reason WHY"),
    Act("incident.update", "b", "update", target="incident", level=Level.CHANGE, command="incident.update", order=7,
        fields=(Field("text", "What does everybody need to know?", required=True),),
        help="Tell everybody; the time until the next word begins anew", cli="qd incidents update {id} TEXT"),
    Act("incident.clock", "dollar_sign", "clock", target="incident", level=Level.CHANGE, command="incident.clock", order=8,
        fields=(Field("regime", "Which clock?", required=True), WHY),
        help="Records that you are aware: a regulatory clock starts, and can't be taken back", cli="qd incidents clock {id} REGIME --reason WHY"),
    Act("incident.breakglass", "exclamation_mark", "break glass", target="incident", level=Level.RISK, command="incident.breakglass", order=9,
        fields=(Field("option", "Which way out?", required=True, choices=OPTION_WORDS, default="rollback"), WHY),
        help="Without the others, on your word alone; reviewed by somebody else within a day", cli="qd incidents break-glass {id} OPTION --reason WHY --phrase PHRASE"),
    Act("incident.severity", "V", "severity", target="incident", level=Level.CHANGE, command="incident.severity", order=0,
        fields=(Field("sev", "Severity 1 (worst) to 4?", required=True, choices=("1", "2", "3", "4")), Field("reason", "Why?")),
        help="Grade it", cli="qd incidents severity {id} SEV"),
    Act("incident.false_alarm", "X", "false alarm", target="incident", level=Level.CHANGE, command="incident.false-alarm", order=0,
        fields=(WHY,), help="It was none: what it took out goes back, what it saw is kept", cli="qd incidents false-alarm {id} --reason WHY"),
    Act("incident.recurred", "B", "it is back", target="incident", level=Level.CHANGE, command="incident.recurred", order=0,
        fields=(WHY,), help="It came back: the options are weighed anew", cli="qd incidents recurred {id} --reason WHY"),
    Act("incident.file", "f", "file", target="incident", order=10,
        help="A follow-up was filed: where it stands now", cli="qd incidents file FOLLOW-UP --ref WHERE"),
    Act("incident.robots", "r", "robots", target="incident", help="Each robot: before, now, on hold, why it is left", cli="qd incidents show {id} --robots", order=11),
    Act("incident.timeline", "t", "timeline", target="incident", help="Who did what when", cli="qd incidents show {id} --timeline", order=12),
    Act("incident.evidence", "e", "evidence", target="incident", help="Bundles and their digests, holds, what is owed", cli="qd incidents show {id} --evidence", order=13),
    Act("incident.gate", "A", "its gate", target="incident", help="The question that is open", cli="qd gates show GATE", order=0),
    Act("incident.run", "l", "its run", target="incident", help="Timeline, graph, inputs and outputs", cli="qd runs show RUN", order=0),
    Act("incident.trace", "h", "thread", target="incident", help="What caused it and what it caused, both ways", cli="qd trace {id}", order=15),
    Act("incident.rollout", "w", "waves", target="incident", help="The rollout that carries it out", cli="qd rollouts show RUN", order=14),
    *(
        Act(f"incident.choose_{number}", str(number), f"choose {word}", target="incident", level=Level.SAFE, command="incident.choose",
            help=f"Freeze {word} with its robots; it goes to the gate, nothing is done yet", cli=f"qd incidents choose {{id}} {word}", order=0)
        for number, word in enumerate(OPTION_WORDS, 1)
    ),
)  # fmt: skip

AT_ONCE = Act("incident.hold_at_once", "", "hold", target="robot", level=Level.SAFE, command="hold.place")
"""What `incident.hold` sends when there is nothing to choose; no key of its own."""

ON_LIST = ("incident.contain", "incident.take", "incident.hold", "incident.update")
ON_ONE = (
    "incident.contain", "incident.take", "incident.execute", "incident.rescope", "incident.hold", "incident.update", "incident.clock",
    "incident.breakglass", "incident.severity", "incident.false_alarm", "incident.recurred", "incident.file", "incident.robots",
    "incident.timeline", "incident.evidence", "incident.gate", "incident.run", "incident.rollout", "incident.trace",
    *(f"incident.choose_{number}" for number in range(1, 7)),
)  # fmt: skip


def declaration(screen: QScreen) -> FormScreen:
    """Three answers are enough; when nobody is sure how grave it is, the higher is assumed."""
    fields = (
        FormField("title", "What is wrong?", required=True, hint="one sentence, as you would say it on the phone"),
        FormField("sev", "How grave?", "choice", choices=(("0", "not sure: the higher is assumed"), ("1", "1 injury, safety function, whole fleet"), ("2", "2 a site down, a tenth of the fleet"), ("3", "3 a cohort degraded"), ("4", "4 one robot")), default="0"),
        FormField("version", "Which version?", hint="as robots report it; leave it empty when you don't know"),
        FormField("site", "Where?"),
        FormField("robots", "Robots involved", "text", hint="names with spaces between; they are held as they are"),
        FormField("reason", "How does it show?", "long"),
    )  # fmt: skip
    send = sending(screen.client, "incident.declare")

    async def declare(found: dict[str, object]) -> CommandAnswer:
        args = dict(found)
        if "sev" in args:
            args["sev"] = int(str(args["sev"]))
        if "robots" in args:
            args["robots"] = str(args["robots"]).replace(",", " ").split()
        return await send(args)

    def opened(answer: CommandAnswer) -> None:
        screen.say(("\u2713 declared ", "strong"), answer.target)
        screen.console.open("incident", answer.target)

    return FormScreen("Declare an incident", fields, declare, "incident", verb="Declare", done=opened)


def hold(screen: QScreen, incident: IncidentView) -> None:
    """Of one robot involved nothing is asked: it is held at once, or is held already. Else which robot, and why."""
    if len(incident.involved) != 1:
        screen.console.ask_form(_hold_form(screen, incident.id))
        return
    screen.ask(
        lambda: screen.client.records("hold", HoldView, where={"incident": incident.id}),
        lambda holds: _hold_one(screen, incident, incident.involved[0], holds),
        group="hold",
    )


def _hold_one(screen: QScreen, incident: IncidentView, robot: str, holds: tuple[HoldView, ...]) -> None:
    found = next((one.id for one in holds if one.robot == robot and one.state == "active"), "")
    if found:
        screen.say(f"{robot} is on hold already ({found}): ", ("two people release it", "strong"))
        return
    given = {"robot": robot, "incident": incident.id, "reason": incident.title}
    target = Target("robot", "", robot)
    screen.run_worker(screen.send(AT_ONCE, target, given), group="command", exit_on_error=False)


def _hold_form(screen: QScreen, incident: str) -> FormScreen:
    fields = (
        FormField("robot", "Which robot?", "robot", required=True),
        FormField("reason", "Why?", required=True, hint="it stays as it is until two people release it"),
    )
    return FormScreen(
        "Hold a robot",
        fields,
        sending(screen.client, "hold.place", "", {"incident": incident}),
        f"hold {incident}",
        verb="Hold",
    )


def filing(screen: QScreen, follow_ups: tuple[tuple[str, str], ...]) -> FormScreen:
    """Where a follow-up stands now."""
    fields = (
        FormField("followup", "Which?", "choice", required=True, choices=follow_ups, default=follow_ups[0][0]),
        FormField("ref", "Where is it filed?", required=True, hint="a problem, a case, a pack, a document"),
        FormField("note", "Note", "long"),
    )

    async def file(found: dict[str, object]) -> CommandAnswer:
        args = dict(found)
        target = str(args.pop("followup", follow_ups[0][0]))
        return await sending(screen.client, "followup.file", target)(args)

    return FormScreen("File a follow-up", fields, file, f"file {follow_ups[0][0]}", verb="File")
