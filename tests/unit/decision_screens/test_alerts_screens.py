"""Alerts and silences, by keyboard."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from engine.contract.alerts import SilenceRecord
from engine.contract.oncall import Acknowledgement
from engine.contract.systems import FeedView, MirrorObject, MirrorPage, SystemPage, SystemView
from screens.form import FormScreen
from screens.widgets.line_table import LineTable
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At, Desk


def alert(robot: str, name: str, severity: str, state: str = "active", **data: object) -> MirrorObject:
    labels = {"alertname": name, "robot": robot, "severity": severity}
    said = {
        "robot": robot,
        "severity": severity,
        "labels": labels,
        "annotations": {"summary": f"{robot} stands in aisle 7"},
    }
    return MirrorObject(
        system="pager", kind="alert", id=f"{robot}{name}", name=name, state=state, changed_at=BASE - 400, data={**said, **data}
    )  # fmt: skip


RUNS = SilenceRecord(
    id="SIL-3", kind="silence", rev=2, state="active", title="x", remote="r-3", matchers={"robot": "UTR1-AMR-02"}, owner="tom",
    comment="on the bench\x1b[2J", case="M-7", starts_at=BASE - 600, ends_at=BASE + 3000,
)  # fmt: skip
OVER = SilenceRecord(
    id="SIL-1", kind="silence", rev=3, state="ended", title="x", remote="r-1", matchers={"alertname": "BatteryLow"}, owner="kay",
    comment="known", ends_at=BASE - 50, ended_at=BASE - 900, ended_by="lin",
)  # fmt: skip
ROWS = (
    alert("HAM2-AMR-04", "BatteryLow", "warning"),
    alert("UTR1-AMR-02", "RobotStuck", "critical", "suppressed", silenced_by=["r-3"]),
    alert("HAM2-AMR-01", "RobotStuck", "critical"),
)


def client(state: str = "fresh", rows: tuple[MirrorObject, ...] = ROWS) -> FakeClient:
    feed = FeedView(kind="alert", state=state, synced_at=BASE - 900, objects=3)
    pager = SystemView(id="pager", kind="system", rev=1, state="active", title="pager", name="pager", feeds=(feed,))
    made = FakeClient(
        answers_to={"/v1/mirror": MirrorPage(objects=rows), "/v1/connectors": SystemPage(systems=(pager,))}
    )
    made.held["silence"] = [RUNS, OVER]
    return made


def picture(desk: Desk, name: str) -> None:
    """For looking at: QD_PICTURES names a folder."""
    if folder := os.environ.get("QD_PICTURES"):
        (Path(folder) / f"{name}.svg").write_text(desk.console.export_screenshot(), "utf-8")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_is_heard_stands_first_and_what_is_not_says_why(at: At, size: tuple[int, int]) -> None:
    async with at("alerts", client=client(), size=size) as desk:
        picture(desk, f"alerts-{size[0]}")
        text = desk.text
        assert "2 alerts firing, 1 of weight, 1 silenced, 1 silence from here" in text
        assert text.index("HAM2-AMR-01") < text.index("HAM2-AMR-04") < text.index("UTR1-AMR-02")
        assert "SIL-3" in text and "tom" in text and "robot=UTR1-AMR-02" in text and "\x1b" not in text
        await desk.press("j", "j")
        assert "not told to anybody: silenced as r-3" in desk.text


async def test_an_alert_is_silenced_by_a_form_and_its_phrase(at: At) -> None:
    async with at("alerts", client=client()) as desk:
        await desk.press("s")
        assert isinstance(desk.console.screen, FormScreen)
        await desk.write("on the bench")
        picture(desk, "alerts-form")
        await desk.press("ctrl+s")
        (asked,) = [one for one in desk.client.commands if one.verb == "silence.start" and one.preview]
        assert asked.args["matchers"] == {"robot": "HAM2-AMR-01"} and asked.args["seconds"] == 7200
        assert asked.args["comment"] == "on the bench" and asked.args["system"] == "pager"


async def test_a_silence_is_ended_at_once_from_either_list(at: At) -> None:
    async with at("alerts", client=client()) as desk:
        await desk.press("K")
        assert not desk.sent() and "no silence that runs is selected" in desk.text
        await desk.press("j", "j", "s")
        assert "it is silenced already" in desk.text
        await desk.press("K")
        await desk.press("tab", "K")
        assert [(one.verb, one.target) for one in desk.sent()] == [("silence.end", "SIL-3")] * 2
        await desk.press("j", "K")
        assert "SIL-1 is over" in desk.text


async def test_old_news_says_so_and_nothing_is_not_nothing(at: At) -> None:
    async with at("alerts", client=client("stale")) as desk:
        assert "STALE 15m" in desk.text
    empty = client(rows=())
    empty.answers_to["/v1/connectors"] = SystemPage()
    async with at("alerts", client=empty) as desk:
        assert "No alert manager is connected" in desk.text and "Nothing fires, as far as is mirrored" in desk.text


def flood() -> tuple[MirrorObject, ...]:
    """Fourteen robots stand, eleven of them since a moment ago; a battery is low, as every night."""
    stuck = [alert(f"{site}-AMR-{n:02d}", "RobotStuck", "critical") for site in ("HAM2", "UTR1") for n in range(7)]
    fresh = [msgspec.structs.replace(one, changed_at=BASE - 30 - n) for n, one in enumerate(stuck[:11])]
    old = [msgspec.structs.replace(one, changed_at=BASE - 5000) for one in stuck[11:]]
    return (
        *fresh,
        *old,
        msgspec.structs.replace(alert("HAM2-AMR-60", "BatteryLow", "warning"), changed_at=BASE - 9000),
    )


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_flood_is_shown_as_its_causes_and_a_cluster_unfolds(at: At, size: tuple[int, int]) -> None:
    async with at("alerts", client=client(rows=flood()), size=size) as desk:
        picture(desk, f"flood-{size[0]}")
        text = desk.text
        assert "FLOOD 11 new in 10 min, 2 clusters" in text and "14 fire" in text and "14 robots" in text
        shown = desk.console.screen.query_one("#alerts", LineTable).rows
        assert shown.key(0) == "alert RobotStuck heard" and len(shown) == 2
        assert "HAM2, UTR1" in text and "the newest 30s ago" in text
        await desk.press("enter")
        assert len(shown) == 16
        await desk.press("enter")
        assert len(shown) == 2
        await desk.press("o")
        assert "by robot" in desk.text
        await desk.press("o", "o")
        assert "each alert" in desk.text and "14 fire" not in desk.text


async def test_taking_a_cluster_on_takes_what_is_nobodys_and_lets_go_of_what_is_mine(at: At) -> None:
    rows = flood()
    fake = client(rows=rows)
    theirs = Acknowledgement(
        id="ACK-1", kind="acknowledgement", state="held", person="tom", system="pager", alert=rows[0].id, fired_at=BASE
    )
    fake.held["acknowledgement"] = [theirs]
    async with at("alerts", client=fake) as desk:
        await desk.press("a")
        asked = desk.sent("alert.acknowledge")
        assert len(asked) == 13 and rows[0].id not in {one.args["alert"] for one in asked}
    mine = msgspec.structs.replace(theirs, person="lena", fired_at=rows[0].changed_at)
    anew = msgspec.structs.replace(theirs, id="ACK-2", alert=rows[1].id, fired_at=rows[1].changed_at - 1)
    fake.held["acknowledgement"] = [mine, anew]
    async with at("alerts", client=fake) as desk:
        await desk.press("o", "o", "o")
        assert "tom" not in desk.text.split("SIL-3")[0], "what fires anew is nobody's"
        table = desk.console.screen.query_one("#alerts", LineTable)
        table.action_edge(1)
        await desk.settle()
        while "lena has it" not in desk.text:
            await desk.press("k")
        await desk.press("a")
        assert [one.target for one in desk.sent("alert.release")] == ["ACK-1"]
