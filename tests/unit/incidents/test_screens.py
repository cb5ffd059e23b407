"""Incidents by keyboard at 80x24 and 160x45: what stands there, what each key sends, and what it says when it can't."""

from __future__ import annotations

import pytest

from engine.contract.incidents import IncidentDetail
from screens.form import FormScreen
from screens.incident import IncidentScreen
from tests.fakes import FakeClient
from tests.unit.decision_screens.conftest import At, at  # noqa: F401
from tests.unit.incidents.fake_incidents import detail, incident, mended

SIZES = [(80, 24), (160, 45)]


def client(shown: IncidentDetail | None = None) -> FakeClient:
    told = shown or detail()
    made = FakeClient(person="lena", roles=("incident-commander",))
    made.held["incident"] = [
        told.incident,
        incident(id="I-45", sev=1, ic="", title="a robot touched a person", clocks=(), phase="containing"),
        incident(id="I-40", state="closed", phase="", title="an old one"),
    ]
    made.answers_to["/v1/incidents/I-44"] = told
    return made


@pytest.mark.parametrize("size", SIZES)
async def test_the_list_says_how_many_are_open_how_grave_and_who_commands(at: At, size: tuple[int, int]) -> None:  # noqa: F811
    async with at("incidents", size=size, client=client()) as desk:
        lines = desk.text.splitlines()
        assert "2 open, \u2717 2 SEV-1/2, ! 1 without a commander" in desk.text
        order = [line.split()[0 if "I-" in line.split()[0] else 1] for line in lines if "I-4" in line]
        assert order == ["I-45", "I-44", "I-40"], "the graver first, what is over last"
        assert "nobody" in desk.text and "waiting for a choice" in desk.text


async def test_an_empty_list_says_what_to_do(at: At) -> None:  # noqa: F811
    async with at("incidents", client=FakeClient()) as desk:
        assert "i declares one" in desk.text


@pytest.mark.parametrize("size", SIZES)
async def test_one_incident_fits_the_screen_with_its_whole_matrix(at: At, size: tuple[int, int]) -> None:  # noqa: F811
    async with at("incident I-44", size=size, client=client()) as desk:
        assert all(len(line) <= size[0] for line in desk.text.splitlines())
        text = " ".join(desk.text.split())
        for said in ("SEV-2", "14 affected, 3 can't be asked", "IC: you", "preserved 3/3", "hold 1", "rollback 4.7.9", "11/14", "14 min", "IC+1",
                     "3 index-block", "out of dispatch", "go on and watch", "ratio 2.7 [1.3 5.2]", "CRA early warning", "drain on reconnect (3)",
                     "next update due", "1 to 6"):  # fmt: skip
            assert said in text, f"{said!r} is not on the screen"


async def test_choosing_is_one_key_and_what_cannot_be_done_says_why(at: At) -> None:  # noqa: F811
    async with at("incident I-44", client=client()) as desk:
        await desk.press("1")
        (sent,) = desk.sent("incident.choose")
        assert (sent.target, sent.args) == ("I-44", {"option": "rollback"})
        await desk.press("I")
        assert "you command it already" in desk.text and not desk.sent("incident.take")
        await desk.press("R")
        assert "no question is open" in desk.text


async def test_containing_acts_at_once_breaking_the_glass_does_not(at: At) -> None:  # noqa: F811
    async with at("incident I-44", client=client()) as desk:
        await desk.press("C")
        assert [one.target for one in desk.sent("incident.contain")] == ["I-44"]
        await desk.press("exclamation_mark")
        await desk.armed()
        assert not desk.sent("incident.breakglass") and "Which way out?" in desk.text


async def test_the_engine_says_what_can_be_done_now(at: At) -> None:  # noqa: F811
    shown = detail(verbs={"incident.choose": "ivo commands it: take command first (I)"})
    async with at("incident I-44", client=client(shown)) as desk:
        await desk.press("2")
        assert "take command first" in desk.text and not desk.sent("incident.choose")


async def test_execute_opens_the_gate_of_the_choice(at: At) -> None:  # noqa: F811
    fake = client(detail(gate="run-195.7", gate_question="I-44: rollback 4.7.9: 11 of 14 robots. Do it?"))
    async with at("incident I-44", client=fake) as desk:
        assert "Do it?" in desk.text
        await desk.press("R")
        assert type(desk.console.screen).__name__ == "GateScreen"


@pytest.mark.parametrize(("key", "said"), [("r", "HAM2-AMR-75"), ("t", "declared"), ("e", "sha256:abab")])
async def test_robots_timeline_and_evidence_are_one_key_away_and_back(at: At, key: str, said: str) -> None:  # noqa: F811
    async with at("incident I-44", client=client()) as desk:
        await desk.press(key)
        assert said in desk.text
        await desk.press("escape")
        assert "rollback 4.7.9" in desk.text and isinstance(desk.console.screen, IncidentScreen)


async def test_what_was_executed_and_what_is_owed_is_said(at: At) -> None:  # noqa: F811
    async with at("incident I-44", size=(160, 45), client=client(mended())) as desk:
        for said in ("11/11 robots, 3 left", "E 0.4", "12 of 40 robot-h", "F-1 problem", "bootloader refuses"):
            assert said in desk.text, f"{said!r} is not on the screen"
        await desk.press("r")
        assert "mended" in desk.text and "can't be asked" in desk.text


async def test_an_incident_is_declared_in_three_keys_and_its_sentence(at: At) -> None:  # noqa: F811
    async with at("incidents", client=client()) as desk:
        await desk.press("i")
        assert isinstance(desk.console.screen, FormScreen)
        await desk.write("robots stand still")
        await desk.press("ctrl+s")
        (sent,) = desk.sent("incident.declare")
        assert sent.args["title"] == "robots stand still"


async def test_a_follow_up_is_filed_from_the_incident(at: At) -> None:  # noqa: F811
    async with at("incident I-44", client=client()) as desk:
        await desk.press("f")
        assert isinstance(desk.console.screen, FormScreen) and "F-1 problem" in desk.text


async def test_hostile_text_reaches_no_terminal(at: At) -> None:  # noqa: F811
    bad = "\x1b[2J[@click=app.quit]x[/] \u202eevil"
    shown = detail(incident=incident(title=bad, affected=(bad,), containment=bad))
    async with at("incident I-44", client=client(shown)) as desk:
        await desk.press("r")
        assert "\x1b" not in desk.text and "\u202e" not in desk.text
