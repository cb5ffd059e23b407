"""Each event as one sentence for a person, with how loud it is: info, notice, warning, alarm.

The words say what happened and to what, never what the code calls it. Text from outside (robots, remote systems,
people's comments) is cut to size here and cleaned by whoever shows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Data = Mapping[str, Any]
_TEXT = 160


def sentence(kind: str, data: Data) -> tuple[str, str]:
    """(text, level) of one event. An event type this engine doesn't know (from a newer one) is named as it is."""
    try:
        known = _SENTENCES.get(kind)
        return known(data) if known else (kind, "info")
    except (KeyError, TypeError, ValueError, AttributeError):
        # a redacted or foreign row must not take the feed down
        return kind, "info"


def is_noise(kind: str) -> bool:
    """Events that are kept in the journal and left out of the Watch feed: machinery, not news."""
    return kind in NOISE


NOISE = frozenset(
    {
        "StepScheduled",
        "StepStarted",
        "TimerArmed",
        "TimerFired",
        "TimerCancelled",
        "EventAwaited",
        "ObservationStarted",
        "ChoiceTaken",
        "ItemStarted",
        "ItemCompleted",
        "MapExpanded",
        "MapConcluded",
        "LockAcquired",
        "LockReleased",
        "StepDeferred",
        "StepLeft",
        "EventRouted",
        "BookkeepingSwept",
    }
)


def _cut(value: Any, limit: int = _TEXT) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


_DIGEST = re.compile(r"\b(sha256:[0-9a-f]{12})[0-9a-f]{52}\b")
_NTH = re.compile(r"(\w+)#(\d+)")


def _said(value: Any) -> str:
    """What somebody or something gave as a reason: cut to size, its digests to what tells them apart."""
    return _cut(_DIGEST.sub("\\1\u2026", str(value)))


def _words(name: Any) -> str:
    """A name of the definition, as people say it: `worked_on` is `worked on`."""
    return _cut(str(name).replace("_", " "))


def _path(data: Data) -> str:
    """The step, and which one of many it was done for: `stages#1` and `stages.health` are `stage 2: health`."""
    scope, step = str(data.get("scope", "")), str(data.get("step", ""))
    of = ", ".join(f"{_one_of(block)} {int(number) + 1}" for block, number in _NTH.findall(scope)[-2:])
    return f"{of}: {_last(step)}" if of else _last(step)


def _last(step: Any) -> str:
    """A step without the blocks it stands in; these are said before it, or known from where it goes on."""
    return _words(str(step).rpartition(".")[2])


def _placed(path: Any) -> str:
    """The same for a path in one word: `clusters#0.adjudicate`."""
    scope, _, step = str(path).rpartition(".")
    return _path({"scope": scope, "step": step})


def _one_of(block: str) -> str:
    if block == "each":
        return "item"
    return _words(block) if "_" in block else block.removesuffix("s")


def _why(data: Data) -> str:
    failure = data.get("failure") or {}
    message = failure.get("message") or ""
    return _said(f"{failure.get('error', 'error')}: {message}" if message else failure.get("error", "error"))


def _attempt(data: Data) -> str:
    """The first attempt needs no number, a wait has none, and samples that were taken are no attempts that failed."""
    sampled = (data.get("failure") or {}).get("error") in ("Unsure", "Fail")
    attempt = 0 if sampled else int(data.get("attempt") or 0)
    return f" on attempt {attempt}" if attempt > 1 else ""


def _because(data: Data, key: str = "reason") -> str:
    return f": {_said(data[key])}" if data.get(key) else ""


def _by(data: Data, key: str = "by") -> str:
    """Who it was, when it was not the engine itself."""
    who = _cut(data.get(key) or "", 60)
    kind, _, name = who.partition(":")
    if kind == "trigger":
        return f" by {_rule(name)}"
    if who in ("", "engine"):
        return ""
    return f" by {name}" if kind == "run" and name else f" by {who}"


_TOLD = {
    "access.breakglass": "glass broken for access",
    "artifact.eligible": "may be rolled out",
    "canary.regression": "canary is worse",
    "case.knownerror": "known error",
    "case.onhold": "put on hold",
    "case.stranded": "nobody watches it",
    "correction.effect.notfixed": "effect: not fixed",
    "correction.handedover": "handed over",
    "correction.lost": "recording lost",
    "correction.safety": "goes to safety",
    "incident.breakglass": "glass broken",
    "incident.sighting": "seen again",
    "intervention.spike": "people take over more often than they should",
    "problem.knownerror": "known error",
    "robot.reidentified": "has another identity",
    "robot.update.timedout": "update timed out",
    "rollout.rolledback": "rolled back",
    "rollout.stage.inconclusive": "stage inconclusive",
    "sync.completed": "was read",
    "sync.recovered": "is read again, everything caught up",
    "sync.stale": "is STALE: its owner can't be read",
    "update.drift": "runs something else than it should",
}
"""What follows the subject, where the parts of an event's name don't say it themselves."""
_NOUNS = {
    "access": "access",
    "canary": "rollout",
    "eval": "evaluation",
    "evalpack": "evaluation pack",
    "followup": "follow-up",
    "intervention": "interventions",
    "remote": "",
    "rule": "standing rule",
    "sync": "system",
    "teleop": "teleoperation",
    "update": "robot",
}


def told(name: Any, subject: Any = "") -> str:
    """An event's name as a person says it, about its subject: `qd.case.escalated` of M-1 is `case M-1 escalated`."""
    bare = str(name).removeprefix("qd.")
    noun, _, rest = bare.partition(".")
    noun = _NOUNS.get(noun, noun).replace("_", " ")
    what = _TOLD.get(bare) or rest.replace(".", " ").replace("_", " ")
    about = " ".join(part for part in (noun, _cut(subject or "", 60)) if part)
    return _cut(f"{about}: {what}" if " " in what else f"{about} {what}".strip())


def _rule(trigger: Any) -> str:
    """What a rule waits for: an event, or a time; its own name (`workflow:event`) and `event ...` say the same."""
    text = str(trigger)
    event = re.search(r"\bqd\.[\w.]+", text)
    return f"the rule on {told(event[0])}" if event else f"the rule {_cut(text, 60)}"


def _run_started(d: Data) -> tuple[str, str]:
    cause = f", by {_rule(d['trigger'])}" if d.get("trigger") else ""
    return f"{_words(d['workflow']).replace('-', ' ')} started{'' if cause else _by(d)}{cause}", "notice"


def _step_completed(d: Data) -> tuple[str, str]:
    undone = d.get("undo") is not None
    return (f"{_path(d)} undone", "notice") if undone else (f"{_path(d)} done", "info")


def _step_failed(d: Data) -> tuple[str, str]:
    what = "undoing " if d.get("undo") is not None else ""
    return f"{what}{_path(d)} failed{_attempt(d)}: {_why(d)}", "warning"


def _gate_opened(d: Data) -> tuple[str, str]:
    if d.get("escalation"):
        return f"{_path(d)} needs a decision: {_cut(d['question'])}", "alarm"
    return f"asks: {_cut(d['question'])}", "warning"


def _vote_cast(d: Data) -> tuple[str, str]:
    for_whom = f" for {d['on_behalf_of']}" if d.get("on_behalf_of") else ""
    return f"{d['person']} voted {d['answer']}{for_whom} on {_path(d)}{_because(d, 'rationale')}", "notice"


def _sample_judged(d: Data) -> tuple[str, str]:
    level = {"fail": "alarm", "error": "warning"}.get(d["verdict"], "info")
    return f"{_path(d)} sample {d.get('number', 0)}: {d['verdict']}", level


def _observation_concluded(d: Data) -> tuple[str, str]:
    word = {"pass": "passed", "fail": "FAILED", "unsure": "is inconclusive", "no_data": "has no data"}[d["verdict"]]
    level = {"pass": "notice", "fail": "alarm"}.get(d["verdict"], "warning")
    samples = int(d.get("samples") or 0)
    return f"{_path(d)} {word} after {samples} sample{'s' * (samples != 1)}{_because(d)}", level


def _event_received(d: Data) -> tuple[str, str]:
    taken = d.get("taken_by") or ()
    effect = f": {', '.join(_placed(step) for step in taken[:3])} goes on" if taken else ": nothing waited for it"
    return f"heard {told(d['event'])}{_by(d)}{effect}", "notice" if taken else "info"


def _emitted(d: Data) -> tuple[str, str]:
    name = str(d["event"])
    loud = any(word in name for word in ("regression", "failed", "paused", "aborted", "incomplete", "drift"))
    return told(name, d.get("subject")), "alarm" if "regression" in name else "warning" if loud else "notice"


def _compensated(d: Data) -> tuple[str, str]:
    undone, failed = len(d.get("undone") or ()), d.get("failed") or ()
    steps = f"{undone} step{'s' * (undone != 1)}"
    if failed:
        return f"undid {steps}, could not undo {', '.join(map(_words, failed))}", "alarm"
    return f"undid {steps}", "notice"


def _child_ended(d: Data) -> tuple[str, str]:
    return f"its run {d['child']} {d['status']}", "info" if d["status"] == "completed" else "warning"


def _lock_waited(d: Data) -> tuple[str, str]:
    holders = d.get("holders") or ()
    if not holders:
        return f"asks for {_cut(d['key'])}", "info"
    return f"waits for {_cut(d['key'])}, held by {', '.join(map(str, holders))}", "notice"


def _published(d: Data) -> tuple[str, str]:
    subject, event = d.get("subject"), str(d["event"])
    if event.startswith("qd.sync."):
        subject = f"{subject} {_words((d.get('data') or {}).get('kind', ''))}"
    text, level = _emitted({"event": event, "subject": subject})
    return text, "warning" if event == "qd.sync.stale" else level


def _routed(d: Data) -> tuple[str, str]:
    said = [f"{o['outcome']} {o.get('run') or ''} by {_cut(o['rule'], 80)}".replace("  ", " ") for o in d["outcomes"]]
    limited = any("its limit is" in str(o.get("reason", "")) for o in d["outcomes"])
    return f"{told(d['name'])}: {_cut(', '.join(said))}", "warning" if limited else "info"


def _skipped(d: Data) -> tuple[str, str]:
    """A person's skip is news; a step whose condition did not hold is how it was written."""
    return f"{_path(d)} skipped{_by(d)}{_because(d)}", "notice" if d.get("by") else "info"


def _plain(text: Callable[[Data], str], level: str = "info") -> Callable[[Data], tuple[str, str]]:
    return lambda d: (text(d), level)


def _fallback(data: Data) -> tuple[str, str]:
    """Running out of time is often how a clock is written: it is said as such, and is no alarm by itself."""
    if (data.get("failure") or {}).get("error") == "Timeout":
        return f"time is up at {_path(data)}: on to {_last(data['goto'])}", "info"
    return f"{_path(data)} failed ({_why(data)}), went on with {_last(data['goto'])}", "warning"


def _record_changed(data: Data) -> tuple[str, str]:
    """A new record by its title; a move by both states; what else changed by its reason, else by the fields' names."""
    kind, id, is_ = _words(data["kind"]), _cut(data["id"], 60), _words(data["to"])
    was, fields = _words(data.get("from", "")), data.get("set") or {}
    reason = _because(data)
    if not was:
        title = fields.get("title", "")
        return f"{kind} {id} {is_}" + (f": {_said(title)}" if title and title != data["id"] else reason), "notice"
    if was != is_:
        return f"{kind} {id} {was} \u2192 {is_}{reason}", "notice"
    names = sorted(fields)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{kind} {id}" + (reason or f": {', '.join(map(_words, names[:3]))}{more} noted"), "info"


_ANSWERED = {"approve": "approved", "reject": "rejected"}
_SENTENCES: dict[str, Callable[[Data], tuple[str, str]]] = {
    "RunStarted": _run_started,
    "LockWaited": _lock_waited,
    "LockAcquired": _plain(lambda d: f"holds {_cut(d['key'])}"),
    "LockReleased": _plain(lambda d: f"gave back {_cut(d['key'])}"),
    "WindowHeld": _plain(lambda d: f"{_path(d)} is held by window {d['window']}", "notice"),
    "WindowOverridden": _plain(lambda d: f"window overridden for {_path(d)}{_by(d)}{_because(d)}", "warning"),
    "StepScheduled": _plain(lambda d: f"{_path(d)} scheduled ({d['action']}, attempt {d['attempt']})"),
    "StepStarted": _plain(lambda d: f"{_path(d)} started"),
    "StepCompleted": _step_completed,
    "StepFailed": _step_failed,
    "StepTimedOut": _plain(lambda d: f"{_path(d)} timed out{_attempt(d)}", "warning"),
    "StepInDoubt": _plain(lambda d: f"{_path(d)} was sent and not answered: reading back ({_why(d)})", "warning"),
    "StepRetryScheduled": _plain(lambda d: f"{_path(d)} will be tried again (attempt {d['attempt']})"),
    "StepDeferred": _plain(lambda d: f"{_path(d)} waits for its target: {_cut(d['reason'])}"),
    "StepSkipped": _skipped,
    "StepCancelled": _plain(lambda d: f"{_path(d)} cancelled{_because(d)}", "notice"),
    "StepCancelRequested": _plain(lambda d: f"{_path(d)} is asked to stop; its answer is waited for"),
    "StepLeft": _plain(lambda d: f"{_path(d)} left for {_last(d['goto'])}"),
    "CompensationFailed": _plain(lambda d: f"{_path(d)} could not be undone: {_why(d)}", "alarm"),
    "ItemCancelled": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} stopped", "notice"),
    "ResultRefused": _plain(lambda d: f"a late answer for {_path(d)} was refused{_because(d)}", "warning"),
    "FallbackTaken": _fallback,
    "ErrorRaised": _plain(lambda d: f"{_path(d)} ends with {_why(d)}", "warning"),
    "ChoiceTaken": _plain(lambda d: f"{_path(d)}: on to {_last(d['goto'])}"),
    "Emitted": _emitted,
    "GateOpened": _gate_opened,
    "EvidenceChanged": _plain(lambda d: f"the evidence of {_path(d)} changed: earlier votes are void", "warning"),
    "VoteCast": _vote_cast,
    "VoteChanged": _vote_cast,
    "VoteAbstained": _plain(lambda d: f"{d['person']} abstains on {_path(d)}{_because(d)}", "notice"),
    "VoteWithdrawn": _plain(lambda d: f"{d['person']} took back the vote on {_path(d)}", "notice"),
    "VoteRefused": _plain(
        lambda d: f"the vote of {d['person']} on {_path(d) or d['gate']} was refused: {_cut(d['reason'])}", "warning"
    ),
    "DelegationGranted": _plain(lambda d: f"{d['giver']} let {d['to']} vote on {_path(d)}", "notice"),
    "GateClaimed": _plain(lambda d: f"{d['person']} looks at {_path(d)}"),
    "InfoRequested": _plain(lambda d: f"{d['person']} asks on {_path(d)}: {_cut(d['question'])}", "notice"),
    "ReminderSent": _plain(lambda d: f"reminder: {_path(d)} still waits", "notice"),
    "GateEscalated": _plain(lambda d: f"{_path(d)} escalated to {d['role']}", "alarm"),
    "GatePassed": _plain(lambda d: f"{_path(d)}: {_ANSWERED.get(d['answer'], _words(d['answer']))}", "notice"),
    "GateRejected": _plain(lambda d: f"{_path(d)} rejected{_by(d)}{_because(d, 'rationale')}", "warning"),
    "GateExpired": _plain(lambda d: f"{_path(d)} expired unanswered", "warning"),
    "GateWithdrawn": _plain(lambda d: f"the question of {_path(d)} no longer stands{_because(d)}"),
    "TimerArmed": _plain(lambda d: f"{_path(d)} set a timer ({d['purpose']})"),
    "TimerFired": _plain(lambda d: f"{_path(d)} timer fired ({d['purpose']})"),
    "TimerCancelled": _plain(lambda d: f"{_path(d)} timer dropped ({d['purpose']})"),
    "EventAwaited": _plain(lambda d: f"{_path(d)} waits to hear: {told(d['event'])}"),
    "EventReceived": _event_received,
    "InterruptTaken": _plain(
        lambda d: f"{told(d['event'])}: left {_path(d)} for {_last(d.get('goto') or d.get('raise_'))}", "warning"
    ),
    "ObservationStarted": _plain(lambda d: f"{_path(d)} observes"),
    "SampleJudged": _sample_judged,
    "ObservationConcluded": _observation_concluded,
    "MapExpanded": _plain(lambda d: f"{_path(d)} has {len(d['items'])} items, {d['parallel']} at a time"),
    "ItemStarted": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} started"),
    "ItemCompleted": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} done"),
    "ItemFailed": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} failed: {_why(d)}", "warning"),
    "MapConcluded": _plain(lambda d: f"{_path(d)}: {d['completed']} done, {d['failed']} failed"),
    "ChildStarted": _plain(lambda d: f"started {d['child']}, {_words(d['workflow']).replace('-', ' ')}"),
    "ChildEnded": _child_ended,
    "CompensationStarted": _plain(
        lambda d: f"undoing {len(d['steps'])} step{'s' * (len(d['steps']) != 1)} after {_why({'failure': d['cause']})}",
        "warning",
    ),
    "CompensationConcluded": _compensated,
    "CommentAdded": _plain(lambda d: f"{d['by']}: {_cut(d['text'])}"),
    "RunSuspended": _plain(lambda d: f"the run is suspended{_by(d)}{_because(d)}", "warning"),
    "RunResumed": _plain(lambda d: f"the run goes on{_by(d)}", "notice"),
    "RunCancelRequested": _plain(lambda d: f"cancel asked for{_by(d)}{_because(d)}", "warning"),
    "RunMigrated": _plain(lambda d: f"moved to definition {str(d['digest'])[:12]}{_by(d)}{_because(d)}", "notice"),
    "RunRedriven": _plain(lambda d: f"goes on from {_last(d['step'])}{_by(d)}{_because(d)}", "notice"),
    "CommandRefused": _plain(lambda d: f"{d['verb']}{_by(d)} refused: {_cut(d['reason'])}", "warning"),
    "PolicyAsked": _plain(lambda d: f"{d['system']} allows {d['verb']}{_by(d)} ({d['path']})"),
    "RunCompleted": _plain(lambda d: f"the run ended: {_words(d.get('ending') or 'completed')}", "notice"),
    "RunFailed": _plain(lambda d: f"the run failed: {_why(d)}", "alarm"),
    "RunCancelled": _plain(lambda d: f"the run was cancelled{_by(d)}{_because(d)}", "warning"),
    "RunTerminated": _plain(lambda d: f"the run was terminated{_by(d)}{_because(d)}", "warning"),
    "EngineStarted": _plain(lambda d: f"the engine started (epoch {d.get('epoch', '?')})", "notice"),
    "EngineStopped": _plain(lambda d: "the engine stopped", "notice"),
    "WorkflowRegistered": _plain(lambda d: f"{d['workflow']} version {d['version']} is registered", "notice"),
    "EventPublished": _published,
    "EventRouted": _routed,
    "EventNotTaken": _plain(lambda d: f"the {d['sink']} did not take {told(d['event'])}{_because(d)}", "warning"),
    "BookkeepingSwept": _plain(
        lambda d: "swept old bookkeeping: " + ", ".join(f"{n} {table}" for table, n in d["rows"].items())
    ),
    "TriggerFailed": _plain(lambda d: f"the rule {_cut(d['trigger'], 80)} failed on an event{_because(d)}", "alarm"),
    "RecordChanged": _record_changed,
    "SecretStored": _plain(lambda d: f"the secret {_cut(d['entry'], 60)} was stored{_by(d)}", "notice"),
    "SecretDeleted": _plain(lambda d: f"the secret {_cut(d['entry'], 60)} was deleted{_by(d)}", "notice"),
    "PayloadRedacted": _plain(lambda d: f"the payload of event {d['seq']} was redacted{_because(d)}", "warning"),
    "RunTimedOut": _plain(lambda d: "the run ran out of time", "alarm"),
}
