"""The rules of access: data in, a verdict with its trace out. No clock, no I/O: the same facts and pack give the same answer.

A rule (policy pack `access`, under `rules`) has an id, a revision, a stage, and conditions in CEL over the facts:

    TRF-02:
      rev: 3
      stage: transfer
      when: transfer.crosses            # else the rule does not apply
      require: transfer.covered         # else `else` happens
      else: deny                        # deny (default), ask (more is needed to tell), hold (must hold at the start), note
      seats: [privacy-officer]          # who has to agree wherever the rule applies
      permits: false                    # something must permit: nothing is allowed by silence
      says: "…${transfer.text}"         # when it holds; `fails` when not
      offer: [blurred]                  # what would intrude less
      source: …                         # and verified_on, for what comes from law or a contract

A condition that cannot be evaluated denies. Stages are evaluated in the order of STAGES, rules in the order of the pack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from engine.contract.access import Alternative, Evaluation, RuleResult
from engine.core.evaluator import ExpressionError
from engine.language import expressions
from engine.language.expressions import Expression, Expressions

Json = Any
Facts = Mapping[str, Json]

STAGES = ("identity", "contract", "residency", "transfer", "minimisation", "teleop", "separation", "holds", "permit")
"""The order of evaluation: who, what the customer allows, where data may be, how it may leave, less, teleoperation, four eyes."""
EFFECTS = ("deny", "ask", "hold", "note")
NAMES = ("request", "actor", "data", "transfer", "contract", "history", "teleop", "site", "holds", "policy")
"""What conditions may speak of; `policy` are the pack's own numbers."""
NOTHING_PERMITS = "NONE-0"
_KEYS = frozenset(
    {"rev", "stage", "when", "require", "else", "seats", "permits", "says", "fails", "offer", "source", "verified_on"}
)
_FACT = 160
_canonical = msgspec.json.Encoder(order="sorted")


class RulesError(ValueError):
    """A pack whose rules can't be used: which rule, which key, what to do."""


class Rule(Struct, frozen=True, kw_only=True):
    id: str
    rev: int
    stage: str
    when: str
    require: str
    otherwise: str
    seats: tuple[str, ...]
    permits: bool
    says: str
    fails: str
    offer: tuple[str, ...]
    source: str
    verified_on: str


class Pack(Struct, frozen=True, kw_only=True):
    """The rules as compiled, with the digest that names this revision of them."""

    rules: tuple[Rule, ...]
    numbers: dict[str, Json]
    alternatives: dict[str, Json]
    digest: str
    rev: int


def digest(value: Json) -> str:
    """SHA-256 over canonical JSON."""
    return "sha256:" + hashlib.sha256(_canonical.encode(value)).hexdigest()


def compiled(policy: Mapping[str, Json]) -> Pack:
    """The rules of the resolved policy pack `access`. Raises RulesError."""
    return _compiled(_canonical.encode(policy))


@lru_cache(maxsize=8)
def _compiled(text: bytes) -> Pack:
    policy = msgspec.json.decode(text)
    found = [_rule(id_, body) for id_, body in (policy.get("rules") or {}).items()]
    if not found:
        raise RulesError("the access policy has no rules: nothing would ever be permitted")
    found.sort(key=lambda rule: (STAGES.index(rule.stage), rule.id))
    numbers = {name: value for name, value in policy.items() if name not in ("rules", "actors", "alternatives")}
    alternatives = policy.get("alternatives") or {}
    for rule in found:
        for name in rule.offer:
            if name not in alternatives:
                raise RulesError(f"rule {rule.id}: offer: there is no alternative {name!r}")
    return Pack(
        rules=tuple(found), numbers=_floats(numbers), alternatives=alternatives, digest=digest([policy.get("rules"), numbers]),
        rev=int(policy.get("rev") or 0),
    )  # fmt: skip


def _rule(id_: str, body: Json) -> Rule:
    def bad(what: str) -> RulesError:
        return RulesError(f"rule {id_}: {what}")

    if not isinstance(body, Mapping):
        raise bad("is not a mapping")
    unknown = sorted(set(body) - _KEYS)
    if unknown:
        raise bad(f"{unknown[0]!r} is no key of a rule; it has {', '.join(sorted(_KEYS))}")
    stage, otherwise = str(body.get("stage", "")), str(body.get("else", "deny"))
    if stage not in STAGES:
        raise bad(f"stage {stage!r} is none of {', '.join(STAGES)}")
    if otherwise not in EFFECTS:
        raise bad(f"else {otherwise!r} is none of {', '.join(EFFECTS)}")
    if not body.get("says"):
        raise bad("says nothing: a person has to understand it")
    names = dict.fromkeys(NAMES, "object")
    for key in ("when", "require"):
        text = _text(body.get(key, True))
        try:
            kind = expressions.check(text, names)
        except ExpressionError as error:
            raise bad(f"{key}: {error}") from error
        if kind not in ("boolean", "any"):
            raise bad(f"{key}: gives {kind}, not true or false")
    for key in ("says", "fails"):
        try:
            expressions.template_parts(str(body.get(key) or ""))
        except ExpressionError as error:
            raise bad(f"{key}: {error}") from error
    return Rule(
        id=id_, rev=int(body.get("rev") or 1), stage=stage, when=_text(body.get("when", True)),
        require=_text(body.get("require", True)), otherwise=otherwise, seats=tuple(map(str, body.get("seats") or ())),
        permits=body.get("permits") in (True, "true"), says=str(body["says"]), fails=str(body.get("fails") or body["says"]),
        offer=tuple(map(str, body.get("offer") or ())), source=str(body.get("source") or ""),
        verified_on=str(body.get("verified_on") or ""),
    )  # fmt: skip


def _text(value: Json) -> str:
    """YAML may have read `true` as a boolean."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def evaluate(policy: Mapping[str, Json], facts: Facts, *, at: float = 0.0) -> Evaluation:
    """What the rules say about these facts. `at` is only noted. Raises RulesError when the pack can't be used.

    The verdict: deny when any rule denies (or none permits); else needs_info when any asks; else needs_approval when any
    seat is named; else allow_auto. Conditions that need only hold at the start of a session are listed in `holds`.
    """
    pack = compiled(policy)
    env = {name: facts.get(name, {}) for name in NAMES} | {"policy": pack.numbers}
    trace: list[RuleResult] = []
    skipped: list[str] = []
    seats: dict[str, None] = {}
    offered: dict[str, None] = {}
    permitted = False
    for rule in pack.rules:
        result, error = _result(rule, env)
        if result == "skip":
            skipped.append(rule.id)
            continue
        if result in ("ok", "ask"):  # what a permit still asks for is not yet denied
            permitted = permitted or rule.permits
        if result in ("ok", "hold", "note"):
            seats.update(dict.fromkeys(rule.seats))
        if result != "ok" or rule.stage == "minimisation":
            offered.update(dict.fromkeys(rule.offer))
        trace.append(
            RuleResult(
                rule=rule.id, rev=rule.rev, stage=rule.stage, result=result, says=_says(rule, result, env, error),
                fact=_fact(rule, env), seats=rule.seats if result in ("ok", "hold", "note") else (), source=rule.source,
                verified_on=rule.verified_on,
            )
        )  # fmt: skip
    if not permitted:
        trace.append(
            RuleResult(
                rule=NOTHING_PERMITS,
                stage="permit",
                result="deny",
                says="no rule permits this; what nothing permits is denied",
            )
        )
    by = {effect: tuple(one for one in trace if one.result == effect) for effect in ("deny", "error", "ask", "hold")}
    denied = by["deny"] + by["error"]
    if denied:
        verdict, reasons = "deny", denied
    elif by["ask"]:
        verdict, reasons = "needs_info", by["ask"]
    elif seats:
        verdict, reasons = "needs_approval", tuple(one for one in trace if one.seats)
    else:
        verdict, reasons = "allow_auto", ()
    return Evaluation(
        verdict=verdict, reasons=tuple(f"{one.rule} {one.says}" for one in reasons), trace=tuple(trace), skipped=tuple(skipped),
        seats=tuple(seats), holds=tuple(one.rule for one in by["hold"]), alternatives=_alternatives(pack, offered, env),
        pack=pack.digest, pack_rev=pack.rev, facts_digest=digest(dict(facts)), at=at,
    )  # fmt: skip


def _result(rule: Rule, env: Mapping[str, Json]) -> tuple[str, str]:
    """skip, ok, one of the effects, or error: what can't be told denies."""
    try:
        if not _truth(rule.when, env):
            return "skip", ""
        return ("ok" if _truth(rule.require, env) else rule.otherwise), ""
    except ExpressionError as error:
        return "error", str(error)


def _truth(text: str, env: Mapping[str, Json]) -> bool:
    return text == "true" or (text != "false" and Expressions().truth(text, env))


def _says(rule: Rule, result: str, env: Mapping[str, Json], error: str) -> str:
    if result == "error":
        return f"can't be told, so it denies: {error}"[:300]
    try:
        return str(Expressions().value(rule.says if result == "ok" else rule.fails, env))[:300]
    except ExpressionError:
        return rule.id


def _fact(rule: Rule, env: Mapping[str, Json]) -> str:
    """What the rule looked at, as it stood: `actor.mfa_age_s=41`."""
    told: dict[str, None] = {}
    for text in (rule.when, rule.require):
        if text not in ("true", "false"):
            for path in _looked_at(text):
                told[f"{'.'.join(path)}={_short(_at(path, env))}"] = None
    return ", ".join(told)[:_FACT]


@lru_cache(maxsize=2048)
def _looked_at(text: str) -> tuple[tuple[str, ...], ...]:
    expression: Expression = expressions.parse(text)
    if expression.path is not None:
        return (expression.path,)
    return tuple(dict.fromkeys(r.path for r in expression.reading.references if len(r.path) > 1))


def _at(path: tuple[str, ...], env: Mapping[str, Json]) -> Json:
    value: Json = env
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _short(value: Json) -> str:
    if isinstance(value, list | tuple | Mapping) and len(value) >= 8:
        return f"{len(value)} of them"
    return (f"{value:.7g}" if isinstance(value, float) else expressions.render(value))[:60]


def _alternatives(pack: Pack, offered: Mapping[str, None], env: Mapping[str, Json]) -> tuple[Alternative, ...]:
    """What would intrude less, of what the rules offered and what is possible here."""
    found = []
    for name in offered:
        body = pack.alternatives[name]
        try:
            if not _truth(_text(body.get("when", True)), env):
                continue
            says = str(Expressions().value(str(body.get("says", name)), env))
        except ExpressionError:
            continue
        found.append(Alternative(name=name, says=says, changes=dict(body.get("changes") or {})))
    return tuple(found)


def _floats(value: Json) -> Json:
    """Numbers as CEL compares and adds them without surprises: all floats."""
    if isinstance(value, Mapping):
        return {key: _floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_floats(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
