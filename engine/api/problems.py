"""Every refusal of the door, as one `Problem` with a status. Nothing else leaves it: no traceback, no library's words alone."""

from __future__ import annotations

import re

import msgspec
from starlette.responses import Response

from engine.api.inert import encode
from engine.contract.common import Problem

_AT = re.compile(r" - at `(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


class Denied(Exception):
    """The request ends here, with this answer."""

    def __init__(self, status: int, code: str, reason: str, *, fix: str = "", field: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.problem = Problem(code=code, reason=reason, fix=fix, field=field)


def snake(name: str) -> str:
    """An error's name as a problem's code: `NoSuchRun` is `no_such_run`."""
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def answer(value: object, status: int = 200) -> Response:
    """A contract struct as JSON."""
    return Response(encode(value), status, media_type="application/json")


def refuse(denied: Denied) -> Response:
    return answer(denied.problem, denied.status)


def not_found(what: str, name: str) -> Denied:
    return Denied(404, "not_found", f"there is no {what} {name}")


def malformed(error: Exception, *, within: str = "") -> Denied:
    """A body that is no JSON (400) or not of the right shape (422), with the field named as the sender wrote it."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return Denied(400, "malformed", f"the body is not JSON: {text}", field="body")
    at = _AT.search(text)
    path = at["path"].removeprefix("$").replace("[...]", "").removeprefix(".") if at else ""
    reason = text[: at.start()] if at else text
    for pattern, code in ((_UNKNOWN, "unknown_field"), (_MISSING, "missing_field")):
        if found := pattern.search(text):
            return Denied(422, code, reason, field=_join(within, path, found["name"]))
    return Denied(422, "bad_input", reason, field=_join(within, path) or "body")


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)
