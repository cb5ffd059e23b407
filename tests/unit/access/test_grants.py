"""Grants by kind: certificates, leases under contention, exports that are handed over once, tickets; and their tables."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.capabilities.access import envelope, leases
from engine.capabilities.access.actions import actions
from engine.capabilities.access.entities import ENTITIES
from engine.capabilities.desk import Refusal
from engine.capabilities.policy import Policy
from engine.capabilities.records import RecordError
from engine.contract.access import AccessRequest
from engine.core import commands as core
from engine.language import load
from engine.store.queries import Queries
from engine.store.records import Actor
from tests.unit.access.site import START, Site


def key() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


async def shell(site: Site, **more: Any) -> str:
    name = await site.ask("tom", action="shell", robots=[], site="HAM2", public_key=key(), **more)
    await site.vote(name, "dirk")
    await site.state(name, "granted")
    return name


async def kept_session(site: Site, folder: Path, name: str, data: bytes) -> str:
    """A recording of R-1 as pattern 1 keeps it, small and real."""
    (folder / name).write_bytes(data)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    fields = {
        "title": name, "robot": "R-1", "site": "HAM2", "region": "eu", "customer": "Nordlicht", "bytes": len(data), "digest": digest, "content": digest,
        "uri": (folder / name).as_uri(), "name": name, "duration_s": 60.0, "topics": [{"name": "/joint_states", "role": "state"}], "features": {"speed": 0.4},
    }  # fmt: skip
    return str((await site.at("dirk").records.create("session", fields, key=name)).id)


async def test_a_shell_is_a_certificate_for_the_persons_own_key_that_ends_with_the_grant(site: Site) -> None:
    name = await shell(site, duration_s=3600)
    grant = site.grant(name)
    assert (grant.enforced_by, grant.principals, grant.serial) == ("ssh-certificate", ("qd-HAM2",), 1)
    from cryptography.hazmat.primitives.serialization import load_ssh_public_identity

    certificate: Any = load_ssh_public_identity(site.host.vault.read(grant.token))
    assert certificate.valid_before == int(grant.expires_at) == int(START + 3600)
    assert certificate.valid_after == int(START - 60) and certificate.serial == 1
    assert certificate.key_id == f"{grant.id} tom".encode() and certificate.valid_principals == [b"qd-HAM2"]
    assert set(certificate.critical_options) == {b"force-command"} and set(certificate.extensions) == {b"permit-pty"}
    certificate.verify_cert_signature()
    everything = site.host.book.reads.reading.all("select coalesce(data, x'') from events")
    assert not any(b"PRIVATE KEY" in bytes(row[0]) for row in everything)  # no secret is in the journal


async def test_nobody_is_given_a_shell_without_their_public_key(site: Site) -> None:
    name = await site.ask("tom", action="shell", robots=[], site="HAM2")
    assert "needs the public SSH key" in (await site.state(name, "needs_info")).reason
    with pytest.raises(Refusal) as refused:
        await site.do("tom", "access.told", name, public_key="-----BEGIN OPENSSH PRIVATE KEY-----")
    assert refused.value.field == "public_key" and "private key" in refused.value.reason
    await site.do("tom", "access.told", name, public_key=key())
    await site.vote(name, "dirk")
    assert (await site.state(name, "granted")).key_fingerprint.startswith("SHA256:")


async def test_of_many_who_want_one_robot_at_once_one_has_it(site: Site) -> None:
    async def want(number: int) -> str:
        try:
            held = await leases.acquire(
                site.at(f"p{number}").records, robot="R-1", holder=f"p{number}", mode="direct" if number % 2 else "assist", grant=f"GR-{number}",
                expires_at=START + 60, now=START, site_ack_by="sia",
            )  # fmt: skip
            return held.holder
        except leases.LeaseTaken:
            return ""

    got = [one for one in await asyncio.gather(*(want(n) for n in range(20))) if one]
    assert len(got) == 1
    active = site.host.book.reads.find("lease", state="active")
    assert [one.holder for one in active] == got


async def test_of_many_robots_one_person_drives_one_and_may_look_at_all(site: Site) -> None:
    records = site.at("olga").records

    async def take(robot: str, mode: str) -> bool:
        try:
            await leases.acquire(
                records,
                robot=robot,
                holder="olga",
                mode=mode,
                grant=f"G-{robot}-{mode}",
                expires_at=START + 60,
                now=START,
                site_ack_by="sia",
            )
        except leases.LeaseTaken:
            return False
        return True

    driven = await asyncio.gather(*(take(f"R-{n}", "direct") for n in range(8)))
    assert sum(driven) == 1
    assert all(await asyncio.gather(*(take(f"R-{n}", "observe") for n in range(8))))


async def test_a_lease_whose_time_is_over_holds_nobody_up(site: Site) -> None:
    records = site.at("olga").records
    await leases.acquire(
        records,
        robot="R-1",
        holder="olga",
        mode="direct",
        grant="G-1",
        expires_at=START + 60,
        now=START,
        site_ack_by="sia",
    )
    with pytest.raises(leases.LeaseTaken, match="held by olga"):
        await leases.acquire(
            records, robot="R-1", holder="tess", mode="assist", grant="G-2", expires_at=START + 90, now=START + 59
        )
    taken = await leases.acquire(
        records, robot="R-1", holder="tess", mode="assist", grant="G-2", expires_at=START + 90, now=START + 60
    )
    assert taken.state == "active"


async def test_direct_without_anybody_on_site_is_refused_by_the_table_itself(site: Site) -> None:
    with pytest.raises(RecordError, match="acknowledgement on site"):
        await leases.acquire(
            site.at("olga").records,
            robot="R-1",
            holder="olga",
            mode="direct",
            grant="G-1",
            expires_at=START + 60,
            now=START,
        )
    assert site.host.book.reads.find("lease", state="active") == []


async def exported(site: Site, tmp_path: Path, data: bytes = b"x" * 50_000, **more: Any) -> tuple[str, str]:
    session = await kept_session(site, tmp_path, "run1.mcap", data)
    name = await site.ask("tess", action="copy", sort="export", robots=[], sessions=[session], **more)
    await site.vote(name, "dirk")
    return name, session


async def test_an_export_is_signed_whole_handed_over_once_and_counted(site: Site, tmp_path: Path) -> None:
    name, session = await exported(site, tmp_path)
    await site.state(name, "granted")
    grant = site.grant(name)
    with tarfile.open(site.host.vault.path(grant.package)) as archive:
        manifest, recording = archive.getmembers()
        signed = archive.extractfile(manifest)
        assert signed is not None
        body = envelope.opened(signed.read(), envelope.Signer.open(site.keys).public, now=START + 1).body
        taken = archive.extractfile(recording)
        assert taken is not None
        assert body["files"] == [
            {"name": recording.name, "digest": "sha256:" + hashlib.sha256(taken.read()).hexdigest(), "bytes": 50_000}
        ]
    assert (
        body["actor"] == "tess"
        and body["one_shot"] is True
        and body["approvals"] == ["dirk"]
        and body["sessions"] == [session]
    )
    with pytest.raises(Refusal) as refused:
        await site.do("olga", "access.fetch", grant.id)
    assert refused.value.code == "forbidden"
    await site.do("tess", "access.fetch", grant.id)
    with pytest.raises(Refusal) as refused:
        await site.do("tess", "access.fetch", grant.id)
    assert refused.value.code == "one_shot" and site.grant(name).used.refused == 1
    await site.do("tess", "access.relinquish", grant.id)
    assert site.told("qd.export.completed")[0]["package"] == grant.package


async def test_a_file_that_changed_after_the_approval_is_not_handed_over(site: Site, tmp_path: Path) -> None:
    session = await kept_session(site, tmp_path, "run1.mcap", b"as approved")
    name = await site.ask("tess", action="copy", sort="export", robots=[], sessions=[session])
    await site.until(lambda: site.gate(name))
    (tmp_path / "run1.mcap").write_bytes(b"something else")
    await site.vote(name, "dirk")
    request = await site.state(name, "denied")
    assert "approved was" in request.reason
    assert site.host.book.reads.find("grant", state="active") == []


async def test_what_is_withdrawn_meanwhile_is_not_handed_over_and_what_runs_ends(site: Site, tmp_path: Path) -> None:
    name, session = await exported(site, tmp_path)
    await site.state(name, "granted")
    await site.waits(name, "active")
    await site.at("dirk").records.change("session", session, to="withdrawn", reason="consent revoked")
    await site.at("dirk").publish("qd.consent.revoked", {"subjects": ["p-1"]})
    await site.until(lambda: site.grant(name).state == "revoked", "the end")
    assert "was withdrawn" in site.grant(name).reason


async def test_only_the_measures_go_when_only_they_were_asked_for(site: Site, tmp_path: Path) -> None:
    name, _ = await exported(site, tmp_path, b"a recording", transform="derived")
    await site.state(name, "granted")
    archive = site.host.vault.read(site.grant(name).package)
    assert b"a recording" not in archive and b'"speed":0.4' in archive


async def test_looking_is_by_a_ticket_that_ends(site: Site, tmp_path: Path) -> None:
    session = await kept_session(site, tmp_path, "run1.mcap", b"x")
    name = await site.ask("tom", action="view", sort="cross_border", robots=[], sessions=[session])
    await site.state(name, "granted")  # telemetry, own region, own people: the rules ask for nobody
    request, grant = site.request(name), site.grant(name)
    assert request.evaluation.verdict == "allow_auto" and request.approvals == ()
    ticket = envelope.opened(
        site.host.vault.read(grant.token), envelope.Signer.open(site.keys).public, now=START + 3600
    )
    assert ticket.type == envelope.TICKET and ticket.body["expires_at"] == START + 8 * 3600


async def test_what_nobody_knows_is_asked_about_not_left_out(site: Site) -> None:
    name = await site.ask("tess", action="copy", sort="export", robots=[], sessions=["S-404"])
    assert "nothing is known of S-404" in (await site.state(name, "needs_info")).reason


async def test_a_mistagged_region_is_asked_about(site: Site, tmp_path: Path) -> None:
    session = await kept_session(site, tmp_path, "run1.mcap", b"x")
    await site.at("dirk").records.change("session", session, set={"region": "us"})
    name = await site.ask("tess", action="view", sort="cross_border", robots=[], sessions=[session])
    assert "tagged us, its robot stands in eu" in (await site.state(name, "needs_info")).reason


async def test_a_shared_account_and_a_stranger_are_denied(site: Site) -> None:
    for person in ("desk", "mallory"):
        name = await site.ask(person)
        request = await site.state(name, "denied")
        assert request.evaluation.reasons[0].startswith("IDN-2" if person == "desk" else "IDN-1")
        assert site.told("qd.access.denied")[-1]["instead"]


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"sort": "teleop", "action": "view"}, "action"),
        ({"action": "direct", "robots": []}, "robots"),
        ({"action": "shell", "robots": []}, "site"),
        ({"action": "copy", "robots": []}, "sessions"),
        ({"classes": ["secrets"]}, "classes"),
        ({"action": "shell", "site": "HAM2", "public_key": "ssh-rsa AAAA"}, "public_key"),
    ],
)
async def test_what_makes_no_sense_is_refused_at_its_field(site: Site, args: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        await site.ask("olga", **args)
    assert refused.value.field == field
    assert site.host.book.reads.find("access_request") == []


async def test_hostile_names_are_kept_as_they_are_and_lead_nowhere(site: Site) -> None:
    name = await site.ask(robots=["../../etc/passwd\x1b[2J"], purpose="\x1b]52;c;AAAA\x07 ${actor.known}")
    request = await site.state(name, "needs_info")
    assert any(one.startswith("RES-3") for one in request.evaluation.reasons)
    trace = next(one for one in request.evaluation.trace if one.rule == "IDN-6")
    assert "${actor.known}" in trace.says  # what people write is never evaluated


async def test_a_request_that_says_yes_to_itself_changes_nothing(site: Site) -> None:
    """The guards of the table hold whoever asks: no approval without a gate, none by who asks."""
    name = await site.ask()
    await site.state(name, "evaluated")
    records = site.at("olga").records
    for facts in ({}, {"gate": "g", "people": []}, {"gate": "g", "people": ["olga"]}):
        with pytest.raises(RecordError):
            await records.change("access_request", name, to="approved", facts=facts)
    with pytest.raises(RecordError):
        await records.change("access_request", name, to="granted")


def test_a_grant_that_ended_never_comes_back() -> None:
    grant = next(one for one in ENTITIES if one.kind == "grant")
    for state in ("expired", "relinquished", "revoked"):
        assert grant.final(state)
        assert "expires_at" in grant.immutable_in[state]
    assert "expires_at" in grant.immutable_in["active"]


def test_the_shape_of_a_request_is_plain_data() -> None:
    assert msgspec.convert(msgspec.to_builtins(AccessRequest(id="Q-1")), AccessRequest) == AccessRequest(id="Q-1")


async def test_a_shell_leads_to_what_lies_on_the_gateway_and_from_abroad_that_is_a_transfer(site: Site) -> None:
    name = await site.ask("olga", action="shell", robots=[], site="HAM2", public_key=key())
    request = await site.state(name, "evaluated")
    assert "precise_location" in request.classification.classes
    assert set(request.evaluation.seats) == {"data-owner", "privacy-officer"}
    site.policy = {**site.policy, "transfers": {}}
    denied = await site.state(
        await site.ask("olga", action="shell", robots=[], site="HAM2", public_key=key()), "denied"
    )
    assert denied.evaluation.reasons[0].startswith("TRF-02")


async def test_what_the_rules_would_say_is_told_before_anything_is_filed(site: Site) -> None:
    from engine.capabilities.access.desk import OpenArgs, foresee_open

    async def said(person: str, **args: Any) -> str:
        return " / ".join((await foresee_open(site.at(person), None, msgspec.convert(args, OpenArgs))).sentences)

    asked = {"action": "direct", "robots": ["R-1"], "purpose": "lip", "ticket": "M-1"}
    told = await said("olga", **asked)
    assert (
        "needs the agreement of privacy-officer, site-safety, data-owner" in told
        and "TEL" not in told
        and "MISSING" in told
    )
    assert "would be denied: IDN-1" in await said("mallory", **asked)
    assert site.host.book.reads.find("access_request") == []


async def test_once_a_quarter_everyone_is_looked_at_and_who_may_not_go_on_holds_nothing(site: Site) -> None:
    text = (resources.files("engine.patterns") / "access-recertification.yaml").read_text("utf-8")
    known = Policy.load("policy: 1\n", environment="sandbox", owner="ops")
    definition = load(text, actions=actions(), roles=known.known, people=known.roster)
    actor = Actor(kind="engine", id="engine")
    assert (await site.host.register_definition(definition, text=text, id="recertify", actor=actor)).refusal is None
    name = await shell(site)
    await site.waits(name, "active")
    run = (await site.host.start_run("access-recertification", {}, id="q1", actor=actor)).run
    queries = Queries(site.folder / "quarterdeck.db")
    gate = await site.until(lambda: next((one for one in queries.gate_page(limit=10).rows if one.run == run), None))
    detail = queries.gate_detail(gate.id)
    tom = next(one for one in detail.evidence["people"] if one["person"] == "tom")
    assert tom["holds"] == [site.grant(name).id] and tom["unused"] == 1
    vote = core.Vote(
        gate=gate.id,
        voter=core.Voter(person="carl", roles=("compliance",)),
        answer="approve",
        evidence_digest=detail.evidence_digest,
        form={"ended": ["tom"]},
    )
    assert (await site.host.submit(run, vote, id="v", actor=Actor(kind="person", id="carl"))).refusal is None
    await site.until(lambda: site.grant(name).state == "revoked", "the end of what tom holds")
    assert (site.grant(name).ended_by, site.grant(name).reason) == ("carl", "not recertified")


async def drill(site: Site, run: str, step: str, answer: str = "approve", **form: Any) -> Any:
    """The question of a drill as it was asked, after it was answered by compliance."""
    queries = Queries(site.folder / "quarterdeck.db")
    gate = await site.until(
        lambda: next(
            (one for one in queries.gate_page(limit=10).rows if one.run == run and one.path.endswith(step)), None
        ),
        step,
    )
    detail = queries.gate_detail(gate.id)
    id = f"vote-{next(site.ids)}"
    vote = core.Vote(
        gate=gate.id, voter=core.Voter(person="carl", roles=("compliance",)), answer=answer, rationale="tried at the desk",
        evidence_digest=detail.evidence_digest, form=form,
    )  # fmt: skip
    assert (await site.host.submit(run, vote, id=id, actor=Actor(kind="person", id="carl"))).refusal is None
    return detail


async def test_both_break_glass_identities_are_tried_each_month_and_one_that_fails_is_told(site: Site) -> None:
    site.policy["breakglass"] = {**site.policy["breakglass"], "identities": {"glass-1": {"kept": "safe HAM2"}, "glass-2": {}}}  # fmt: skip
    text = (resources.files("engine.patterns") / "breakglass-drill.yaml").read_text("utf-8")
    known = Policy.load("policy: 1\n", environment="sandbox", owner="ops")
    definition = load(text, actions=actions(), roles=known.known, people=known.roster)
    engine = Actor(kind="engine", id="engine")
    assert (await site.host.register_definition(definition, text=text, id="drill", actor=engine)).refusal is None
    queries = Queries(site.folder / "quarterdeck.db")

    async def month(id: str) -> str:
        return str((await site.host.start_run("breakglass-drill", {}, id=id, actor=engine)).run)

    async def over(run: str) -> None:
        await site.until(lambda: queries.run_detail(run).run.status == "completed", "the end of the drill")

    run = await month("d1")
    asked = await drill(site, run, "tried", failed=[])
    assert "2 of 2 break-glass identities are set up, 2 not tried in 31 days" in asked.gate.question
    await over(run)
    assert site.told("qd.access.breakglass.untested") == []

    site.clock.advance(20 * 86_400.0)
    run = await month("d2")
    asked = await drill(site, run, "tried", failed=["glass-2"])
    assert "0 not tried" in asked.gate.question and asked.evidence["identities"][0]["worked_at"] == START
    asked = await drill(site, run, "mend", answer="reject")
    assert "1 of 2 break-glass identities work; glass-2 did not." in asked.gate.question
    told = site.told("qd.access.breakglass.untested")
    assert [(one["failed"], one["missing"]) for one in told] == [(["glass-2"], 1)]
    await over(run)

    site.clock.advance(15 * 86_400.0)
    asked = await drill(site, await month("d3"), "tried", failed=[])
    due = {one["identity"]: one["due"] for one in asked.evidence["identities"]}
    assert due == {"glass-1": False, "glass-2": True}, "what failed was last seen to work the time before"
