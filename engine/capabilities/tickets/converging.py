"""Brings a case and its ticket together once: reads the ticket, merges, writes what changed here, takes what changed there.

Promises:
- Nothing is overwritten that was not read just before: the ticket is written with its version, case and link with their
  revision. What a person chose while a round was under way stands, and the next round carries it out.
- Asked again after dying anywhere in the middle it ends at the same place: what was written is found to be the same on
  both sides, comments are found by their mark.
- What can't be written (a workflow without that state, a name nobody has there) is a conflict with its reason; the other
  fields go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.capabilities.ports import ActionError, InDoubt
from engine.capabilities.records import Emit, RecordError, Records
from engine.capabilities.systems.ports import Ticket, Tickets
from engine.capabilities.tickets import casework
from engine.capabilities.tickets.casework import NotTaken
from engine.capabilities.tickets.marking import mark
from engine.capabilities.tickets.merging import Merged, barred, merge
from engine.capabilities.vault import VaultError
from engine.contract.cases import CASE_OVER, CaseView, Note
from engine.contract.tickets import TICKET_FIELDS, Agreed, TicketLink

Json = Any
ROUNDS = 3
"""Times a merge begins anew because somebody changed the ticket or the case meanwhile."""
REFUSED = ("NoTransition", "NoSuchUser", "Unsupported", "Refused", "Forbidden", "BadChange")
NOTE, NOTES = 3_500, 200


class Converging:
    """One link, for one action. `key` is the step's; the writes derive their own from what they write."""

    def __init__(
        self,
        records: Records,
        vault: Any,
        port: Tickets,
        *,
        policy: Mapping[str, Json],
        cases: Mapping[str, Json],
        now: Callable[[], float],
        key: str,
        in_doubt: bool,
    ) -> None:
        self._records, self._vault, self._port = records, vault, port
        self._policy, self._cases, self._now = policy, cases, now
        self._key, self._in_doubt = key, in_doubt
        self._sent = 0

    async def run(self, link: TicketLink, *, fresh: bool) -> TicketLink:
        """The link as it stands afterwards. Raises ActionError (the caller tries again), InDoubt."""
        for last in (False, False, True)[-ROUNDS:]:
            try:
                return await self._once(link, fresh)
            except (ActionError, RecordError) as error:
                if error.error == "NoSuchTicket":
                    return await self._gone(link)
                if error.error != "Conflict" or last or isinstance(error, InDoubt):
                    raise
            link = await self._link(link.id)
            if link.state == "unlinked":
                return link
        raise AssertionError("the last round ends or raises")

    async def _once(self, link: TicketLink, fresh: bool) -> TicketLink:
        ticket = await self._port.read(link.ticket)
        case: CaseView | None = await self._records.get("case", link.case)
        if case is None:
            raise ActionError("NoSuchCase", f"there is no case {link.case}", kind="validation", retryable=False)
        merged = merge(
            casework.ours(case, self._policy), _theirs(ticket), link.agreed, ways=self._ways(), same=self._same,
            before={one.field: one for one in link.conflicts}, now=self._now(), fresh=fresh,
        )  # fmt: skip
        turn = _Turn(link, ticket, case, merged)
        await self._push(turn)
        again = await self._take(turn)
        await self._comments(turn)
        await self._attach(turn)
        if again:
            await self._reopened_there(turn)
        return await self._noted(turn)

    # -- fields -------------------------------------------------------------------------------------------------------

    def _ways(self) -> dict[str, str]:
        ways = {name: str(self._policy["fields"].get(name, "off")) for name in TICKET_FIELDS}
        return {name: way for name, way in ways.items() if way != "off" and name not in self._port.traits}

    def _same(self, name: str, ours: str, theirs: str) -> bool:
        if ours == theirs:
            return True
        if name == "meaning":
            with contextlib.suppress(ActionError):
                return bool(getattr(self._port, "shows", lambda one: one)(ours) == theirs)
        return name == "title" and " ".join(ours.split())[:200] == " ".join(theirs.split())[:200]

    async def _push(self, turn: _Turn) -> None:
        """Writes what changed here. Where the owner refuses the whole, field by field, to tell which one it is."""
        push, refused = turn.merged.push, dict[str, str]()
        if not push:
            return
        try:
            await self._update(turn, push)
        except InDoubt:
            raise
        except ActionError as error:
            if error.error not in REFUSED:
                raise
            for name, value in push.items():
                try:
                    await self._update(turn, {name: value})
                except InDoubt:
                    raise
                except ActionError as one:
                    if one.error not in REFUSED:
                        raise
                    refused[name] = one.message[:300]
        there = _theirs(turn.ticket)
        for name, value in push.items():
            if name in refused:
                turn.bar(name, value, there[name], refused[name], self._now())
            else:
                turn.agreed[name] = Agreed(ours=value, theirs=there[name])

    async def _update(self, turn: _Turn, changes: Mapping[str, str]) -> None:
        """Only on the very ticket that was read. A repeat in doubt finds what it wrote already there."""
        self._sent += 1
        key = f"{self._key}/{self._sent}"
        turn.ticket = await self._port.update(
            turn.link.ticket, changes, version=turn.ticket.version, key=key, in_doubt=self._in_doubt
        )

    async def _take(self, turn: _Turn) -> bool:
        """Gives the case what changed there; whether a case that is over was opened again there."""
        again, there = False, turn.merged.take
        ref = f"{turn.link.system}/{turn.link.ticket}"
        for name in sorted(there, key=lambda one: one == "meaning"):  # who has it comes before what is done
            try:
                turn.case = await casework.take(
                    self._records, turn.case, name, there[name], ref=ref, policy=self._policy, cases=self._cases, now=self._now()
                )  # fmt: skip
            except NotTaken as error:
                again = again or (name == "meaning" and turn.case.state in CASE_OVER)
                turn.bar(name, casework.ours(turn.case, self._policy)[name], there[name], str(error), self._now())
                turn.case = await self._records.get("case", turn.case.id) or turn.case
            else:
                here = casework.ours(turn.case, self._policy)[name]
                turn.agreed[name] = Agreed(ours=here, theirs=there[name])
        return again

    async def _reopened_there(self, turn: _Turn) -> None:
        """A closed case stays closed: what was opened again there is told once, and becomes a case of its own."""
        link, ticket = turn.link, turn.ticket
        word, ref = ticket.version or f"{ticket.changed_at}", f"{turn.link.system}/{turn.link.ticket}"
        if link.theirs.get("told") == word:
            return
        facts = {"external_ref": ref, "status": ticket.meaning, "system": link.system}
        turn.link = await self._records.change(
            "ticket_link",
            link.id,
            set={"theirs": _theirs(ticket) | {"told": word}},
            reason=f"{ref} was opened again there after {turn.case.id} was {turn.case.state}",
            emit=(Emit("qd.ticket.changed", facts, subject=ref),),
            expect=link.rev,
        )

    # -- comments and files -------------------------------------------------------------------------------------------

    async def _comments(self, turn: _Turn) -> None:
        """Notes go there, comments come here; each once, whoever died in between."""
        if not self._policy["comments"]:
            return
        link, case, known = turn.link, turn.case, turn.comments
        marks = {one.key: one.id for one in turn.ticket.comments if one.key}
        passed = set(known.values())
        if "comments" not in self._port.traits:
            for note in case.notes[-NOTES:]:
                key = casework.note_key(case.id, note)
                if key in passed:
                    continue
                there = marks.get(mark(key))
                if there is None:
                    text = f"{note.by}: {note.text}"[:NOTE]
                    there = (await self._port.comment(link.ticket, text, key=key, in_doubt=True)).id
                known[there] = key
        news = [one for one in turn.ticket.comments if one.id not in known and not one.key]
        known |= dict.fromkeys((one.id for one in news[:-NOTES]), "")
        held, fresh = {casework.note_key(case.id, one) for one in case.notes}, []
        for one in news[-NOTES:]:
            by = f"{one.author or 'somebody'} ({link.system})"
            note = Note(at=one.at or self._now(), by=by, text=one.text[:NOTE])
            known[one.id] = casework.note_key(case.id, note)
            if known[one.id] not in held:
                fresh.append(note)
        if fresh:
            turn.case = await self._records.change(
                "case",
                case.id,
                set={"notes": [*case.notes, *fresh]},
                reason=f"comments on {link.ticket}",
                expect=case.rev,
            )

    async def _attach(self, turn: _Turn) -> None:
        if not self._policy["attach"] or "attach" in self._port.traits:
            return
        limit, case, link = int(self._policy["attach_limit"]), turn.case, turn.link
        files = [(case.bundle, f"context-{case.id}.json", "application/json")] if case.bundle else []
        files += [(one.digest, one.name, one.media) for one in case.attachments]
        for digest, name, media in files:
            if digest in turn.attached:
                continue
            try:
                content = await asyncio.to_thread(self._vault.read, digest, limit=limit)
            except VaultError:  # deleted after its time, or too large: the case still has its digest
                turn.attached.append(digest)
                continue
            await self._port.attach(
                link.ticket,
                name,
                content,
                media or "application/octet-stream",
                key=f"{link.id}/{digest}",
                in_doubt=True,
            )
            turn.attached.append(digest)

    # -- the record ---------------------------------------------------------------------------------------------------

    async def _noted(self, turn: _Turn) -> TicketLink:
        link, ticket, conflicts = turn.link, turn.ticket, turn.conflicts
        before = {(one.field, one.ours, one.theirs) for one in link.conflicts}
        fresh = [one.field for one in conflicts if (one.field, one.ours, one.theirs) not in before]
        said = "; ".join(f"{one.field}: {one.ours or 'none'} here, {one.theirs or 'none'} there" for one in conflicts)
        emit: tuple[Emit, ...] = ()
        facts = {"link": link.id, "case": link.case, "system": link.system, "ticket": link.ticket}
        if fresh:
            emit = (Emit("qd.ticket.conflict", {**facts, "fields": fresh, "said": said[:500]}, subject=link.case),)
        elif link.state == "conflict" and not conflicts:
            emit = (Emit("qd.ticket.agreed", facts, subject=link.case),)
        left_out = {name: why for name, why in self._port.traits.items() if name in TICKET_FIELDS}
        left_out |= {name: "by policy" for name in TICKET_FIELDS if self._policy["fields"].get(name, "off") == "off"}
        told = {name: value for name, value in link.theirs.items() if name == "told"}
        found: TicketLink = await self._records.change(
            "ticket_link",
            link.id,
            to="conflict" if conflicts else "synced",
            set={
                "title": ticket.title,
                "url": ticket.url,
                "agreed": msgspec.to_builtins(turn.agreed),
                "conflicts": msgspec.to_builtins(conflicts),
                "comments": turn.comments,
                "attached": turn.attached,
                "theirs": _theirs(ticket) | told,
                "their_state": ticket.state,
                "changed_there": ticket.changed_at,
                "synced_at": self._now(),
                "observed_at": self._now(),
                "error": "",
                "failing_since": 0.0,
                "left_out": left_out,
            },
            reason=f"they disagree: {said}"[:500] if conflicts else "in step",
            emit=emit,
            expect=link.rev,
        )
        return found

    async def _gone(self, link: TicketLink) -> TicketLink:
        """Deleted there: said, and left to people. Its case goes on."""
        said = f"{link.system}/{link.ticket} is gone there"
        facts = {"link": link.id, "case": link.case, "system": link.system, "ticket": link.ticket}
        emit = (Emit("qd.ticket.gone", facts, subject=link.case),) if link.state != "gone" else ()
        found: TicketLink = await self._records.change(
            "ticket_link", link.id, to="gone", set={"synced_at": self._now(), "error": said}, reason=said, emit=emit
        )
        return found

    async def _link(self, id: str) -> TicketLink:
        found: TicketLink | None = await self._records.get("ticket_link", id)
        if found is None:
            raise ActionError("NoSuchTicket", f"there is no {id}", kind="validation", retryable=False)
        return found


class _Turn:
    """One round: what was read, and what it has become so far."""

    def __init__(self, link: TicketLink, ticket: Ticket, case: CaseView, merged: Merged) -> None:
        self.link, self.ticket, self.case, self.merged = link, ticket, case, merged
        self.agreed, self.conflicts = dict(merged.agreed), list(merged.conflicts)
        self.comments, self.attached = dict(link.comments), list(link.attached)

    def bar(self, name: str, here: str, there: str, why: str, now: float) -> None:
        """A field one side could not be given."""
        since = next((one.since for one in self.link.conflicts if one.field == name), now)
        base = self.merged.agreed.get(name)
        self.conflicts.append(barred(name, here, there, base=base, since=since, why=why))


def _theirs(ticket: Ticket) -> dict[str, str]:
    return {name: str(getattr(ticket, name)) for name in TICKET_FIELDS}
