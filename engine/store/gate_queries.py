"""The inbox and one gate in full."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.contract.gates import GateDetail, GatePage, GateSummary, SeatView, VoteView
from engine.core.definition import Outcome
from engine.core.gates import seat_label
from engine.store.gate_projection import StoredGate, seated
from engine.store.reading import Reading

_NAMES = (
    "id",
    "run",
    "path",
    "kind",
    "question",
    "state",
    "opened_at",
    "expires_at",
    "seats_open",
    "seats_total",
    "claimed_by",
    "subject",
    "escalated",
    "rollout",
)
_COLUMNS = ", ".join(_NAMES)
_decoder = msgspec.json.Decoder(StoredGate)
STATES = ("open", "passed", "rejected", "expired", "withdrawn")


def summary(row: Sequence[Any]) -> GateSummary:
    values = dict(zip(_NAMES, row, strict=False))
    values["escalated"] = bool(values["escalated"])
    return GateSummary(**values)


def outcome_words(outcome: Outcome | None) -> str:
    """What happens then, for a person."""
    if outcome is None:
        return ""
    target = f"goes on at {spelled(outcome.goto)}" if outcome.goto else ""
    if outcome.raise_:
        target = f"this ends here: {spelled(outcome.raise_)}"
    if outcome.escalate:
        return f"asks {outcome.escalate} first" + (f", then {target}" if target else "")
    return target


def spelled(name: str) -> str:
    """The name of an error or of a step as words: `SignoffExpired`, `install_failed`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()


class GateQueries:
    """Reads of gates."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def page(self, *, state: str, limit: int, now: float) -> GatePage:
        """Open gates by deadline, others newest first. Raises ValueError for an unknown state."""
        limit = max(1, min(limit, 1000))
        if state == "open":
            rows = self._reading.all(
                f"select {_COLUMNS} from gates where state = 'open' order by expires_at, id limit {limit}"
            )
            total = int(self._reading.one("select count(*) from gates where state = 'open'")[0])
        elif state in ("", "all"):
            rows = self._reading.all(f"select {_COLUMNS} from gates order by seq desc limit {limit}")
            total = len(rows)
        elif state in STATES:
            rows = self._reading.all(
                f"select {_COLUMNS} from gates where state = ? order by seq desc limit {limit}", (state,)
            )
            total = len(rows)
        else:
            raise ValueError(f"no gate has the state {state!r}; there are {', '.join(STATES)}, all")
        exact = state == "open" or len(rows) < limit
        return GatePage(rows=tuple(map(summary, rows)), total=total, total_exact=exact, as_of=now)

    def rows(self, ids: Sequence[str]) -> tuple[GateSummary, ...]:
        found: list[GateSummary] = []
        for start in range(0, len(ids), 500):
            part = list(ids[start : start + 500])
            marks = ",".join("?" * len(part))
            found.extend(map(summary, self._reading.all(f"select {_COLUMNS} from gates where id in ({marks})", part)))
        return tuple(found)

    def detail(self, gate: str) -> GateDetail | None:
        """Everything a decision needs: the evidence as it stands, seats, votes, and what else can happen."""
        row = self._reading.one(f"select {_COLUMNS}, view from gates where id = ?", (gate,))
        if row is None:
            return None
        shown, view = summary(row), _decoder.decode(row[-1])
        step = None
        digest = self._reading.one("select digest from runs where id = ?", (shown.run,))
        definition = self._reading.loader.definition(digest[0]) if digest else None
        if definition is not None:
            step = definition.steps.get(view.step)
        # the engine's own question about a step is not in the definition; one that was escalated is, and asks nobody else
        spec = step.gate if step is not None and (view.escalated_to or not shown.escalated) else None
        silence = spec.on_timeout if spec is not None else None
        if silence is not None and view.escalated_to:
            silence = msgspec.structs.replace(silence, escalate=None)
        values = {name: row[at] for at, name in enumerate(_NAMES)}
        return GateDetail(
            gate=shown,
            evidence=self._evidence(view.evidence_seq),
            evidence_digest=view.evidence_digest,
            evidence_at=view.evidence_at,
            seats=self._seats(view, values),
            votes=tuple(
                VoteView(
                    person=vote.person,
                    answer=vote.answer,
                    at=vote.at,
                    rationale=vote.rationale,
                    on_behalf_of=vote.on_behalf_of,
                    void=vote.void,
                    refused=vote.refused,
                    via=vote.via,
                )
                for vote in view.votes
            ),
            excluded=view.excluded,
            answers=view.answers,
            form=view.form,
            on_timeout=outcome_words(silence) if spec else "the run fails" if shown.escalated else "",
            on_reject=outcome_words(spec.on_reject) if spec else "",
            who_can=tuple(seat_label(seat) for seat in view.seats),
            comments=tuple(view.comments),
            escalated_to=view.escalated_to or "",
        )

    def _evidence(self, seq: int) -> Any:
        row = self._reading.one(
            "select coalesce(e.data, b.data) from events e left join blobs b on b.digest = e.digest where e.seq = ?",
            (seq,),
        )
        if row is None or row[0] is None:
            return {"redacted": True}
        return msgspec.json.decode(row[0]).get("evidence", {})

    @staticmethod
    def _seats(view: StoredGate, row: dict[str, Any]) -> tuple[SeatView, ...]:
        """The seats as the definition groups them, each with who fills it."""
        places = list(seated(view, row))
        seats = []
        for seat in view.seats:
            count = int(seat.get("count", 1))
            part, places = places[:count], places[count:]
            seats.append(
                SeatView(
                    label=seat_label(seat),
                    count=count,
                    filled_by=tuple(person for _, person in part if person is not None),
                    role=str(seat.get("role") or ""),
                    group=str(seat.get("group") or ""),
                    person=str(seat.get("person") or ""),
                )
            )
        return tuple(seats)
