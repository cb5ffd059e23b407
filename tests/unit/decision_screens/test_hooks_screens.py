"""Webhooks, quarantine and messages to people, by keyboard, narrow and wide."""

from __future__ import annotations

from typing import Any

import pytest

from engine.contract.hooks import DeliveryView, HookSourceView, HooksView
from engine.contract.notices import NoticeView
from engine.contract.records import EvidenceText
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At

DIGEST = "sha256:" + "ab" * 32
KEPT = DeliveryView(
    id="DL-3", kind="delivery", state="quarantined", source="alertmanager", reason="webhook version 3; version 4 is understood",
    digest=DIGEST, size_b=412, media="application/json", headers={"authorization": "Bearer {secret}", "user-agent": "Alertmanager/0.19"},
    received_at=BASE - 300, times=14,
)  # fmt: skip
TAKEN = DeliveryView(
    id="DL-2", kind="delivery", state="taken", source="forge", reason="not JSON: \x1b]0;owned\x07 at byte 7",
    digest="sha256:" + "cd" * 32, size_b=12, received_at=BASE - 4000, events=("webhook.forge",),
)  # fmt: skip
HOOKS = HooksView(
    address="http://127.0.0.1:8790",
    sources=(
        HookSourceView(name="alertmanager", url="/hooks/alertmanager", kind="alertmanager", proof="as alertmanager signs",
                       taken=12_345, repeated=211, quarantined=15, unproven=3, waiting=1, last_at=BASE - 5, unproven_at=BASE - 900),
        HookSourceView(name="jira", url="/hooks/jira", kind="jira", proof="as jira signs", trouble="no secret: qd connectors set jira --set webhook_secret=ENTRY"),
        HookSourceView(name="billing", url="/hooks/billing", proof="standard", replay_window_s=300.0, taken=2, last_at=BASE - 7200),
    ),
)  # fmt: skip
TOLD = NoticeView(
    id="NT-9", kind="notice", state="told", channel="ops", severity="warning", title="A decision is asked: Roll out 1.1?",
    text="Roll out 1.1?\ngate run-4.7, asked of 2 x role release-manager", link="qd gates show run-4.7", gate="run-4.7",
    event="gate.opened", tries=1, told_at=BASE - 60,
)  # fmt: skip
DOUBTFUL = NoticeView(
    id="NT-8", kind="notice", state="doubtful", channel="lead", severity="critical", title="Incident I-4 declared, severity 1",
    text="qd.incident.declared about I-4", link="qd incidents show I-4", event="qd.incident.declared", tries=1,
    error="lead did not answer for the message", created_at=BASE - 90,
)  # fmt: skip


@pytest.fixture
def client() -> FakeClient:
    made = FakeClient()
    made.answers_to["/v1/hooks"] = HOOKS
    made.held["delivery"] = [KEPT, TAKEN]
    made.held["notice"] = [TOLD, DOUBTFUL]
    made.kept[DIGEST] = EvidenceText(
        digest=DIGEST, media="application/json", size_b=412, text='{"version": "3",\n \x1b[2J"alerts": []}'
    )
    return made


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_what_waits_for_somebody_comes_first_and_says_what_it_is(at: At, client: FakeClient, size: Any) -> None:
    async with at(":hooks", client=client, size=size) as desk:
        assert "3 sources may tell at http://127.0.0.1:8790" in desk.text
        assert "! 1 can't be read" in desk.text and "? 1 doubtful" in desk.text
        lines = [line for line in desk.text.splitlines() if line.lstrip(" ▌▸>").startswith("DL-")]
        assert "DL-3" in lines[0] and "! waits" in lines[0] and "webhook version 3" in lines[0]
        await desk.press("enter")
        assert "the same bytes came 14 times" in desk.text
        assert '"alerts"' in desk.text and "\x1b" not in desk.text
        assert "Bearer {secret}" in desk.text
        await desk.press("escape" if size[0] == 80 else "enter")
        assert "DL-2" in desk.text


async def test_a_delivery_is_read_again_after_a_look_at_what_that_does(at: At, client: FakeClient) -> None:
    async with at(":hooks", client=client, size=(80, 24)) as desk:
        await desk.press("r")
        await desk.armed()
        await desk.press("y")
        assert [(one.target, one.args) for one in desk.sent("delivery.retry")] == [("DL-3", {})]
        await desk.press("down", "r")
        assert not desk.asking and "DL-2 is taken already" in desk.text


async def test_discarding_wants_a_reason(at: At, client: FakeClient) -> None:
    async with at(":hooks", client=client, size=(80, 24)) as desk:
        await desk.press("D")
        await desk.armed()
        await desk.write("an old server")
        await desk.press("tab", "tab", "enter")
        assert [(one.target, one.args) for one in desk.sent("delivery.discard")] == [
            ("DL-3", {"reason": "an old server"})
        ]


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_sources_and_messages_are_one_key_away(at: At, client: FakeClient, size: Any) -> None:
    async with at(":hooks", client=client, size=size) as desk:
        await desk.press("o")
        assert "12,345" in desk.text and "no secret" in desk.text
        await desk.press("enter")
        assert "http://127.0.0.1:8790/hooks/alertmanager" in desk.text
        await desk.press("enter", "o")
        assert "A decision is asked" in desk.text and "? doubtful" in desk.text
        await desk.press("down", "enter")
        assert "nobody knows whether it arrived" in desk.text
        await desk.press("enter", "A")
        assert "no gate is under the cursor" in desk.text


async def test_with_nothing_there_it_says_what_to_do(at: At) -> None:
    client = FakeClient()
    client.answers_to["/v1/hooks"] = HooksView(why="nothing listens: set webhook_port")
    async with at(":hooks", client=client, size=(80, 24)) as desk:
        assert "No webhook comes in" in desk.text and "webhook_port" in desk.text
        await desk.press("o")
        assert "added with +" in desk.text
