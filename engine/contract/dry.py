"""What a call to a remote system would send, found out without sending it."""

from __future__ import annotations

from msgspec import field

from engine.contract.common import Json, View


class WouldView(View, frozen=True, kw_only=True):
    """A request that was not sent. Secrets are masked, long bodies cut."""

    system: str
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Json = None


class DryReport(View, frozen=True, kw_only=True):
    """`would` ends where an answer would be needed to go on. `result`: the call sent nothing, and this is what it gives.
    `error`: it does not get as far as sending anything, and why."""

    system: str
    call: str
    would: tuple[WouldView, ...] = ()
    result: Json = None
    error: str = ""


class CallForm(View, frozen=True, kw_only=True):
    """A call that can be tried, with what it asks for: name -> how it is written."""

    call: str
    asks: dict[str, str] = field(default_factory=dict)
    says: str = ""
