"""A policy engine asked beside the roles: every way it can fail to say yes is a no, said and recorded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.capabilities.policy import Policy, PolicyError
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import Decision
from tests.contract.api.fake_engine import ME, serving
from tests.contract.api.test_requests import ask, raw

ASK = "policy: 1\nask: {system: opa, path: quarterdeck/allow, verbs: [run.*, rollout.*, gate.vote], within: 1s}\n"


class Decider:
    """Answers what a test says."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    async def decide(self, path: str, input: dict[str, Any]) -> Any:
        self.asked.append((path, input))
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, float):
            await asyncio.sleep(self.answer)
        return self.answer


def put(door: Any, answer: Any, text: str = ASK) -> Decider:
    decider = Decider(answer)
    door.policy = Policy.load(text, owner=ME)
    door.ports = {"decisions@opa": decider} if answer is not None else {}
    return decider


def types(host: Any) -> list[str]:
    return [row.type for row in host.rows]


async def test_a_yes_stands_in_the_history_before_the_deed(tmp_path):
    async with serving(tmp_path) as (home, host, door):
        decider = put(door, Decision(allow=True, reason="night shift", id="d-1"))
        status, _ = await ask(home, "run.suspend")  # makes things safer: nobody is asked
        assert (status, decider.asked, types(host)) == (200, [], [])
        status, _ = await ask(home, "run.resume")
        assert (status, types(host), len(host.asked)) == (200, ["PolicyAsked"], 2)
        said = json.loads(host.rows[0].data)
        assert (said["decision"], said["reason"], said["allow"], said["verb"]) == (
            "d-1",
            "night shift",
            True,
            "run.resume",
        )
        path, question = decider.asked[0]
        assert path == "quarterdeck/allow"
        assert (question["verb"], question["person"], question["target"]) == ("run.resume", ME, "run-1")
        assert question["roles"] == ["admin"] and question["via"] == "socket"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Decision(allow=False, reason="the site is frozen", id="d-2"), "the site is frozen"),
        (Decision(allow=False), "it says no"),
        (Decision(allow="yes"), "it says no"),  # type: ignore[arg-type]
        (ActionError("Unreachable", "OPA cannot be reached", kind="unavailable"), "OPA cannot be reached"),
        (KeyError("bug"), "KeyError"),
        (True, "no decision"),
        (5.0, "within 1 s"),
        (None, "no decisions@opa is configured"),
    ],
)
async def test_everything_but_a_yes_is_a_no(tmp_path, answer, says):
    async with serving(tmp_path) as (home, host, door):
        put(door, answer)
        status, problem = await ask(home, "run.resume")
        assert (status, problem["code"]) == (403, "policy_engine")
        assert says in problem["reason"]
        assert host.asked == []
        assert types(host) == ["CommandRefused"]
        assert says in json.loads(host.rows[0].data)["reason"]


async def test_a_preview_is_asked_about_and_leaves_no_trace(tmp_path):
    async with serving(tmp_path) as (home, host, door):
        decider = put(door, Decision(allow=False, reason="no"))
        status, _ = await ask(home, "run.resume", preview=True)
        assert (status, types(host)) == (403, [])
        assert decider.asked[0][1]["preview"] is True


async def test_a_repeat_of_what_was_done_is_not_asked_about_again(tmp_path):
    async with serving(tmp_path) as (home, host, door):
        decider = put(door, Decision(allow=True))
        body = {"id": "the-same-id"}
        assert (await ask(home, "run.resume", **body))[0] == 200
        decider.answer = Decision(allow=False)
        assert (await ask(home, "run.resume", **body))[0] == 200
        assert (len(decider.asked), len(host.asked)) == (1, 1)


async def test_a_vote_for_is_asked_about_and_a_vote_against_is_not(tmp_path):
    async with serving(tmp_path) as (home, host, door):
        decider = put(door, Decision(allow=False, reason="not this one"))
        vote = {"evidence_digest": "sha256:e"}
        status, _ = await ask(home, "gate.vote", "run-1.7", args={"answer": "approve", **vote})
        assert (status, host.asked) == (403, [])
        assert decider.asked[0][1]["args"]["answer"] == "approve"
        status, _ = await ask(home, "gate.vote", "run-1.7", args={"answer": "reject", **vote})
        assert (status, len(host.asked), len(decider.asked)) == (200, 1, 1)


async def test_the_typed_phrase_is_no_part_of_the_question(tmp_path):
    async with serving(tmp_path) as (home, _host, door):
        decider = put(door, Decision(allow=False))
        await ask(home, "run.terminate", args={"reason": "stuck", "phrase": "terminate run-1"})
        assert decider.asked[0][1]["args"] == {"reason": "stuck"}


async def test_the_roles_are_asked_first(tmp_path):
    async with serving(tmp_path) as (home, _host, door):
        decider = put(door, Decision(allow=True), ASK + f"owner: []\npeople: {{{ME}: [viewer]}}\n")
        status, problem = await ask(home, "run.resume")
        assert (status, problem["code"], decider.asked) == (403, "forbidden", [])


async def test_all_of_several_have_to_say_yes(tmp_path):
    async with serving(tmp_path) as (home, _host, door):
        text = "policy: 1\nask:\n  - {system: opa, path: a, verbs: run.*}\n  - {path: b, verbs: [run.resume]}\n"
        first = put(door, Decision(allow=True), text)
        second = Decider(Decision(allow=False, reason="b says no"))
        door.ports = {"decisions@opa": first, "decisions": second}
        status, problem = await ask(home, "run.resume")
        assert (status, len(first.asked), len(second.asked)) == (403, 1, 1)
        assert "b says no" in problem["reason"]


async def test_a_secret_is_stored_only_when_it_says_yes_and_its_value_is_no_part_of_the_question(tmp_path):
    kept = {}

    class Keyring:
        prepare = staticmethod(lambda: None)
        set = staticmethod(kept.__setitem__)

    async with serving(tmp_path) as (home, _host, door):
        decider = put(door, Decision(allow=False, reason="not now"), ASK.replace("run.*", "connector.*"))
        door.ports["secrets"] = Keyring()
        status, problem = await raw(home, "PUT", "/v1/secrets/jira", b"s3cret")
        assert (status, problem["code"], kept) == (403, "policy_engine", {})
        decider.answer = Decision(allow=True)
        assert (await raw(home, "PUT", "/v1/secrets/jira", b"s3cret"))[0] == 200
        assert kept == {"jira": "s3cret"}
        assert "s3cret" not in json.dumps([question for _, question in decider.asked])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("ask: {verbs: [run.*]}", "path"),
        ("ask: {path: a}", "verbs"),
        ("ask: {path: /a, verbs: [run.*]}", "is not the path of a rule"),
        ("ask: {path: a, verbs: [run.stat]}", "there is no verb"),
        ("ask: {path: a, verbs: [rollout.rollback]}", "makes things safer"),
        ("ask: [{path: a, verbs: [hold.place]}]", "makes things safer"),
        ("ask: {path: a, verbs: run.*, otherwise: allow}", "otherwise"),
    ],
)
def test_a_policy_that_could_be_misread_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(PolicyError) as error:
        Policy.load(f"policy: 1\n{text}\n")
    assert any(wrong in f"{found.field} {found.message}" for found in error.value.findings)
