"""What came in by webhook and what went out to people, as lines of parts."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.hooks import DeliveryView, HookSourceView, HooksView
from engine.contract.notices import NoticeView
from engine.contract.records import EvidenceText
from screens import chrome
from screens.model import age, coarse
from screens.widgets.parts import Part
from screens.widgets.rows import Cells

Line = list[Part]
SHOWN = 4_000
STATE: dict[str, Part] = {
    "quarantined": ("! waits", "caution"),
    "taken": ("\u2713 taken", "muted"),
    "discarded": ("\u00b7 discarded", "muted"),
    "waiting": ("\u00b7 waits", "muted"),
    "sending": ("\u25b8 sending", ""),
    "told": ("\u2713 told", ""),
    "doubtful": ("? doubtful", "caution"),
    "failed": ("\u2717 failed", "alarm"),
    "over": ("\u00b7 over", "muted"),
}
BAD = {"critical": "alarm", "warning": "caution"}


def delivery_cells(one: DeliveryView, now: float) -> Cells:
    times: Part = f"\u00d7{one.times}" if one.times > 1 else ""
    return (
        one.id,
        one.source,
        STATE.get(one.state, one.state),
        one.reason,
        times,
        (coarse(max(0.0, now - one.received_at)), "muted"),
    )


def source_cells(one: HookSourceView, now: float) -> Cells:
    last: Part = coarse(max(0.0, now - one.last_at)) if one.last_at else ("never", "muted")
    said: Part = (one.trouble, "caution") if one.trouble else (one.proof, "muted")
    return (one.name, last, f"{one.taken:,}", f"{one.waiting:,}" if one.waiting else "", strangers(one), said)


def strangers(one: HookSourceView) -> Part:
    return (f"{one.unproven:,}", "caution") if one.unproven else ("0", "muted")


def message_cells(one: NoticeView, now: float) -> Cells:
    title: Part = (one.title, BAD[one.severity]) if one.severity == "critical" else one.title
    return (
        STATE.get(one.state, one.state),
        one.channel,
        title,
        one.gate or ("\u2014", "muted"),
        (coarse(max(0.0, now - (one.told_at or one.created_at))), "muted"),
    )


def verdict(hooks: HooksView, aside: Sequence[DeliveryView], messages: Sequence[NoticeView]) -> Line:
    """One sentence: what comes in, what waits for somebody, what did not arrive."""
    if not hooks.address:
        said: Line = [("No webhook comes in", "strong"), (f": {hooks.why}", "muted")]
    else:
        count = len(hooks.sources)
        said = [f"{count} source{'s' * (count != 1)} may tell at ", (hooks.address, "strong")]
    waiting = sum(one.state == "quarantined" for one in aside)
    if waiting:
        said += [", ", (f"! {waiting} can't be read", "caution")]
    failed = sum(one.state == "failed" for one in messages)
    doubtful = sum(one.state == "doubtful" for one in messages)
    if failed:
        said += [", ", (f"\u2717 {failed} message{'s' * (failed != 1)} told nobody", "alarm")]
    if doubtful:
        said += [", ", (f"? {doubtful} doubtful", "caution")]
    return [*said, "."]


def delivery_page(one: DeliveryView, text: EvidenceText | None, now: float) -> list[Line]:
    """Why it could not be read, and what it says."""
    lines: list[Line] = [
        [(one.id, "strong"), "  ", STATE.get(one.state, one.state)],
        [("from     ", "muted"), one.source],
        [("came     ", "muted"), f"{chrome.at(one.received_at, now)}Z", (f"   {one.size_b:,} bytes", "muted")],
        [("why      ", "muted"), (one.reason, "caution") if one.state == "quarantined" else one.reason],
    ]
    if one.times > 1:
        lines.append([("again    ", "muted"), f"the same bytes came {one.times} times"])
    if one.events:
        lines.append([("told     ", "muted"), ", ".join(one.events)])
    lines += [[], [("What it says", "strong"), ("  (nothing of it is believed)", "muted")]]
    if text is None:
        lines.append([("Loading \u2026", "muted")])
    elif not text.text:
        lines.append([(f"{text.size_b:,} bytes of {text.media}, no text", "muted")])
    else:
        lines += [[line] for line in text.text[:SHOWN].splitlines()[:80]]
        if text.cut or len(text.text) > SHOWN:
            lines.append([("\u2026 the rest stands in the vault", "muted")])
    lines += [[], [("It came with", "strong")]]
    lines += [[(f"{name}: ", "muted"), value] for name, value in one.headers.items()]
    lines += [[], [(one.digest, "muted")]]
    return lines


def source_page(one: HookSourceView, address: str, now: float) -> list[Line]:
    lines: list[Line] = [
        [(one.name, "strong"), (f"  {one.kind}" if one.kind else "  from quarterdeck.yaml", "muted")],
        [("posts to ", "muted"), f"{address or '(nothing listens)'}{one.url}"],
        [("proof    ", "muted"), one.proof],
    ]
    if one.replay_window_s:
        lines.append([("good for ", "muted"), f"{age(one.replay_window_s)} after it was signed"])
    if one.trouble:
        lines.append([("trouble  ", "muted"), (one.trouble, "caution")])
    told = f"{one.taken:,} events, {one.repeated:,} came again, {one.quarantined:,} kept aside"
    lines.append([("so far   ", "muted"), told + (f", {one.slowed:,} slowed down" if one.slowed else "")])
    last = f"{chrome.at(one.last_at, now)}Z" if one.last_at else "never since the engine started"
    lines.append([("last     ", "muted"), last])
    unproven: Part = (f"{one.unproven:,}", "caution") if one.unproven else "none"
    line: Line = [("unproven ", "muted"), unproven]
    if one.unproven_at:
        line.append((f"   last {chrome.at(one.unproven_at, now)}Z", "muted"))
    return [*lines, line]


def message_page(one: NoticeView, now: float) -> list[Line]:
    lines: list[Line] = [
        [(one.id, "strong"), "  ", STATE.get(one.state, one.state), ("  to ", "muted"), one.channel],
        [("how bad  ", "muted"), (one.severity, BAD[one.severity]) if one.severity in BAD else one.severity],
        [
            ("when     ", "muted"),
            f"{chrome.at(one.told_at or one.created_at, now)}Z",
            (f"   {one.tries} tries", "muted"),
        ],
        [("because  ", "muted"), one.event or "\u2014"],
    ]
    if one.error:
        lines.append([("why not  ", "muted"), (one.error, "alarm" if one.state == "failed" else "caution")])
    if one.state == "doubtful":
        lines.append([("nobody knows whether it arrived; it is not sent again", "caution")])
    lines += [[], [(one.title, "strong")]]
    lines += [[line] for line in one.text.splitlines()[:30]]
    return [*lines, [], [(one.link, "key")]]
