"""Requests over the real socket: who asks, what is refused and how, what reaches the host."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading

import msgspec
import pytest

from app import wire
from app.attach import Unreachable
from app.client import Client, headers
from engine.api import secrets, verbs
from engine.capabilities import policy_file
from engine.contract.client import EngineUnreachable, Refused
from engine.contract.common import CommandAnswer, CommandRequest, Json
from engine.contract.gates import GateDetail, GatePage
from engine.contract.system import Me, ValidationFinding, VerifyReport, WatchSnapshot
from engine.core import commands as core
from engine.core.commands import Refusal
from engine.store.errors import StoreReadOnly
from tests.contract.api import fake_engine
from tests.contract.api.fake_engine import GATE, ME, serving


async def raw(home, method: str, path: str, body: bytes = b"", head: dict[str, str] | None = None) -> tuple[int, Json]:
    def exchange() -> tuple[int, Json]:
        status, answer = wire._exchange(home, wire._head(method, path, len(body), head), body, 5.0)
        return status, json.loads(answer)

    return await asyncio.to_thread(exchange)


async def ask(home, verb: str, target: str = "run-1", head: dict[str, str] | None = None, **body: Json):
    body = {"id": "id-" + os.urandom(6).hex(), "target": target, **body}
    return await raw(home, "POST", f"/v1/commands/{verb}", json.dumps(body).encode(), head)


async def test_the_kernel_says_who_we_are(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        found = await asyncio.to_thread(wire.get, home, "/v1/me", Me)
        assert (found.person, found.uid, found.via) == (ME, os.getuid(), "socket")
        status, _ = await ask(home, "run.comment", args={"text": "hello"})
        assert status == 200
        _, command, actor, _ = host.asked[0]
        assert command == core.Comment(by=ME, text="hello")
        assert (actor.kind, actor.id, actor.via) == ("person", ME, "socket")
        assert f"uid={os.getuid()} pid={os.getpid()}" in actor.origin


async def test_the_socket_is_for_owner_and_group_alone(tmp_path):
    async with serving(tmp_path) as (home, _host, _door):
        assert stat.S_IMODE(home.socket.stat().st_mode) == 0o660


@pytest.mark.parametrize(
    ("verb", "body", "status", "code", "field"),
    [
        ("run.suspend", {"args": {"reason": 5}}, 422, "bad_input", "args.reason"),
        ("run.suspend", {"args": {"raeson": "x"}}, 422, "unknown_field", "args.raeson"),
        ("run.suspend", {"argz": {}}, 422, "unknown_field", "argz"),
        ("run.suspend", {"preview": "yes"}, 422, "bad_input", "preview"),
        ("run.suspend", {"id": "x"}, 422, "bad_input", "id"),
        ("run.skip", {"args": {"path": "a"}}, 422, "missing_field", "args.reason"),
        ("run.terminate", {"args": {"reason": "r"}}, 422, "phrase_required", "args.phrase"),
        ("rollout.extend", {"args": {"hours": -1}}, 422, "bad_input", "args.hours"),
        ("rollout.rollback", {"args": {"scope": "galaxy"}}, 422, "bad_input", "args.scope"),
        ("run.signal", {"args": {"event": "rollout.promote"}}, 422, "bad_input", "args.event"),
        ("run.dance", {}, 404, "unknown_verb", "verb"),
        ("run.suspend", {"target": ""}, 422, "missing_field", "target"),
    ],
)
async def test_bad_input_names_the_field(tmp_path, *, verb, body, status, code, field):
    async with serving(tmp_path) as (home, host, _door):
        got, problem = await ask(home, verb, **body)
        assert (got, problem["code"], problem.get("field", "")) == (status, code, field)
        assert host.asked == []


async def test_malformed_and_oversized_bodies(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        assert (await raw(home, "POST", "/v1/commands/run.suspend", b"{"))[0] == 400
        assert (await raw(home, "POST", "/v1/commands/run.suspend", b"\xff\xfe"))[0] == 400
        assert (await raw(home, "POST", "/v1/commands/run.suspend", b"[]"))[0] == 422
        big = json.dumps({"id": "12345678", "target": "x" * (1 << 20)}).encode()
        status, problem = await raw(home, "POST", "/v1/commands/run.suspend", big)
        assert (status, problem["field"]) == (413, "body")
        status, problem = await raw(home, "GET", "/v1/nothing")
        assert (status, problem["code"]) == (404, "not_found")
        status, problem = await raw(home, "GET", "/v1/runs?limit=many")
        assert (status, problem["field"]) == (422, "limit")
        status, problem = await raw(home, "GET", "/v1/runs/run-404")
        assert (status, problem["code"]) == (404, "not_found")
        assert host.asked == []


async def test_an_oversized_body_without_a_length_is_given_up(tmp_path):
    async with serving(tmp_path) as (home, _host, _door):

        def send() -> bytes:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10)
                sock.connect(str(home.socket))
                sock.sendall(b"POST /v1/commands/run.suspend HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n")
                chunk = b"x" * 65536
                try:
                    for _ in range(17 * 16 + 1):
                        sock.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                except OSError:
                    pass
                return sock.recv(4096)

        assert b" 413 " in await asyncio.to_thread(send)


async def test_a_risky_verb_wants_the_phrase_of_its_blast_radius(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        host.keeps_previews = True
        status, preview = await ask(home, "rollout.rollback", preview=True)
        assert status == 200
        assert preview["phrase"] == "rollback 9 HAM2"
        assert preview["consequences"][0].startswith("8 of 9 robots go back to 1")
        assert "r-3 can't go back: bootloader floor" in preview["consequences"]
        assert host.asked[-1][3] is True
        status, problem = await ask(home, "rollout.rollback", args={"phrase": "rollback 8 HAM2"})
        assert (status, problem["code"]) == (409, "phrase_mismatch")
        status, _ = await ask(home, "rollout.rollback", args={"phrase": "rollback  9 HAM2", "reason": "worse"})
        assert status == 200
        signal = host.asked[-1][1]
        assert (signal.event, signal.data, signal.by) == ("rollout.rollback", {"reason": "worse", "scope": "all"}, ME)


@pytest.mark.parametrize("phrase", ["promote 30 thirty"])
async def test_promote_names_the_next_stage(tmp_path, phrase):
    async with serving(tmp_path) as (home, _host, _door):
        _, preview = await ask(home, "rollout.promote", preview=True)
        assert preview["phrase"] == phrase
        status, _ = await ask(home, "rollout.promote", args={"phrase": phrase})
        assert status == 200


async def test_safety_needs_no_phrase(tmp_path):
    async with serving(tmp_path) as (home, _host, _door):
        for verb in ("rollout.pause", "rollout.hold", "run.suspend", "run.cancel"):
            status, answer = await ask(home, verb)
            assert status == 200, answer


async def test_a_repeated_id_gets_the_stored_answer_whatever_the_phrase_would_be_now(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        args = {"phrase": "rollback 9 HAM2"}
        first = await ask(home, "rollout.rollback", id="the-same-id", args=args)
        again = await ask(home, "rollout.rollback", id="the-same-id", args={"phrase": "rollback 3 HAM2"})
        assert first[0] == again[0] == 200
        assert len(host.asked) == 1


async def test_the_hosts_refusal_is_a_problem(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        host.refusal = Refusal(
            code="stale_evidence", reason="the evidence changed", fix="look again", field="evidence_digest"
        )
        status, problem = await ask(
            home, "gate.vote", "run-1.7", args={"answer": "approve", "evidence_digest": "sha256:old"}
        )
        assert status == 409
        assert problem == {
            "code": "stale_evidence",
            "reason": "the evidence changed",
            "fix": "look again",
            "field": "evidence_digest",
        }


async def test_a_journal_that_cant_write_says_so(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        host.fails = StoreReadOnly("the disk is full")
        status, problem = await ask(home, "run.suspend")
        assert (status, problem["code"]) == (503, "store_read_only")
        assert "make room" in problem["fix"]
        host.fails = RuntimeError("secret inside")
        status, problem = await ask(home, "run.suspend")
        assert status == 500
        assert "secret" not in json.dumps(problem)


async def test_permissions_come_from_the_policy_and_votes_go_to_the_core(tmp_path):
    async with serving(tmp_path, people={ME: "viewer"}) as (home, host, _door):
        status, problem = await ask(home, "run.suspend")
        assert (status, problem["code"]) == (403, "forbidden")
        assert host.asked == []
        assert [(row.type, row.run) for row in host.rows] == [("CommandRefused", "")]
        status, _ = await ask(home, "gate.vote", "run-1.7", args={"answer": "reject", "evidence_digest": "sha256:e"})
        assert status == 200
        assert host.asked[0][1].voter.roles == ("viewer",)


async def test_acting_as_somebody_exists_in_the_sandbox_only(tmp_path):
    async with serving(tmp_path / "p") as (home, _host, _door):
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(wire.get, home, "/v1/me", Me, headers("ada"))
        assert refused.value.problem.code == "not_sandbox"
    async with serving(tmp_path / "s", environment="sandbox") as (home, host, _door):
        ada = await asyncio.to_thread(wire.get, home, "/v1/me", Me, headers("ada"))
        assert (ada.person, ada.via, ada.roles, ada.people) == (
            "ada",
            "sandbox",
            ("release-manager",),
            ("ada", "grace"),
        )
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(wire.get, home, "/v1/me", Me, headers("eve"))
        assert refused.value.problem.code == "unknown_person"
        status, _ = await ask(home, "run.suspend", head=headers("ada", script=True))
        assert status == 200
        assert (host.asked[0][2].id, host.asked[0][2].via) == ("ada", "script")


async def test_a_gate_of_a_rollout_says_what_approving_moves_and_wants_the_phrase(tmp_path, monkeypatch):
    signoff = msgspec.structs.replace(GATE, gate=msgspec.structs.replace(GATE.gate, rollout="run-1"))
    monkeypatch.setattr(fake_engine, "GATE", signoff)
    async with serving(tmp_path, environment="sandbox") as (home, host, _door):
        gate = await asyncio.to_thread(wire.get, home, "/v1/gates/run-1.7", GateDetail, headers("ada"))
        assert gate.phrase == "start 40 EU-AMR"
        assert gate.consequences[0].startswith("+10 robots (canary) first")
        assert gate.who_can == ("ada (release-manager)", f"{ME} (release-manager)") or ME in str(gate.who_can)
        args = {"answer": "approve", "evidence_digest": "sha256:e"}
        status, problem = await ask(home, "gate.vote", "run-1.7", headers("ada"), args=args)
        assert (status, problem["code"], host.asked) == (422, "phrase_required", [])
        status, _ = await ask(home, "gate.vote", "run-1.7", headers("ada"), args={**args, "phrase": gate.phrase})
        assert status == 200
        status, _ = await ask(home, "gate.vote", "run-1.7", headers("ada"), args={**args, "answer": "reject"})
        assert status == 200, "what makes things safer needs no phrase"
        host.refusal = Refusal(code="wrong_role", reason="needs another role")
        asked = len(host.asked)
        status, problem = await ask(home, "gate.vote", "run-1.7", headers("grace"), args=args)
        assert (status, problem["code"]) == (403, "wrong_role")
        assert len(host.asked) == asked + 1, "the core saw it, so that it is recorded"


async def test_a_client_may_change_whom_it_acts_as_in_the_sandbox(tmp_path):
    async with serving(tmp_path, environment="sandbox") as (home, _host, _door):
        client = Client(home)
        assert (await client.me()).person == ME
        for person in ("ada", "grace", ""):
            client.act_as(person)
            assert (await client.me()).person == (person or ME)
        await client.close()


def test_the_policy_and_the_door_know_the_same_verbs():
    assert {*verbs.VERBS, secrets.VERB} == set(policy_file.VERBS)  # secrets have a door of their own


async def test_forwarded_headers_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    async with serving(tmp_path) as (home, _host, _door):
        me = await asyncio.to_thread(
            wire.get, home, "/v1/me", Me, {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6"}
        )
        assert me.uid == os.getuid()


async def test_gates_say_whether_i_may_vote(tmp_path):
    async with serving(tmp_path, environment="sandbox") as (home, _host, _door):
        for person, mine in (("ada", ""), ("grace", "needs 2 release managers")):
            page = await asyncio.to_thread(wire.get, home, "/v1/gates", GatePage, headers(person))
            gate = await asyncio.to_thread(wire.get, home, "/v1/gates/run-1.7", GateDetail, headers(person))
            assert page.rows[0].mine == gate.gate.mine == mine


async def test_reads_of_every_kind_decode(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        host.commit("run-1", "RunStarted", workflow="w", by="ada")
        watch = await asyncio.to_thread(wire.get, home, "/v1/watch", WatchSnapshot)
        assert watch.seq == 1
        assert watch.feed[0].text == "w started by ada"
        assert (await asyncio.to_thread(wire.get, home, "/v1/history/verify", VerifyReport)).ok
        lines = await asyncio.to_thread(lambda: list(wire.lines(home, "/v1/history/export")))
        assert [json.loads(line)["type"] for line in lines] == ["RunStarted"]
        status, findings = await raw(home, "POST", "/v1/workflows/validate", b"workflow: x")
        assert (status, msgspec.convert(findings, list[ValidationFinding])[0].field) == (200, "steps")
        status, described = await raw(home, "GET", "/v1/openapi.json")
        assert status == 200
        assert "/v1/commands/rollout.rollback" in described["paths"]
        assert "RolloutDetail" in described["components"]["schemas"]


async def test_the_typed_client_speaks_all_of_it(tmp_path):
    async with serving(tmp_path) as (home, _host, _door):
        client = Client(home)
        assert (await client.watch()).me.person == ME
        assert (await client.watch()).me.person == ME  # now over httpx
        assert (await client.run("run-1")).run.id == "run-1"
        assert (await client.gates()).rows[0].id == "run-1.7"
        assert (await client.rollout("run-1")).rollout.cohort == "EU-AMR"
        answer = await client.command("run.suspend", "run-1", {"reason": "x"})
        assert answer.events == ("Recorded",)
        with pytest.raises(Refused) as refused:
            await client.run("run/../../etc")
        assert refused.value.problem.code == "not_found"
        await client.close()
    with pytest.raises(EngineUnreachable):
        await Client(home).status()
    with pytest.raises(Unreachable):
        await asyncio.to_thread(wire.get, home, "/v1/me", Me)


async def test_a_hundred_requests_at_once(tmp_path):
    async with serving(tmp_path) as (home, host, _door):
        threads, errors = [], []

        def one(i: int) -> None:
            try:
                body = CommandRequest(id=f"request-{i:04}", target="run-1")
                wire.post(home, "/v1/commands/run.suspend", body, CommandAnswer)
            except Exception as error:
                errors.append(error)

        for i in range(100):
            threads.append(threading.Thread(target=one, args=(i,)))
            threads[-1].start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
        assert errors == []
        assert len(host.asked) == 100
