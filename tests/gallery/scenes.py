"""Every screen of the console, filled, over clients without an engine: for the gallery, and for the snapshots tests compare.

A scene is a screen with data that has something to say. Time stands still in it, so that it looks the same every day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any
from unittest import mock

import msgspec

from app.console import Console
from engine.contract.access import AccessPage
from engine.contract.calendar import CalendarView, WindowView
from engine.contract.oncall import DutyRecord, OnCallView, QuietHours, ShiftLine, ShiftReport, Watched
from engine.contract.records import EvidenceText
from engine.contract.sessions import Finding, SessionFunnel, SessionReport, SessionView
from screens import form, label
from screens.base import QScreen
from screens.confirm import ARM_S, Confirm
from tests.fakes import BASE, FakeClient
from tests.unit.access import test_screens as access
from tests.unit.cases import fake_cases as cases
from tests.unit.connector_screens import world as systems
from tests.unit.corrections import world as corrections
from tests.unit.decision_screens import test_alerts_screens as alerts
from tests.unit.decision_screens import test_data_screens as data
from tests.unit.decision_screens import test_events_screens as events
from tests.unit.decision_screens import test_gateway_screens as gateways
from tests.unit.decision_screens import test_hooks_screens as hooks
from tests.unit.incidents import test_screens as incidents
from tests.unit.models import test_screens as models

if TYPE_CHECKING:
    from textual.pilot import Pilot

SIZES = ((80, 24), (120, 36), (200, 60))
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Scene:
    """`start` is the `:` command that opens it, `keys` what is pressed then. `about` says in a word or two what is shown."""

    name: str
    start: str
    client: Callable[[], FakeClient] = FakeClient
    keys: tuple[str, ...] = ()
    about: str = ""


def _sessions() -> FakeClient:
    made = FakeClient()
    torn = Finding(
        check="gap",
        severity="repair",
        text="0.3 s without a message",
        topic="/joint_states",
        t_from=2.1,
        t_to=2.4,
        value=0.3,
        limit=0.1,
    )
    wrong = Finding(check="wrong_robot", severity="fail", text="says HAM2-AMR-04, was claimed for HAM2-AMR-01")
    rows = [
        ("S-1", "valid", "pass", ()), ("S-2", "repaired", "repair", (torn,)), ("S-3", "quarantined", "quarantine", (wrong,)),
    ]  # fmt: skip
    made.held["session"] = [
        SessionView(
            id=name, kind="session", rev=3, state=state, name=f"pick-{name.lower()}.mcap", uri=f"file:///recordings/pick-{name.lower()}.mcap",
            robot="HAM2-AMR-01", site="HAM2", task="bin-pick", operator="op-7", outcome="success", duration_s=61.0, bytes=4_200_000, frames=1830, fps=30.0,
            digest="sha256:" + "ab" * 32, container="mcap", format="mcap", created_at=BASE - 3600.0 * number, verdict=word,
            code=found[0].check if found else "", findings=found, finding_count=len(found), run="run-4",
        )
        for number, (name, state, word, found) in enumerate(rows, 1)
    ]  # fmt: skip
    for view in made.held["session"]:
        assert isinstance(view, SessionView)
        made.answers_to[f"/v1/sessions/{view.id}/report"] = SessionReport(
            session=view.id, digest=view.digest, verdict=view.verdict, profile="teleop/3", findings=view.findings
        )
    made.answers_to["/v1/session-funnel"] = SessionFunnel(
        states={"valid": 1, "repaired": 1, "quarantined": 1}, reasons={"gap": 1, "wrong_robot": 1}, sessions=3, bytes=12_600_000, hours=0.05, repaired=1, lost_bytes=19_680,
    )  # fmt: skip
    return made


def _shift() -> FakeClient:
    made = FakeClient()
    made.answers_to["/v1/oncall"] = OnCallView(
        me="lena", mine=None, as_of=BASE,
        on_duty=(DutyRecord(id="D-7", kind="duty", state="on", person="marc", scope="EU fleet", since=BASE - 27_000, until=BASE + 1800),),
        watched=(Watched(watch="W-1", kind="incident", id="I-44", title="gripper force", text="containing", seq=8, at=BASE - 300, news=True),),
        quiet=QuietHours(since=BASE - 7200, until=BASE + 10_800, severities=("info", "warning")),
    )  # fmt: skip
    made.answers_to["/v1/oncall/report"] = ShiftReport(
        person="lena", since=BASE - 57_600, why_since="your last shift ended then", at=BASE,
        commands=(ShiftLine(kind="incident", id="I-44", text="gripper force above its band", at=BASE - 5000, who="lena", level="alarm"),),
        happened=(ShiftLine(kind="rollout", id="run-192", text="stage 2 passed at 14 robots", at=BASE - 9000, level="notice"),
                  ShiftLine(kind="rollout", id="run-194", text="rolled back at HAM5: 3 of 14 robots regressed", at=BASE - 4000, level="alarm")),
        waits=(ShiftLine(kind="gate", id="run-195.7", text="Promote nav 4.8.1 to stage 3?", at=BASE + 3000, who="release-manager", level="warning"),),
        expires=(ShiftLine(kind="grant", id="GR-9", text="direct drive of HAM2-AMR-07", at=BASE + 1200, who="olga"),),
        counts={"runs": 41, "gates": 7, "alerts": 12}, more={"happened": 3},
    )  # fmt: skip
    return made


def _access() -> FakeClient:
    replace = msgspec.structs.replace
    rows = (
        replace(access.REQUEST, id="Q-2", state="held", reason="TEL-03 recording is not ready"),
        access.REQUEST,
        replace(access.REQUEST, id="Q-3", state="granted", grant="GR-9", breakglass=True),
    )
    page = AccessPage(
        requests=rows, grants=(replace(access.GRANT, breakglass=True),), leases=(access.LEASE,), gates={"Q-208": BASE + 500}, as_of=BASE,
    )  # fmt: skip
    return access.client(page=page)


def _hooks() -> FakeClient:
    made = FakeClient()
    made.answers_to["/v1/hooks"] = hooks.HOOKS
    made.held["delivery"] = [hooks.KEPT, hooks.TAKEN]
    made.held["notice"] = [hooks.TOLD, hooks.DOUBTFUL]
    body = '{"version": "3", "alerts": []}'
    made.kept[hooks.DIGEST] = EvidenceText(digest=hooks.DIGEST, media="application/json", size_b=412, text=body)
    return made


def _calendar() -> FakeClient:
    made = FakeClient()
    day = 86_400.0
    nights = tuple((BASE - 6600 + number * day, BASE + 3600 + number * day) for number in range(7))
    made.answers_to["/v1/calendar"] = CalendarView(
        start=BASE, end=BASE + 7 * day, as_of=BASE,
        windows=(
            WindowView(name="night-changes", zone="Europe/Berlin", open=False, until=BASE + 3600, reason="peak of HAM2", closed=nights, holds=("run-197",)),
            WindowView(name="weekend", zone="Europe/Berlin", until=BASE + 4 * day, closed=((BASE + 4 * day, BASE + 6 * day),)),
        ),
        deadlines=(
            ShiftLine(kind="gate", id="run-195.7", text="Start the rollout of nav 4.8.1 on 118 robots?", at=BASE - 600, who="release-manager", level="alarm"),
            ShiftLine(kind="grant", id="GR-9", text="direct drive of HAM2-AMR-07", at=BASE + 1200, who="olga", level="warning"),
            ShiftLine(kind="case", id="M-311", text="restore HAM2-AMR-02", at=BASE + 2 * day, who="tom"),
        ),
    )  # fmt: skip
    return made


def _systems() -> FakeClient:
    return systems.client(systems.UPDATES, systems.SIGNALS, systems.REST, systems.JIRA)


def _quiet() -> FakeClient:
    return FakeClient(empty=True, run_count=0)


SCENES = (
    Scene("watch", ":watch"),
    Scene("watch-quiet", ":watch", _quiet, about="nothing waits"),
    Scene("runs", ":runs"),
    Scene("run", ":run run-199", about="its graph"),
    Scene("run-timeline", ":run run-199", keys=("v",), about="its events"),
    Scene("run-why", ":run run-195", keys=("w",), about="what it waits for"),
    Scene("gates", ":gates"),
    Scene("gate", ":gate run-195.7", about="a rollout's next stage"),
    Scene("gate-confirm", ":gate run-195.7", keys=("X",), about="before a decision"),
    Scene("rollouts", ":rollouts"),
    Scene("rollout", ":rollout 192"),
    Scene("rollout-trouble", ":rollout 194", about="a regression"),
    Scene("fleet", ":fleet"),
    Scene("data", ":data", data.held),
    Scene("snapshot", ":snapshot bins-v14", data.held),
    Scene("labels", ":data", data.held, ("l",)),
    Scene("label", ":label L-1", data.held),
    Scene("training", ":training T-3", data.held),
    Scene("sessions", ":data", _sessions, ("s",)),
    Scene("session", ":session S-2", _sessions),
    Scene("models", ":models", models.client),
    Scene("candidate", f":candidate {models.CANDIDATE.id}", models.client),
    Scene("corrections", ":corrections", corrections.client),
    Scene("correction", ":correction COR-1", corrections.client),
    Scene("cluster", ":cluster CL-12", corrections.client),
    Scene("incidents", ":incidents", incidents.client),
    Scene("incident", ":incident I-44", incidents.client),
    Scene("cases", ":cases", cases.client),
    Scene("case", ":case M-311", cases.client),
    Scene("case-form", ":cases", cases.client, ("plus",), "a form"),
    Scene("access", ":access", _access),
    Scene("request", ":request Q-208", access.client),
    Scene("workflows", ":workflows", events.client),
    Scene("events", ":events", events.client),
    Scene("trace", ":trace 1077", events.client),
    Scene("connectors", ":connectors", _systems),
    Scene("system", ":system updates", _systems),
    Scene("add-connector", ":connectors", _systems, ("plus",)),
    Scene("gateways", ":gateways", gateways.client),
    Scene("shell", ":shell SS-5", lambda: gateways.client(SS_5=gateways.CAST), ("G",)),
    Scene("alerts", ":alerts", alerts.client),
    Scene("handover", ":handover", _shift),
    Scene("calendar", ":calendar", _calendar),
    Scene("hooks", ":hooks", _hooks),
    Scene("manual", ":watch", keys=("f1",), about="F1"),
    Scene("help", ":watch", keys=("question_mark",), about="?"),
    Scene("palette", ":watch", keys=("ctrl+p",), about="Ctrl+P"),
)
BY_NAME = {scene.name: scene for scene in SCENES}


@contextmanager
def still() -> Iterator[None]:
    """The engine's clock stands, and nothing one typed elsewhere is found again."""
    form.drafts.clear()
    label.drafts.clear()
    with mock.patch("screens.model.monotonic", lambda: 1000.0):
        yield


@asynccontextmanager
async def opened(
    scene: Scene, size: tuple[int, int], theme: str = "night"
) -> AsyncIterator[tuple[Console, Pilot[Any]]]:
    """A console that shows the scene; inside `still`."""
    client = scene.client()
    console = Console(client, first=await client.watch(), start=scene.start)
    console.theme = theme
    async with console.run_test(size=size) as pilot:
        await settled(pilot)
        for key in scene.keys:
            await pilot.press(key)
            await settled(pilot)
        if isinstance(console.screen, Confirm):
            await pilot.pause(ARM_S + 0.15)
        yield console, pilot


async def settled(pilot: Pilot[Any]) -> None:
    """Everything posted was handled, what a second brings is there, and every worker is done; a question is left to wait."""
    if isinstance(pilot.app.screen, QScreen):
        pilot.app.screen.each_second()
    until = monotonic() + PATIENCE_S
    await pilot.pause(0.01)
    while any(worker.is_running for worker in pilot.app.workers):
        if monotonic() > until or isinstance(pilot.app.screen, Confirm):
            break
        await pilot.pause(0.01)
    await pilot.pause(0.02)


def text(console: Console) -> str:
    """What stands on the screen, line by line."""
    return "\n".join(strip.text.rstrip() for strip in console.screen._compositor.render_strips())
