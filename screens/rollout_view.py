"""The rollout screen as lines (domain notes, section 6): what is known, against what denominator, and what a key would do.

Pure: a `RolloutDetail`, the engine's time and a width in; lines out. Robots that executed are the only denominator;
what can't be known is said, not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.contract.rollouts import RobotUpdate, RolloutDetail, SignalRow, StageView, Verdict
from screens import figures, layout, plots
from screens.layout import Line
from screens.model import age
from screens.widgets.parts import Part, width

BAD = ("failed", "rejected", "timed_out", "unknown")
FINISHED = ("healthy", "failed", "rejected", "timed_out", "rolled_back", "rolling_back")
FINAL = ("completed", "completed_with_exceptions", "rolled_back", "rollback_incomplete", "aborted", "failed")
SECONDS = ("soak", "settle", "robot_timeout")
"""Policy values that are durations."""
E_ALARM = 20.0


def title(detail: RolloutDetail, now: float, cells: int = 160) -> Line:
    head = detail.rollout
    line: Line = [
        ("ROLLOUT ", "muted"),
        (head.id, "strong"),
        f" {head.artifact} ",
        f"{head.previous or '?'} \u2192 ",
        (head.version, "strong"),
        f"  {head.cohort} {figures.plural(head.robots, 'robot')}  ",
        figures.state(head.state),
    ]
    if width(line) > cells:
        line = [part for part in line[1:] if part != f"{head.previous or '?'} \u2192 "]
    if head.started_by:
        return layout.if_room(line, [(f"  by {head.started_by} {figures.clock(head.started_at, now)}", "muted")], cells)
    return line


def strip(detail: RolloutDetail, cells: int, chosen: int) -> Line:
    """All stages in order: `lab 3 \u2713 | \u25b8CANARY 10 \u2717 | 10 % 12 | ...`."""
    line: Line = []
    for stage in detail.stages:
        if line:
            line.append((" \u2502 ", "muted"))
        glyph = {
            "passed": "\u2713",
            "failed": "\u2717",
            "inconclusive": "?",
            "paused": "\u2016",
            "rolled_back": "\u21ba",
        }.get(stage.state, "")
        tone = {"passed": "good", "failed": "alarm", "inconclusive": "caution", "paused": "caution"}.get(
            stage.state, ""
        )
        current = stage.index == detail.rollout.stage_index
        name = stage.name.upper() if current else stage.name
        text = f"{name} {stage.size}"
        if stage.index == chosen:
            text = f"[{text}]"
        elif current:
            text = f"\u25b8{text}"
        line.append((text, "strong") if current or stage.index == chosen else (text, "" if glyph else "muted"))
        if glyph:
            line += [" ", (glyph, tone) if tone else glyph]
    return [part if isinstance(part, str) or part[1] else part[0] for part in line]


def sentence(detail: RolloutDetail, now: float) -> Line:
    """The verdict in words, with the age of what it rests on."""
    head = detail.rollout
    word = head.verdict
    tone = {"FAIL": "alarm", "INCONCLUSIVE": "caution", "PASS": "good"}.get(word, "strong")
    text = head.sentence or f"{word or 'No verdict yet'}: {head.waiting_on or head.state.replace('_', ' ')}"
    judged = word in figures.WORDS and head.state in ("running", "paused", "pause_requested", "held")
    if judged and not text.startswith(word):
        text = f"{word}: {text}"
    glyph = {"FAIL": "\u2717 ", "INCONCLUSIVE": "? ", "PASS": "\u2713 "}.get(word, "")
    if head.state in ("rollback_incomplete", "failed"):
        glyph, tone = "! ", "alarm"
    line: Line = [(glyph + text, tone)]
    if detail.verdicts and head.state in ("running", "paused", "pause_requested", "held"):
        newest = detail.verdicts[-1]
        if newest.at:
            line.append((f"  ({age(now - newest.at)} ago)", "muted"))
    return line


def signals(detail: RolloutDetail, cells: int) -> list[Line]:
    """Canary against control. E of 20 or more is an alarm at any time; coverage below the policy's share is no verdict."""
    if not detail.signals:
        return [[("no signals yet: nothing of this rollout has been observed", "muted")]]
    least = policy_number(detail.policy.get("min_coverage"), 0.9)
    return signal_table(detail.signals, cells, least, policy_number(detail.policy.get("e_alarm"), E_ALARM))


def signal_table(signals: Sequence[SignalRow], cells: int, least: float = 0.9, alarm: float = E_ALARM) -> list[Line]:
    """One line per signal: canary, control, ratio with bounds, E, coverage."""
    rows: list[list[layout.Cell]] = []
    for row in signals:
        e: Part = figures.number(row.e)
        if row.e is not None and row.e >= alarm:
            e = (figures.number(row.e), "alarm")
        cover: Part = figures.percent(row.coverage)
        if row.coverage is not None and row.coverage < least:
            cover = (figures.percent(row.coverage), "caution")
        name: Part = (row.name, "strong") if row.flag in ("!", "?") else row.name
        note = figures.said(row) if row.ratio is not None and (row.low is not None or row.high is not None) else ""
        rows.append(
            [
                figures.GLYPHS.get(row.flag, row.flag),
                name,
                row.canary,
                row.control,
                figures.bounds(row),
                e,
                cover,
                (note, "muted"),
            ]
        )
    noted = any(row[-1] != ("", "muted") for row in rows) and cells >= 110
    head = ["", "signal", "canary", "control", "ratio [95%]", "E", "cover", ""]
    if not noted:
        rows, head = [row[:-1] for row in rows], head[:-1]
    return layout.table(rows, cells, head=head, right=frozenset({5, 6}), gap=2 if cells >= 90 else 1)


def strata(detail: RolloutDetail, cells: int) -> Line:
    """Where it is worst, and whether one robot makes the whole effect."""
    line: Line = []
    if detail.worst:
        line += [("worst: ", "muted"), detail.worst, "   "]
    if detail.permutation_p is not None:
        p = detail.permutation_p
        line += [("permutation p ", "muted"), f"{p:.3f}".lstrip("0") if p >= 0.001 else "<.001", "   "]
    if detail.dispersion is not None:
        line += [("dispersion ", "muted"), figures.number(detail.dispersion), "   "]
    if detail.control and line:
        return layout.if_room(line, [("control ", "muted"), detail.control], cells)
    return line


def rollback(detail: RolloutDetail) -> list[Line]:
    """What `R` could do now, and each robot that can't go back, before the key is pressed."""
    plan = detail.rollback
    if plan is None or not plan.robots:
        return []
    line: Line = [
        ("roll back: ", "muted"),
        figures.plural(plan.robots, "robot"),
        f" to {plan.to_version}" if plan.to_version else "",
        f", {figures.minutes(plan.estimate_s)}" if plan.estimate_s else "",
        f", {plan.feasible} feasible, ",
        (f"{len(plan.blocked)} blocked", "alarm") if plan.blocked else "0 blocked",
        ", ",
        (f"{len(plan.on_hold)} on hold", "caution") if plan.on_hold else "0 on hold",
        f" ({_some(plan.on_hold, 2)})" if plan.on_hold else "",
    ]
    lines = [line]
    for robot, why in plan.blocked[:6]:
        lines.append(["  ", ("\u2717 ", "alarm"), (robot, "strong"), f" can't go back: {why}"])
    if len(plan.blocked) > 6:
        lines.append([(f"  \u2026 and {len(plan.blocked) - 6} more that can't go back: r lists them", "muted")])
    return lines


def pause(detail: RolloutDetail) -> list[Line]:
    """Requested is not observed: a pause holds for a robot when the robot has said so."""
    if detail.pause_ack is None:
        return []
    owner, done, all_of, worst = detail.pause_ack
    line: Line = [("pause ack: ", "muted"), "owner yes" if owner else ("owner not yet", "caution")]
    if not all_of:
        return [[*line, ", no robot was in progress"]]
    line += [", ", f"robots {done}/{all_of}" if done >= all_of else (f"robots {done}/{all_of}", "caution")]
    if done < all_of:
        line.append(f", worst {figures.minutes(worst)}" if worst else "")
        line.append((f"  {all_of - done} have not answered: r lists them", "caution"))
    return [line]


def soak(stage: StageView | None, now: float, cells: int) -> list[Line]:
    if stage is None or not (stage.exposure_needed_h or stage.soak_until):
        return []
    line: Line = []
    if stage.exposure_needed_h:
        line += [
            ("exposure ", "muted"),
            f"{figures.number(stage.exposure_h)} of {figures.number(stage.exposure_needed_h)} robot-h ",
            (plots.bar(stage.exposure_h, stage.exposure_needed_h, 10 if cells < 100 else 20), "muted"),
            "  ",
        ]
    if stage.soak_until:
        line += [("soak until ", "muted"), figures.clock(stage.soak_until, now)]
        if stage.soak_until > now:
            line.append(f" ({age(stage.soak_until - now)} left)")
    return [line]


def stakes(detail: RolloutDetail) -> list[Line]:
    """What promoting would touch, and what stopping leaves behind."""
    lines: list[Line] = []
    blast = detail.blast
    refused = detail.verbs.get("rollout.promote")
    if blast.get("robots"):
        sites, customers = _many(blast.get("sites")), _many(blast.get("customers"))
        text = f"+{blast['robots']} robots"
        if sites:
            text += f", {figures.plural(len(sites), 'site')} ({_some(sites, 4)})"
        if customers:
            text += f", {figures.plural(len(customers), 'customer')}"
        if blast.get("window"):
            text += f", {blast['window']}"
        lines.append([("if promoted: ", "muted"), text, (f"  not now: {refused}", "caution") if refused else ""])
    if detail.split is not None and detail.rollout.state not in (*FINAL, "draft"):
        done, busy, never = detail.split
        lines.append(
            [("if stopped: ", "muted"), f"{done} finished stay, {busy} in progress finish, {never} never start"]
        )
    return lines


def limits(detail: RolloutDetail) -> list[Line]:
    """What the update server can't do, before a key is pressed; the keys that act at once in words."""
    owner = detail.owner
    if owner is None or not owner.limits or detail.rollout.state in FINAL:
        return []
    known = dict(owner.limits)
    lines: list[Line] = [[("if paused: ", "muted"), known["pause"]]] if "pause" in known else []
    others = [what for what in known if what != "pause"]
    if others:
        lines.append(
            [
                (f"{owner.server or 'the update server'} has limits: ", "muted"),
                ", ".join(others),
                ("  W says which", "muted"),
            ]
        )
    return lines


def all_limits(detail: RolloutDetail) -> list[Line]:
    """Each limit of the update server with its reason."""
    owner = detail.owner
    if owner is None or not owner.limits:
        return []
    lines: list[Line] = [[""], layout.heading(f"What {owner.server or 'the update server'} can't do")]
    lines += [["  ", (what, "strong"), ": ", why] for what, why in owner.limits]
    return lines


def failures(detail: RolloutDetail, cells: int, most: int = 6) -> list[Line]:
    """Robots that failed, with the first line of their error."""
    bad = [robot for robot in detail.robots if robot.state in BAD]
    if not bad:
        return []
    rows: list[list[layout.Cell]] = [
        [
            "  ",
            (robot.robot, "strong"),
            (_tail(robot.serial), "muted"),
            figures.state(robot.state),
            robot.first_error or robot.reason,
        ]
        for robot in bad[:most]
    ]
    lines = [layout.heading(f"{figures.plural(len(bad), 'robot')} failed or unknown"), *layout.table(rows, cells)]
    if len(bad) > most:
        lines.append([(f"  \u2026 {len(bad) - most} more: r lists them", "muted")])
    return lines


def waits(detail: RolloutDetail) -> list[Line]:
    head = detail.rollout
    lines: list[Line] = []
    if head.gate:
        lines.append([("\u2691 ", "strong"), "a gate is open: ", (head.gate, "strong"), ("  e opens it", "muted")])
    if head.waiting_on:
        lines.append([("waits for: ", "muted"), head.waiting_on])
    return lines


def facts(
    detail: RolloutDetail, now: float, cells: int, *, chosen: int | None = None, roomy: bool = False
) -> list[Line]:
    """The overview without plots. `chosen` looks at another stage than the current one."""
    at = detail.rollout.stage_index if chosen is None else chosen
    stage = next((one for one in detail.stages if one.index == at), None)
    current = at == detail.rollout.stage_index
    lines: list[Line] = [title(detail, now, cells), strip(detail, cells, at if not current else -1)]
    lines.append(figures.counts(stage.counts if stage else detail.rollout.counts, cells))
    if not current and stage:
        lines += _other_stage(stage, now, cells)
        return lines
    lines += signals(detail, cells)
    lines += [line for line in (strata(detail, cells),) if line]
    lines += rollback(detail)
    lines += pause(detail)
    if detail.rollout.state not in FINAL:
        lines += soak(stage, now, cells)
    lines += stakes(detail)
    lines += limits(detail)
    lines += waits(detail)
    if roomy:
        lines += [[""], *failures(detail, cells)] if failures(detail, cells) else []
        if detail.verdicts:
            lines += [[""], *why(detail, now, cells)]
    return lines


def _other_stage(stage: StageView, now: float, cells: int) -> list[Line]:
    lines: list[Line] = [
        ["stage ", (stage.name, "strong"), " ", figures.state(stage.state), ("   [ ] other stages, Esc back", "muted")]
    ]
    if stage.sites:
        lines.append([("sites ", "muted"), ", ".join(stage.sites)])
    lines += soak(stage, now, cells)
    if stage.targets_digest:
        lines.append([("frozen targets ", "muted"), figures.short(stage.targets_digest)])
    if stage.verdict:
        lines.append([figures.verdict(stage.verdict.word), "  ", stage.verdict.sentence])
        lines += [["  \u00b7 ", reason] for reason in stage.verdict.reasons]
    return lines


def why(detail: RolloutDetail, now: float, cells: int) -> list[Line]:
    """Why this verdict, rule by rule, newest first; each bound to the digest of what it was computed from."""
    if not detail.verdicts:
        none: Line = [("No verdict yet: ", "muted"), "the stage has to settle and to be observed first."]
        return [none, *all_limits(detail)]
    lines: list[Line] = []
    newest = detail.verdicts[-1]
    lines += _verdict(newest, now)
    if detail.policy:
        text = "  ".join(f"{key} {_policy(key, value)}" for key, value in detail.policy.items())
        lines.append([("policy: ", "muted"), text])
    lines.append(
        [
            (
                '"worse" is said only when a bound excludes the limit; PASS rules out the ratio it names, not less.',
                "muted",
            )
        ]
    )
    lines += all_limits(detail)
    older = detail.verdicts[-2::-1]
    if older:
        lines += [[""], layout.heading("Before")]
        for verdict in older[:20]:
            lines.append(
                [
                    f"{figures.clock(verdict.at, now)} ",
                    figures.verdict(verdict.word),
                    f" {verdict.stage}: {verdict.sentence}",
                ]
            )
    return lines


def _verdict(verdict: Verdict, now: float) -> list[Line]:
    head: Line = [
        ("Why ", "strong"),
        figures.verdict(verdict.word),
        f" at stage {verdict.stage}, {figures.clock(verdict.at, now)}",
    ]
    if verdict.inputs_digest:
        head.append((f"  inputs {figures.short(verdict.inputs_digest)} revision {verdict.revision}", "muted"))
    lines = [head]
    named = any("FAIL" in reason or "INCONCLUSIVE" in reason for reason in verdict.reasons)
    for place, reason in enumerate(verdict.reasons):
        tone = "alarm" if "FAIL" in reason else "caution" if "INCONCLUSIVE" in reason else ""
        if not named and not place:  # the first reason is the one that decided
            tone = {"FAIL": "alarm", "INCONCLUSIVE": "caution"}.get(verdict.word, "")
        glyph = "\u2717" if tone == "alarm" else "?" if tone == "caution" else "\u00b7"
        lines.append(["  ", (glyph, tone) if tone else glyph, " ", (reason, tone) if tone else reason])
    return lines


def split(detail: RolloutDetail, by: str, cells: int) -> list[Line]:
    """Robots by `site` or `variant`: who was planned, who executed, and what came of it, k of n."""
    key: Callable[[RobotUpdate], str] = (lambda robot: robot.site) if by == "site" else (lambda robot: robot.variant)
    groups: dict[str, list[RobotUpdate]] = {}
    for robot in detail.robots:
        groups.setdefault(key(robot) or "\u2014", []).append(robot)
    if not groups:
        return [[("No robot of this rollout has been resolved yet.", "muted")]]
    rows: list[list[layout.Cell]] = []
    for name, robots in sorted(groups.items(), key=lambda item: -sum(robot.state in BAD for robot in item[1])):
        done = [robot for robot in robots if robot.state in FINISHED]
        bad = [robot for robot in done if robot.state in ("failed", "rejected", "timed_out")]
        away = sum(robot.state in ("offline", "deferred") for robot in robots)
        new = [robot for robot in robots if robot.reported == robot.to_version]
        back = sum(robot.rollback == "feasible" for robot in new)
        failed: Part = (figures.share(len(bad), len(done)), "alarm") if bad else figures.share(0, len(done))
        rows.append(
            [
                ("!", "alarm") if bad else " ",
                name,
                str(len(robots)),
                str(away),
                str(len(done)),
                failed,
                f"{back}/{len(new)}",
            ]
        )
    lines = layout.table(
        rows,
        cells,
        head=["", by, "robots", "away", "executed", "failed/executed", "new: can go back"],
        right=frozenset({2, 3, 4, 5, 6}),
    )
    if detail.worst:
        lines += [[""], [("worst health: ", "muted"), detail.worst]]
    return lines


def _tail(serial: str) -> str:
    return f"\u2026{serial[-4:]}" if len(serial) > 4 else serial


def _many(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [str(value)] if value else []


def policy_number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _policy(key: str, value: object) -> str:
    """A policy value for people: durations as such, numbers without noise."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = key in SECONDS or key.endswith("_s")
        return figures.minutes(float(value)).lstrip("~") if seconds else f"{value:g}"
    return _flat(value)


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_flat(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _some(items: Sequence[str], most: int) -> str:
    return ", ".join(items[:most]) + (", \u2026" if len(items) > most else "")
