"""Open Policy Agent, asked over its REST API (`POST /v1/data/PATH`, Data API of OPA 1.x).

What the server does, and what follows:

- A rule that is not defined for this input, and a path that does not exist, are both 200 without a `result`. That is a deny:
  a policy that was never loaded must not read like one that allows.
- A result may be a boolean, or an object: `allow` decides, `reason`, `deny_reason` or `deny` (a set of messages) says why.
  A non-empty `deny` denies whatever `allow` says. Anything else (numbers, texts, "true") is a deny that says so.
- `decision_id` is there only while decision logs are on; it is kept to find the decision in them.
- 400 is a policy or input OPA can't evaluate, 401 and 403 its own authorisation (`--authorization=basic`): errors, never
  answers. Every error is a deny for whoever asks, and it is asked once: a person waits for the answer.
- `/health?bundles=true` is 500 until the configured bundles are there; a server without its policies is not healthy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from connectors.http import Bearer, HttpClient, Refusal
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.ports import ActionError, Clock, Json, Param
from engine.capabilities.systems.ports import Decision, Right

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(/[A-Za-z_][A-Za-z0-9_-]*)*")
_REASON = 300
PROBE = "quarterdeck/connection/probe"
"""A path nobody defines: asking it proves the credentials and reads nothing."""


class _Answer(Struct):
    result: Json | UnsetType = UNSET
    decision_id: str = ""


class Opa:
    """Implements the port Decisions. `usual` is the path `check` looks at, when there is one."""

    traits: dict[str, str] = {
        "undefined": "a rule that is not defined for an input denies; OPA does not say which of the two it was",
        "write": "policies and data are not loaded from here: they come from OPA's own bundles",
    }

    def __init__(self, http: HttpClient, usual: str = "", *, bundles: bool = True) -> None:
        self._http, self._usual, self._bundles = http, usual, bundles

    async def decide(self, path: str, input: Mapping[str, Json]) -> Decision:
        """Raises ActionError when there is no answer, which is a deny too."""
        found = await self._ask(path, input)
        return _decision(path, found)

    async def check(self) -> str:
        """Healthy, its bundles loaded, and the credentials good for asking."""
        await self._http.get("/health", str, params={"bundles": "true"} if self._bundles else {})
        await self._ask(PROBE, {})
        return "Open Policy Agent"

    async def rights(self) -> Sequence[Right]:
        try:
            await self._ask(PROBE, {})
            may = True
        except Refusal as error:
            if error.status not in (401, 403):
                raise
            may = False
        found = [
            Right(name="ask for decisions", has=may, needed_for="verbs named under ask: in policy.yaml, policy.ask")
        ]
        if may and self._usual:
            answer = await self._ask(self._usual, {})
            there = None if answer.result is UNSET else True
            found.append(
                Right(name=f"data.{self._usual.replace('/', '.')}", has=there, needed_for="the usual question")
            )
        return found

    async def close(self) -> None:
        await self._http.close()

    async def _ask(self, path: str, input: Mapping[str, Json]) -> _Answer:
        if not _PATH.fullmatch(path):
            said = f"{clean(path, 80)!r} is no path of a rule, such as quarterdeck/allow"
            raise ActionError("BadPath", said, kind="validation", retryable=False)
        return await self._http.send("POST", f"/v1/data/{path}", _Answer, json={"input": input}, safe=True, reads=True)


def _decision(path: str, found: _Answer) -> Decision:
    id_ = clean(found.decision_id, 80)
    result = found.result
    if result is UNSET:
        return Decision(allow=False, reason=f"{path} is not defined for this question", id=id_)
    if isinstance(result, bool):
        return Decision(allow=result, reason="" if result else f"{path} says no", id=id_, result=result)
    if isinstance(result, dict):
        denied, reason = _words(result.get("deny")), _reason(result)
        if result.get("allow") is True and not denied:
            return Decision(allow=True, reason=reason, id=id_, result=result)
        why = denied or reason
        if not why:
            why = f"{path} says no" if result.get("allow") is False else f"{path} has no rule `allow` that is true"
        return Decision(allow=False, reason=why, id=id_, result=result)
    said = f"{path} is neither true nor false nor an object with `allow`: {clean(msgspec.json.encode(result).decode(), 80)}"
    return Decision(allow=False, reason=said, id=id_, result=result)


def _reason(result: Mapping[str, Json]) -> str:
    for name in ("reason", "deny_reason", "reasons", "message"):
        if said := _words(result.get(name)):
            return said
    return ""


def _words(value: Json) -> str:
    """A message, or several as one."""
    if isinstance(value, str):
        return clean(value, _REASON)
    if isinstance(value, list):
        said = [one.get("msg") or one.get("message") if isinstance(one, dict) else one for one in value[:10]]
        return clean("; ".join(str(one) for one in said if one) or ("denied" if value else ""), _REASON)
    if isinstance(value, dict):  # a partial object rule: the keys are what matters
        return clean("; ".join(str(key) for key in list(value)[:10]), _REASON)
    return "denied" if value is True else ""


class OpaConnector:
    """Settings: `url`, `secret` (a bearer token), `path` (the rule usually asked)."""

    kind = "opa"
    title = "Open Policy Agent"
    docs = (
        "OPA 1.x REST API (Data and Health API). Tested against tests/services/opa_server.py: a real Rego evaluator (rego-cpp) "
        "behind the documented endpoints, since the OPA server itself is in no package registry."
    )
    capabilities = ("decisions",)
    needs: tuple[str, ...] = ()
    fields: dict[str, Param] = {
        **FIELDS,
        "secret": Param(type="string", required=False, description="keyring entry of a bearer token"),
        "path": Param(type="string", required=False, description="the rule usually asked, e.g. quarterdeck/allow"),
        "bundles": Param(
            type="boolean", required=False, description="not healthy before its bundles are loaded (true)"
        ),
    }
    secrets: dict[str, str] = {**SECRETS}

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        entry, usual = str(config.get("secret", "")), str(config.get("path", ""))
        if usual and not _PATH.fullmatch(usual):
            said = f"opa: path {clean(usual, 80)!r} is no path of a rule, such as quarterdeck/allow"
            raise ActionError("NotConfigured", said, kind="configuration", retryable=False)
        http = client(
            {"timeout_s": 5.0, **config},
            secret,
            name="OPA",
            auth=Bearer(lambda: secret(entry)) if entry else None,
        )
        return {"decisions": Opa(http, usual, bundles=config.get("bundles") is not False)}


connector = OpaConnector()
