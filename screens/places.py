"""Where one can go in the console: root screens by noun and key, and the screen that shows one thing of a kind.

Screens are named, not imported: the first frame waits for Watch alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A root screen. `cli` is the same on the command line."""

    noun: str
    screen: str
    help: str
    key: str = ""
    cli: str = ""
    short: str = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """A screen for one thing. `root` is where it is listed; `record` the kind of record, when it is one; `prefix` of its ids."""

    noun: str
    screen: str
    root: str
    record: str = ""
    example: str = ""
    prefix: str = ""


PLACES = (
    Place("watch", "screens.watch:WatchScreen", "What needs me first, rollouts, failing runs, what happens", "1", "qd", "w"),
    Place("runs", "screens.runs:RunsScreen", "All runs", "2", "qd runs ls", "r"),
    Place("gates", "screens.gates:GatesScreen", "Questions that wait for people, by deadline", "3", "qd gates ls", "g"),
    Place("rollouts", "screens.rollouts:RolloutsScreen", "Staged rollouts", "4", "qd rollouts ls", "ro"),
    Place("fleet", "screens.fleet:FleetScreen", "Robots, versions desired and reported, cohorts", "5", "qd fleet robots", "f"),
    Place("data", "screens.data:DataScreen", "Recordings, labels, datasets and training", "6", "qd data ls", "d"),
    Place("models", "screens.models:ModelsScreen", "Candidates against baselines, packs, artifacts", "7", "qd models ls", "m"),
    Place("corrections", "screens.corrections:CorrectionsScreen", "What people had to correct, by cluster", "8", "qd corrections ls", "co"),
    Place("incidents", "screens.incidents:IncidentsScreen", "Incidents, holds, clocks", "9", "qd incidents ls", "i"),
    Place("cases", "screens.cases:CasesScreen", "Maintenance cases by what is due first", "0", "qd cases ls", "c"),
    Place("access", "screens.access:AccessScreen", "Requests, grants and who has control", "f2", "qd access ls", "ac"),
    Place("workflows", "screens.workflows:WorkflowsScreen", "Workflows: what they do; start one", "f3", "qd workflows ls", "wf"),
    Place("events", "screens.events:EventsScreen", "Events and what each of them started", "f4", "qd events ls", "ev"),
    Place("connectors", "screens.connectors:ConnectorsScreen", "Remote systems: health, what is mirrored, how old it is", "f5", "qd connectors ls", "cn"),
    Place("gateways", "screens.gateways:GatewaysScreen", "Gateways: reachable, host keys, sessions; open one", "f6", "qd fleet gateways", "gw"),
    Place("alerts", "screens.alerts:AlertsScreen", "What fires; silences: who, why, until when", "f8", "qd alerts ls", "al"),
    Place("handover", "screens.handover:HandoverScreen", "Who is on duty; what a shift has to know; hand over, take over", "f9", "qd handover", "ho"),
    Place("calendar", "screens.calendar:CalendarScreen", "What lies ahead: windows, deadlines, what ends", "f10", "qd calendar", "cal"),
    Place("hooks", "screens.hooks:HooksScreen", "Webhooks that can't be read, who may tell, what people were told", "f7", "qd hooks ls", "hk"),
)  # fmt: skip

THINGS = (
    Thing("run", "screens.run:RunScreen", "runs", example="42", prefix="run"),
    Thing("gate", "screens.gate:GateScreen", "gates", example="run-42.7"),
    Thing("rollout", "screens.rollout:RolloutScreen", "rollouts", example="42", prefix="run"),
    Thing("robot", "", "fleet", example="HAM2-amr-0117"),
    Thing("snapshot", "screens.dataset:SnapshotScreen", "data", "snapshot", "bins-v14"),
    Thing("session", "screens.session:SessionScreen", "data", "session", "S-12", "S"),
    Thing("session", "screens.session:SessionScreen", "data", "session", "S-12", "S"),
    Thing("label", "screens.label:LabelTaskScreen", "data", "label_task", "L-12", "L"),
    Thing("training", "screens.training:TrainingScreen", "data", "training", "T-3", "T"),
    Thing("candidate", "screens.candidate:CandidateScreen", "models", "candidate", "C-7", "C"),
    Thing("correction", "screens.correction:CorrectionScreen", "corrections", "correction", "COR-12", "COR"),
    Thing("cluster", "screens.correction:CorrectionScreen", "corrections", "cluster", "CL-17", "CL"),
    Thing("incident", "screens.incident:IncidentScreen", "incidents", "incident", "I-44", "I"),
    Thing("case", "screens.case:CaseScreen", "cases", "case", "M-311", "M"),
    Thing("request", "screens.request:RequestScreen", "access", "access_request", "Q-208", "Q"),
    Thing("system", "screens.system:SystemScreen", "connectors", "system", "updates"),
    Thing("shell", "screens.play:PlayScreen", "gateways", "ssh_session", "SS-3", "SS"),
    Thing("trace", "screens.trace:TraceScreen", "events", example="run-42"),
)

BY_NOUN = {place.noun: place for place in PLACES}
ONE = {thing.noun: thing for thing in THINGS}
OF_RECORD = {thing.record: thing.noun for thing in THINGS if thing.record}
