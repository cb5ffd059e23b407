"""Connectors on the console: what needs somebody first, one system in full, adding one; secrets are shown nowhere."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.contract.common import ActorView, Problem
from engine.contract.records import RecordEvent
from screens import form
from screens.widgets.line_table import LineTable
from tests.fakes import BASE
from tests.unit.connector_screens.world import JIRA, REPORT, REST, SIGNALS, UPDATES, client
from tests.unit.decision_screens.conftest import At, at

__all__ = ["at"]
ATTACK = "\x1b[2J\x1b]52;c;AAAA\x07[red]boom[/red]\u202e"


def fits(text: str, columns: int) -> bool:
    return all(len(line) <= columns for line in text.splitlines())


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_list_shows_what_needs_somebody_first(at: At, size: tuple[int, int]) -> None:
    async with at("connectors", size=size, client=client(UPDATES, SIGNALS, REST, JIRA)) as desk:
        assert "jira does not answer for 23m" in desk.text and "labels suspended" in desk.text, desk.text
        assert "2 of 4 systems well" in " ".join(desk.text.split())
        table = desk.console.screen.query_one("#systems", LineTable)
        assert [table.rows.key(place) for place in range(4)] == ["jira", "signals", "updates", "labels"]
        assert "503 Service" in desk.text and "gooseBit 0.2" in desk.text
        assert fits(desk.text, size[0])
        if size[0] >= 140:
            assert "failed 9 in a row" in desk.text and "MISSING" in desk.text


async def test_an_empty_list_says_what_to_do(at: At) -> None:
    async with at("connectors", client=client()) as desk:
        assert "No remote system is connected" in desk.text and "+ adds one" in desk.text
        await desk.press("s")
        assert "no system is selected" in desk.text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_one_system_in_full(at: At, size: tuple[int, int]) -> None:
    async with at("system updates", size=size, client=client(UPDATES)) as desk:
        for words in ("gooseBit 0.2.12", "keyring entry updates stored", "device", "fresh", "rollout:write", "lacks", "unknown",
                      "its clock is 4s", "https://updates.example", "answered in 31 ms"):  # fmt: skip
            assert words in desk.text, (words, desk.text)
        assert fits(desk.text, size[0])
        await desk.press("l")
        assert "PATCH /api/v1/devices #2" in desk.text and "no answer within 20 s" in desk.text
        await desk.press("o")
        assert "HAM2-amr-0117" in desk.text and "gone" in desk.text and "210 more" in desk.text
        await desk.press("escape")
        assert "keyring entry" in desk.text


async def test_the_timeline_says_who_added_it(at: At) -> None:
    fake = client(UPDATES)
    actor = ActorView(kind="person", id="ana")
    fake.answers_to["history/system/updates"] = (
        RecordEvent(seq=4, at=BASE, actor=actor, cause="x", rev=1, from_="", to="active", reason="added"),
    )
    async with at("system updates", client=fake) as desk:
        await desk.press("t")
        assert "active" in desk.text and "ana" in desk.text and "added" in desk.text


async def test_sync_and_suspend_act_at_once_and_say_what_came_of_it(at: At) -> None:
    fake = client(UPDATES)
    fake.results["connector.sync"] = {"feeds": [{"kind": "device", "objects": 200, "changed": 3}]}
    async with at("connectors", client=fake) as desk:
        await desk.press("s")
        assert "synced" in desk.text and "200 device, 3 changed" in desk.text, desk.text
        await desk.press("p")
        assert [(one.verb, one.target) for one in desk.sent()] == [
            ("connector.sync", "updates"),
            ("connector.suspend", "updates"),
        ]
    fake = client(UPDATES)
    fake.results["connector.sync"] = {"feeds": [{"kind": "device", "error": "503"}]}
    async with at("system updates", client=fake) as desk:
        await desk.press("f")
        assert "device: 503" in desk.text
        assert desk.sent("connector.sync")[-1].args == {"full": True}


async def test_a_key_that_can_not_be_used_says_why(at: At) -> None:
    async with at("system signals", client=client(SIGNALS)) as desk:
        for key, why in (("X", "stands in quarterdeck.yaml"), ("E", "stands in quarterdeck.yaml"), ("K", "has no secret"),
                         ("S", "is not suspended"), ("s", "nothing of signals is mirrored")):  # fmt: skip
            await desk.press(key)
            assert why in desk.text, (key, desk.text)
        assert not desk.sent()
    async with at("system labels", client=client(REST)) as desk:
        await desk.press("s")
        assert "labels is suspended" in desk.text
        await desk.press("p")
        assert "suspended already" in desk.text


async def test_the_promises_are_tried_and_what_is_broken_stands_first(at: At) -> None:
    fake = client(UPDATES)
    fake.results["connector.check"] = msgspec.to_builtins(REPORT)
    async with at("system updates", client=fake) as desk:
        await desk.press("v")
        assert "1 broken" in desk.text and "amr-1 is reported twice" in desk.text, desk.text
        lines = desk.text.splitlines()
        broken = next(i for i, line in enumerate(lines) if "one report for each robot" in line)
        kept = next(i for i, line in enumerate(lines) if "proves the connection" in line)
        assert broken < kept
        assert desk.sent("connector.check")[0].args == {}
        await desk.press("v")
        assert "keyring entry" in desk.text and len(desk.sent("connector.check")) == 1


async def test_a_test_says_which_rights_are_missing(at: At) -> None:
    fake = client(UPDATES)
    fake.results["connector.test"] = {
        "ok": True,
        "says": "gooseBit 0.2.12",
        "rights": [{"name": "rollout:write", "has": False}],
    }
    async with at("system updates", client=fake) as desk:
        await desk.press("i")
        assert "it answers" in desk.text and "lacks rollout:write" in desk.text
        fake.results["connector.test"] = {"ok": False, "error": "the password is wrong", "fix": "K stores another"}
        await desk.press("i")
        assert "the password is wrong" in desk.text and "K stores another" in desk.text


async def add_goosebit(desk, secret: str = "s3cret-of-goosebit") -> None:  # type: ignore[no-untyped-def]
    await desk.press("f5", "plus")
    assert "gooseBit" in desk.text and "Which kind of system" in desk.text, desk.text
    await desk.press("slash")
    await desk.write("goosebit")
    await desk.press("enter", "enter")
    assert "Add gooseBit" in desk.text, desk.text
    await desk.write("https://updates.example")
    await desk.press("enter")
    await desk.write(secret)


async def test_a_system_is_added_with_its_secret_in_the_keyring_alone(at: At) -> None:
    fake = client(UPDATES)
    fake.answers_to["/v1/connectors"] = msgspec.structs.replace(fake.answers_to["/v1/connectors"], systems=())
    fake.results["connector.add"] = {"id": "updates"}
    async with at("watch", client=fake) as desk:
        await add_goosebit(desk)
        assert "s3cret" not in desk.text
        await desk.press("ctrl+s")
        assert fake.secrets == {"goosebit": "s3cret-of-goosebit"}, desk.text
        (sent,) = desk.sent("connector.add")
        assert sent.args == {
            "name": "goosebit",
            "kind": "goosebit",
            "url": "https://updates.example",
            "secret": "goosebit",
            "options": {},
            "serves": [],
        }
        assert "gooseBit 0.2.12" in desk.text and "keyring entry" in desk.text, desk.text


async def test_a_refusal_keeps_the_form_and_takes_the_secret_back(at: At, tmp_path: Path) -> None:
    fake = client()
    fake.refuse["connector.add"] = Problem(
        code="unreachable", reason="no answer from https://updates.example", field="args.url"
    )
    async with at("watch", client=fake) as desk:
        await add_goosebit(desk)
        await desk.press("ctrl+s")
        assert "no answer from https://updates.example" in desk.text, desk.text
        assert fake.secrets == {}
        await desk.press("escape")
        assert "s3cret-of-goosebit" not in repr(form.drafts)
        assert form.drafts["connector add goosebit"]["url"] == "https://updates.example"
        form.drafts.clear()


async def test_a_kind_that_can_not_be_loaded_says_why(at: At) -> None:
    async with at("connectors", size=(160, 45), client=client()) as desk:
        await desk.press("plus", "G", "enter")
        assert "No module named 'ray'" in desk.text and "Add Ray" not in desk.text


async def test_a_list_is_asked_for_where_a_kind_wants_one(at: At) -> None:
    fake = client()
    fake.results["connector.add"] = {"id": "depot"}
    async with at("connectors", client=fake) as desk:
        await desk.press("plus", "slash")
        await desk.write("depot")
        await desk.press("enter", "enter")
        await desk.write("HAM2, UTR1")
        await desk.press("ctrl+s")
        assert desk.sent("connector.add")[0].args["options"] == {"sites": ["HAM2", "UTR1"]}


async def test_a_new_secret_is_stored_and_tested(at: At) -> None:
    fake = client(UPDATES)
    fake.results["connector.test"] = {"ok": True, "says": "gooseBit 0.2.12"}
    async with at("system updates", client=fake) as desk:
        await desk.press("K")
        await desk.write("other-s3cret")
        assert "other-s3cret" not in desk.text
        await desk.press("ctrl+s")
        assert fake.secrets == {"updates": "other-s3cret"}
        assert [one.verb for one in desk.sent()] == ["connector.test"]


async def test_settings_that_were_changed_are_sent_and_only_those(at: At) -> None:
    fake = client(UPDATES)
    async with at("system updates", client=fake) as desk:
        await desk.press("E")
        assert "Settings of updates" in desk.text and "https://updates.example" in desk.text
        await desk.press("tab", "ctrl+u")
        await desk.press("tab", "ctrl+u")
        await desk.write("30")
        await desk.press("ctrl+s")
        (sent,) = desk.sent("connector.set")
        assert sent.args == {"options": {"username": None, "timeout_s": 30}, "url": "https://updates.example"}, (
            desk.text
        )


async def test_removing_wants_its_phrase(at: At) -> None:
    fake = client(UPDATES)
    fake._effect = lambda *a: (("212 mirrored objects go",), "remove updates", ())  # type: ignore[method-assign]
    async with at("system updates", client=fake) as desk:
        await desk.press("X")
        await desk.armed()
        assert "212 mirrored objects go" in desk.text and "remove updates" in desk.text
        await desk.write("remove updates")
        await desk.press("ctrl+s")
        assert not desk.sent() or desk.sent()[0].args["phrase"] == "remove updates"


@pytest.mark.parametrize("where", ["connectors", "system updates"])
async def test_hostile_text_does_nothing(at: At, where: str) -> None:
    hostile = msgspec.structs.replace(
        UPDATES, says=ATTACK, error=ATTACK, health="failing", kind_title=ATTACK, url=ATTACK, traits={"updates": {"withdraw": ATTACK}},
        feeds=tuple(msgspec.structs.replace(feed, error=ATTACK) for feed in UPDATES.feeds),
    )  # fmt: skip
    async with at(where, size=(160, 45), client=client(hostile)) as desk:
        assert "\x1b" not in desk.text and "\u202e" not in desk.text and "[red]boom" in desk.text


async def test_a_system_that_does_not_answer_shows_on_every_screen(at: At) -> None:
    fake = client(UPDATES)
    status = fake._status()
    away = msgspec.structs.replace(status.connectors[0], name="jira", ok=False)
    fake._status = lambda: msgspec.structs.replace(status, connectors=(away, *status.connectors))  # type: ignore[method-assign]
    for where in ("watch", "runs"):
        async with at(where, client=fake) as desk:
            assert "\u2717 jira" in desk.text.splitlines()[0]
            fake.closed = False
