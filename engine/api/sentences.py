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
    return kind in _NOISE


_NOISE = frozenset(
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


_EACH = re.compile(r"(\b(\w+)#\d+)\.\2(?=\.|$)")
"""A step that is done for each of something names its block twice: `stages#1.stages.health`; people read `stages#1.health`."""


def _path(data: Data) -> str:
    scope, step = data.get("scope", ""), data.get("step", "")
    return _EACH.sub(r"\1", f"{scope}.{step}" if scope else str(step))


def _why(data: Data) -> str:
    failure = data.get("failure") or {}
    message = failure.get("message") or ""
    return _cut(f"{failure.get('error', 'error')}: {message}" if message else failure.get("error", "error"))


def _because(data: Data, key: str = "reason") -> str:
    return f": {_cut(data[key])}" if data.get(key) else ""


def _by(data: Data, key: str = "by") -> str:
    return f" by {_cut(data[key], 60)}" if data.get(key) else ""


def _run_started(d: Data) -> tuple[str, str]:
    cause = f" (trigger {_cut(d['trigger'], 60)})" if d.get("trigger") else ""
    return f"{d['workflow']} started{_by(d)}{cause}", "notice"


def _step_completed(d: Data) -> tuple[str, str]:
    undone = d.get("undo") is not None
    return (f"{_path(d)} undone", "notice") if undone else (f"{_path(d)} done", "info")


def _step_failed(d: Data) -> tuple[str, str]:
    what = "undoing " if d.get("undo") is not None else ""
    return f"{what}{_path(d)} failed on attempt {d.get('attempt', 1)}: {_why(d)}", "warning"


def _gate_opened(d: Data) -> tuple[str, str]:
    if d.get("escalation"):
        return f"{_path(d)} needs a decision: {_cut(d['question'])}", "alarm"
    return f"asks: {_cut(d['question'])}", "warning"


def _vote_cast(d: Data) -> tuple[str, str]:
    for_whom = f" for {d['on_behalf_of']}" if d.get("on_behalf_of") else ""
    why = f": {_cut(d['rationale'])}" if d.get("rationale") else ""
    return f"{d['person']} voted {d['answer']}{for_whom} on {_path(d)}{why}", "notice"


def _sample_judged(d: Data) -> tuple[str, str]:
    level = {"fail": "alarm", "error": "warning"}.get(d["verdict"], "info")
    return f"{_path(d)} sample {d.get('number', 0)}: {d['verdict']}", level


def _observation_concluded(d: Data) -> tuple[str, str]:
    word = {"pass": "passed", "fail": "FAILED", "unsure": "is inconclusive", "no_data": "has no data"}[d["verdict"]]
    level = {"pass": "notice", "fail": "alarm"}.get(d["verdict"], "warning")
    return f"{_path(d)} {word} after {d.get('samples', 0)} samples{_because(d)}", level


def _event_received(d: Data) -> tuple[str, str]:
    taken = d.get("taken_by") or ()
    effect = f", moved {', '.join(map(str, taken[:3]))}" if taken else ", nothing waited for it"
    return f"{d['event']}{_by(d)}{effect}", "notice"


def _emitted(d: Data) -> tuple[str, str]:
    name = str(d["event"])
    loud = any(word in name for word in ("regression", "failed", "paused", "aborted", "incomplete", "drift"))
    subject = f" ({_cut(d['subject'], 60)})" if d.get("subject") else ""
    return f"{name}{subject}", "alarm" if "regression" in name else "warning" if loud else "notice"


def _compensated(d: Data) -> tuple[str, str]:
    undone, failed = len(d.get("undone") or ()), d.get("failed") or ()
    if failed:
        return f"undid {undone} steps, could not undo {', '.join(map(str, failed))}", "alarm"
    return f"undid {undone} steps", "notice"


def _child_ended(d: Data) -> tuple[str, str]:
    return f"child {d['child']} {d['status']}", "info" if d["status"] == "completed" else "warning"


def _lock_waited(d: Data) -> tuple[str, str]:
    holders = d.get("holders") or ()
    if not holders:
        return f"asks for {_cut(d['key'])}", "info"
    return f"waits for {_cut(d['key'])}, held by {', '.join(map(str, holders))}", "notice"


def _published(d: Data) -> tuple[str, str]:
    return _emitted({"event": d["event"], "subject": d.get("subject")})


def _routed(d: Data) -> tuple[str, str]:
    said = [f"{o['outcome']} {o.get('run') or ''} by {_cut(o['rule'], 80)}".replace("  ", " ") for o in d["outcomes"]]
    limited = any("its limit is" in str(o.get("reason", "")) for o in d["outcomes"])
    return f"{d['name']}: {_cut(', '.join(said))}", "warning" if limited else "info"


def _plain(text: Callable[[Data], str], level: str = "info") -> Callable[[Data], tuple[str, str]]:
    return lambda d: (text(d), level)


def _fallback(data: Data) -> tuple[str, str]:
    """Running out of time is often how a clock is written: it is said as such, and is no alarm by itself."""
    if (data.get("failure") or {}).get("error") == "Timeout":
        return f"{_path(data)}: its time is up, on to {data['goto']}", "info"
    return f"{_path(data)} failed ({_why(data)}), went on with {data['goto']}", "warning"


def _record_changed(data: Data) -> tuple[str, str]:
    """A new record by its title; a move by both states; a field by its name."""
    kind = str(data["kind"]).replace("_", " ")
    was, is_, fields = str(data.get("from", "")), str(data["to"]), data.get("set") or {}
    reason = f": {_cut(data['reason'])}" if data.get("reason") else ""
    if not was:
        title = fields.get("title", "")
        return f"{kind} {data['id']} {is_}" + (f": {_cut(title)}" if title else reason), "notice"
    if was != is_:
        return f"{kind} {data['id']} {was.replace('_', ' ')} \u2192 {is_.replace('_', ' ')}{reason}", "notice"
    return f"{kind} {data['id']}: {', '.join(sorted(fields)[:4])}{reason}", "info"


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
    "StepTimedOut": _plain(lambda d: f"{_path(d)} timed out on attempt {d.get('attempt', 1)}", "warning"),
    "StepInDoubt": _plain(lambda d: f"{_path(d)} was sent and not answered: reading back ({_why(d)})", "warning"),
    "StepRetryScheduled": _plain(lambda d: f"{_path(d)} will be tried again (attempt {d['attempt']})"),
    "StepDeferred": _plain(lambda d: f"{_path(d)} waits for its target: {_cut(d['reason'])}"),
    "StepSkipped": _plain(lambda d: f"{_path(d)} skipped{_by(d)}{_because(d)}", "notice"),
    "StepCancelled": _plain(lambda d: f"{_path(d)} cancelled{_because(d)}", "notice"),
    "StepCancelRequested": _plain(lambda d: f"{_path(d)} is asked to stop; its answer is waited for"),
    "StepLeft": _plain(lambda d: f"{_path(d)} left for {d['goto']}"),
    "CompensationFailed": _plain(lambda d: f"{_path(d)} could not be undone: {_why(d)}", "alarm"),
    "ItemCancelled": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} stopped", "notice"),
    "ResultRefused": _plain(lambda d: f"a late answer for {_path(d)} was refused{_because(d)}", "warning"),
    "FallbackTaken": _fallback,
    "ErrorRaised": _plain(lambda d: f"{_path(d)} ends with {_why(d)}", "warning"),
    "ChoiceTaken": _plain(lambda d: f"{_path(d)} chose {d['goto']}"),
    "Emitted": _emitted,
    "GateOpened": _gate_opened,
    "EvidenceChanged": _plain(lambda d: f"the evidence of {_path(d)} changed: earlier votes are void", "warning"),
    "VoteCast": _vote_cast,
    "VoteChanged": _vote_cast,
    "VoteWithdrawn": _plain(lambda d: f"{d['person']} took back the vote on {_path(d)}", "notice"),
    "VoteRefused": _plain(
        lambda d: f"the vote of {d['person']} on {_path(d) or d['gate']} was refused: {_cut(d['reason'])}", "warning"
    ),
    "DelegationGranted": _plain(lambda d: f"{d['giver']} let {d['to']} vote on {_path(d)}", "notice"),
    "GateClaimed": _plain(lambda d: f"{d['person']} looks at {_path(d)}"),
    "InfoRequested": _plain(lambda d: f"{d['person']} asks on {_path(d)}: {_cut(d['question'])}", "notice"),
    "ReminderSent": _plain(lambda d: f"reminder: {_path(d)} still waits", "notice"),
    "GateEscalated": _plain(lambda d: f"{_path(d)} escalated to {d['role']}", "alarm"),
    "GatePassed": _plain(lambda d: f"{_path(d)} decided: {d['answer']}", "notice"),
    "GateRejected": _plain(lambda d: f"{_path(d)} rejected{_by(d)}{_because(d, 'rationale')}", "warning"),
    "GateExpired": _plain(lambda d: f"{_path(d)} expired unanswered", "warning"),
    "GateWithdrawn": _plain(lambda d: f"the question of {_path(d)} no longer stands{_because(d)}"),
    "TimerArmed": _plain(lambda d: f"{_path(d)} set a timer ({d['purpose']})"),
    "TimerFired": _plain(lambda d: f"{_path(d)} timer fired ({d['purpose']})"),
    "TimerCancelled": _plain(lambda d: f"{_path(d)} timer dropped ({d['purpose']})"),
    "EventAwaited": _plain(lambda d: f"{_path(d)} waits for {_cut(d['event'])}"),
    "EventReceived": _event_received,
    "InterruptTaken": _plain(
        lambda d: f"{d['event']} took {_path(d)} to {d.get('goto') or d.get('raise_')}", "warning"
    ),
    "ObservationStarted": _plain(lambda d: f"{_path(d)} observes"),
    "SampleJudged": _sample_judged,
    "ObservationConcluded": _observation_concluded,
    "MapExpanded": _plain(lambda d: f"{_path(d)} has {len(d['items'])} items, {d['parallel']} at a time"),
    "ItemStarted": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} started"),
    "ItemCompleted": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} done"),
    "ItemFailed": _plain(lambda d: f"{_path(d)} item {d['index'] + 1} failed: {_why(d)}", "warning"),
    "MapConcluded": _plain(lambda d: f"{_path(d)}: {d['completed']} done, {d['failed']} failed"),
    "ChildStarted": _plain(lambda d: f"started child {d['child']} ({d['workflow']})"),
    "ChildEnded": _child_ended,
    "CompensationStarted": _plain(
        lambda d: f"undoing {len(d['steps'])} steps after {_why({'failure': d['cause']})}", "warning"
    ),
    "CompensationConcluded": _compensated,
    "CommentAdded": _plain(lambda d: f"{d['by']}: {_cut(d['text'])}"),
    "RunSuspended": _plain(lambda d: f"suspended{_by(d)}{_because(d)}", "warning"),
    "RunResumed": _plain(lambda d: f"resumed{_by(d)}", "notice"),
    "RunCancelRequested": _plain(lambda d: f"cancel asked for{_by(d)}{_because(d)}", "warning"),
    "RunMigrated": _plain(lambda d: f"moved to definition {str(d['digest'])[:12]}{_by(d)}{_because(d)}", "notice"),
    "RunRedriven": _plain(lambda d: f"goes on from {d['step']}{_by(d)}{_because(d)}", "notice"),
    "CommandRefused": _plain(lambda d: f"{d['verb']}{_by(d)} refused: {_cut(d['reason'])}", "warning"),
    "RunCompleted": _plain(lambda d: f"ended: {d.get('ending', 'completed')}", "notice"),
    "RunFailed": _plain(lambda d: f"failed: {_why(d)}", "alarm"),
    "RunCancelled": _plain(lambda d: f"cancelled{_by(d)}{_because(d)}", "warning"),
    "RunTerminated": _plain(lambda d: f"terminated{_by(d)}{_because(d)}", "warning"),
    "EngineStarted": _plain(lambda d: f"the engine started (epoch {d.get('epoch', '?')})", "notice"),
    "EngineStopped": _plain(lambda d: "the engine stopped", "notice"),
    "WorkflowRegistered": _plain(lambda d: f"{d['workflow']} version {d['version']} is registered", "notice"),
    "EventPublished": _published,
    "EventRouted": _routed,
    "EventNotTaken": _plain(lambda d: f"event {d['event']} was refused by the {d['sink']}{_because(d)}", "warning"),
    "BookkeepingSwept": _plain(
        lambda d: "swept old bookkeeping: " + ", ".join(f"{n} {table}" for table, n in d["rows"].items())
    ),
    "TriggerFailed": _plain(lambda d: f"the rule {_cut(d['trigger'], 80)} failed on an event{_because(d)}", "alarm"),
    "RecordChanged": _record_changed,
    "PayloadRedacted": _plain(lambda d: f"the payload of event {d['seq']} was redacted{_because(d)}", "warning"),
    "RunTimedOut": _plain(lambda d: "ran out of time", "alarm"),
}
