"""Access on the console: at 80x24 and with room, with the keys given for it, and with hostile text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.contract.access import (
    AccessPage,
    AccessRequest,
    Alternative,
    ClassCount,
    Classification,
    ControlLease,
    Evaluation,
    Grant,
    PastGrant,
    RequestDetail,
    RuleResult,
    Used,
    Volume,
)
from engine.contract.common import ActorView
from engine.contract.records import RecordEvent
from tests.fakes import BASE, FakeClient
from tests.unit.decision_screens.conftest import At, at

__all__ = ["at"]

ATTACK = "\x1b[2J\x1b]52;c;AAAA\x07[red]boom[/red]\u202e"
TRACE = (
    RuleResult(rule="TRF-02", stage="transfer", says="viewing from us is a transfer: SCC on file, TIA 2026-03", source="GDPR ch. V", verified_on="2026-11-23"),
    RuleResult(rule="TEL-07", stage="teleop", result="hold", says="direct drive needs on-site acknowledgement: MISSING", fact="teleop.site_ack=false"),
    RuleResult(rule="TEL-10", stage="teleop", says="operator qualified until 2027-02"),
    RuleResult(rule="TEL-12", stage="teleop", says="the site's safety has to agree", seats=("site-safety",)),
)  # fmt: skip
REQUEST = AccessRequest(
    id="Q-208", kind="access_request", rev=4, state="evaluated", title="olga: direct drive 0417", run="run-7", created_at=BASE - 60, sort="teleop",
    action="direct", requester="olga", employer="VendorCo", actor_location="US", purpose="free from tote lip", ticket="M-311",
    robots=("HAM2-amr-0417",), site="HAM2",
    sentence='olga (VendorCo, in US) wants DIRECT DRIVE OF HAM2-amr-0417 (..7Q41, HAM2) until 03:45Z because "free from tote lip", ticket M-311',
    classification=Classification(
        classes=("telemetry", "personal_video"), live=True, volume=Volume(robots=1),
        counts=(ClassCount(name="telemetry"), ClassCount(name="personal_video", why="live video")),
    ),
    evaluation=Evaluation(
        verdict="needs_approval", trace=TRACE, seats=("data-owner", "site-safety"),
        alternatives=(Alternative(name="assist", says="ASSIST mode", changes={"action": "assist"}), Alternative(name="desk", says="EU desk (Utrecht)")),
    ),
)  # fmt: skip
GRANT = Grant(
    id="GR-9", kind="grant", rev=3, state="active", title="olga: direct drive 0417", request="Q-208", actor="olga", sort="teleop",
    actions=("observe", "assist", "direct"), robots=("HAM2-amr-0417",), site="HAM2", not_before=BASE - 600, expires_at=BASE + 1200,
    enforced_by="teleop-lease", lease="L-3", used=Used(started_at=BASE - 500, sessions=1, commands=212, recordings=("rec-1",)),
)  # fmt: skip
LEASE = ControlLease(
    id="L-3", kind="lease", state="active", robot="HAM2-amr-0417", holder="olga", mode="direct", grant="GR-9", latency_p95_ms=142,
    site_ack_by="sia", link_at=BASE - 1, expires_at=BASE + 1200,
)  # fmt: skip
DETAIL = RequestDetail(
    request=REQUEST,
    gate="",
    history=(PastGrant(id="GR-2", actions=("observe",), state="expired"),),
    denials=1,
    now=BASE,
)


def client(detail: RequestDetail = DETAIL, page: AccessPage | None = None, **more: Any) -> FakeClient:
    fake = FakeClient(person="dirk", roles=("data-owner",), **more)
    fake.answers_to[f"/v1/access/requests/{detail.request.id}"] = detail
    for row in page.requests if page is not None else ():
        fake.answers_to[f"/v1/access/requests/{row.id}"] = msgspec.structs.replace(detail, request=row)
    granted = (detail.grant,) if detail.grant else ()
    fake.answers_to["/v1/access"] = page or AccessPage(
        requests=(detail.request,), grants=granted, leases=(LEASE,) if granted else (), as_of=BASE
    )
    fake.answers_to[f"history/access_request/{detail.request.id}"] = ()
    return fake


def fits(text: str, columns: int) -> bool:
    return all(len(line.rstrip()) <= columns for line in text.splitlines())


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_request_says_who_wants_what_what_is_missing_and_what_intrudes_less(
    at: At, size: tuple[int, int]
) -> None:
    fake = client()
    gate = await fake.gate(next(iter((await fake.gates()).rows)).id)
    detail = msgspec.structs.replace(DETAIL, gate=gate.gate.id, gate_expires_at=BASE + 700)
    async with at("request Q-208", size=size, client=client(detail)) as desk:
        for words in ("DIRECT DRIVE", "..7Q41", "MISSING", "ASSIST mode | EU desk (Utrecht)", "1 grant, 0 over scope, 1 denial", "faces likely",
                      "NEEDS", "copy: none", "site-safety", "recording:"):  # fmt: skip
            assert words in desk.text, (words, desk.text)
        assert fits(desk.text, size[0])
        assert "(it denies)" in desk.text


async def test_the_rules_the_grants_the_session_and_the_timeline_have_their_keys(at: At) -> None:
    fake = client(
        msgspec.structs.replace(
            DETAIL, grant=GRANT, lease=LEASE, request=msgspec.structs.replace(REQUEST, state="granted", grant="GR-9")
        )
    )
    actor = ActorView(kind="person", id="dirk")
    fake.answers_to["history/access_request/Q-208"] = (
        RecordEvent(seq=4, at=BASE, actor=actor, cause="x", rev=4, from_="approved", to="granted", reason="GR-9"),
    )
    async with at("request Q-208", client=fake) as desk:
        assert "olga has direct" in desk.text and "212 commands" in desk.text
        await desk.press("e")
        assert "teleop.site_ack=false" in desk.text and "GDPR ch. V, verified 2026-11-23" in desk.text
        await desk.press("escape", "L")
        assert "latency p95 142 ms, on site sia" in desk.text and "recorded as rec-1" in desk.text
        await desk.press("g")
        assert "GR-2" in desk.text
        await desk.press("t")
        assert "granted  dirk  GR-9" in desk.text
        await desk.press("t")
        assert "DIRECT DRIVE" in desk.text


async def test_revoking_asks_nothing_and_goes_to_the_grant(at: At) -> None:
    detail = msgspec.structs.replace(
        DETAIL, grant=GRANT, lease=LEASE, request=msgspec.structs.replace(REQUEST, state="granted", grant="GR-9")
    )
    async with at("request Q-208", client=client(detail)) as desk:
        await desk.press("K")
        assert not desk.asking
        assert [(one.verb, one.target) for one in desk.sent()] == [("access.revoke", "GR-9")]
    async with at("access", client=client(detail)) as desk:
        assert "1 with a hand on a robot" in desk.text
        await desk.press("K")
        assert [(one.verb, one.target) for one in desk.sent()] == [("access.revoke", "GR-9")]


async def test_a_key_that_can_not_be_used_says_why(at: At) -> None:
    detail = msgspec.structs.replace(
        DETAIL, verbs={"access.ack": "who drives can't acknowledge", "access.revoke": "nothing is granted"}
    )
    async with at("request Q-208", client=client(detail)) as desk:
        await desk.press("a")
        assert "who drives can't acknowledge" in desk.text
        await desk.press("K")
        assert "nothing is granted" in desk.text and not desk.sent()


async def test_a_request_is_filed_in_under_ten_keys_and_text(at: At) -> None:
    fake = client()
    async with at("watch", client=fake) as desk:
        robot = fake.fleet[3].id
        await desk.press("f2", "plus", "up", "right", "right", "enter")
        await desk.write(robot)
        await desk.press("enter")
        await desk.write("tote lip")
        await desk.press("ctrl+s")
        sent = desk.sent("access.open")
        assert [(one.args["action"], one.args["robots"], one.args["purpose"]) for one in sent] == [
            ("direct", [robot], "tote lip")
        ], desk.text


async def test_the_less_intrusive_option_is_two_keys_away(at: At) -> None:
    async with at("request Q-208", client=client()) as desk:
        await desk.press("m", "ctrl+s")
        assert [(one.verb, one.target, one.args) for one in desk.sent()] == [
            ("access.offer", "Q-208", {"alternative": "assist"})
        ]


async def test_breaking_glass_wants_its_phrase(at: At) -> None:
    fake = client()
    robot = fake.fleet[3].id
    fake._effect = lambda *a: (("compliance is paged now",), f"break glass {robot}", ())  # type: ignore[method-assign]
    async with at("access", client=fake) as desk:
        await desk.press("exclamation_mark")
        assert "Break glass" in desk.text
        await desk.write(robot)
        await desk.press("enter")
        await desk.write("fire door")
        await desk.press("ctrl+s")
        await desk.pilot.pause(0.6)
        assert "compliance is paged now" in desk.text, desk.text
        assert not desk.sent("breakglass.take")


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_list_shows_what_is_to_decide_first_and_what_runs(at: At, size: tuple[int, int]) -> None:
    rows = (
        msgspec.structs.replace(REQUEST, id="Q-1", state="closed", finding="ok"),
        msgspec.structs.replace(REQUEST, id="Q-2", state="held", reason="TEL-03 recording is not ready"),
        REQUEST,
        msgspec.structs.replace(REQUEST, id="Q-3", state="granted", grant="GR-9", breakglass=True),
    )
    page = AccessPage(
        requests=rows,
        grants=(msgspec.structs.replace(GRANT, breakglass=True),),
        leases=(LEASE,),
        gates={"Q-208": BASE + 500},
        as_of=BASE,
    )
    async with at("access", size=size, client=client(page=page)) as desk:
        text = desk.text
        assert all(words in " ".join(text.split()) for words in ("1 to decide", "1 held", "by break-glass")), text
        assert text.index("Q-3") < text.index("Q-208") < text.index("Q-2 ") and "Q-1 " not in text
        assert fits(text, size[0])
        await desk.press("x")
        assert "Q-1 " in desk.text
        await desk.press("g")
        assert "GR-9" in desk.text and "direct" in desk.text.lower()


async def test_an_empty_list_says_what_to_do(at: At) -> None:
    async with at("access", client=client(page=AccessPage(as_of=BASE))) as desk:
        assert "No request is open. + asks for access." in desk.text
        await desk.press("g")
        assert "Nobody has access to anything now." in desk.text


async def test_hostile_text_reaches_no_terminal(at: At) -> None:
    bad = msgspec.structs.replace(
        REQUEST, purpose=ATTACK, sentence=ATTACK, title=ATTACK, requester=ATTACK, employer=ATTACK, reason=ATTACK, info=(ATTACK,), robots=(ATTACK,),
        evaluation=msgspec.structs.replace(REQUEST.evaluation, trace=(msgspec.structs.replace(TRACE[1], says=ATTACK, fact=ATTACK),)),
    )  # fmt: skip
    detail = msgspec.structs.replace(
        DETAIL, request=bad, grant=msgspec.structs.replace(GRANT, reason=ATTACK, actor=ATTACK), lease=LEASE
    )
    async with at("request Q-208", client=client(detail)) as desk:
        for key in ("e", "L", "g"):
            assert ("\x1b" not in desk.text and "\u202e" not in desk.text and "boom" in desk.text) or key == "g"
            await desk.press(key)
    async with at("access", client=client(detail)) as desk:
        assert "\x1b" not in desk.text and "\u202e" not in desk.text
