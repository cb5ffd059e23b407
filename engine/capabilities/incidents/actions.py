"""The actions of fleet hotfix and rollback, by name. Each reads what is, does what is missing, and can be asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.capabilities.incidents import closing, deciding, declaring, mending
from engine.capabilities.ports import Action, Param, optional

_ID = {"incident": Param(type="string", description="The incident's id")}


_TOLD = optional(
    incident="string", sev="number", draft="boolean", version="string", line="string", ic="string", title="string", involved="array",
    site="string", state="string", sites="array", reason="string",
)  # fmt: skip

_TIMES = optional(
    ack_s="number", ack_second_s="number", ack_manager_s="number", ack_rounds="number", contain_s="number", contain_every_s="number",
    decide_s="number", update_every_s="number", verify_every_s="number", verify_for_s="number", monitor_every_s="number",
    monitor_for_s="number", review_s="number", breakglass_review_s="number", follow_up_wait_s="number", hold_release_s="number",
    rule_every_s="number", rule_s="number",
)  # fmt: skip


def _action(
    name: str, run: Any, says: str, *, takes: Any = None, gives: Any = None, effect: Any = "idempotent"
) -> Action:
    return Action(name=name, run=run, effect=effect, description=says, inputs=_ID | (takes or {}), outputs=gives or {})


def actions() -> Mapping[str, Action]:
    """By name."""
    listed = (
        Action(name="incident.policy", run=closing.policy, effect="read", description="The times that hold for this run.", outputs=_TIMES),
        _action("incident.recurs", closing.recurs, "It is not over.", takes=optional(reason="string"), gives=optional(incident="string")),
        _action("incident.rule-withdraw", closing.rule_withdraw, "Robots given up by a person.", takes=optional(rule="string", by="array", reason="string"), gives=optional(incident="string", ending="string")),
        Action(
            name="incident.open", run=declaring.open_, description="The incident's record: a person's, or a new one from what triggered it.",
            inputs=optional(
                incident="string", title="string", sev="number", version="string", previous="string", line="string", artifact="string",
                digest="string", selector="string", site="string", detector="string", reason="string", forward="string", hotfix="string",
                robots="array", draft="boolean", first_seen="number", exposed_since="number",
            ),
            outputs=_TOLD,
        ),
        _action("incident.triage", declaring.triage, "Severity; the higher is assumed when nobody is sure.", gives=_TOLD),
        _action(
            "incident.contain", declaring.contain, "Stops what has not begun and drains robots.",
            gives=optional(contained="boolean", told="array", moving="array", on_version="integer", drained="integer", withdrawn="integer", sentence="string", at="number"),
        ),
        _action("incident.contained", declaring.contained, "Says that nothing spreads.", takes=optional(unsure="string"), gives=_TOLD),
        _action(
            "incident.preserve", declaring.preserve, "Keeps a bundle of each robot concerned, under a hold.",
            gives=optional(preserved="integer", of="integer", bundles="object", missing="array", legal="boolean"),
        ),
        _action(
            "incident.rank", deciding.rank, "Suspected changes by exact rate ratio.",
            gives=optional(suspects="array", coverage="number", blind="string", sentence="string", blamed="string"),
        ),
        _action(
            "incident.scope", deciding.scope, "Who is affected, who can't be asked.",
            gives=optional(affected="integer", unsure="integer", digest="string", sites="array", standing_rule="string", sample="array", sentence="string"),
        ),
        _action("incident.options", deciding.options, "The matrix of six.", gives=optional(options="array", at="number", previous="string")),
        _action(
            "incident.choose", deciding.choose, "Freezes what was chosen.", takes={"option": Param(type="string"), **optional(by="string")},
            gives=optional(
                option="string", title="string", version="string", robots="integer", digest="string", seats="number", phrase="string",
                blocked="array", estimate_min="number", sites="array", install="boolean", row="object", sentence="string",
            ),
        ),
        _action(
            "incident.authorise", deciding.authorise, "Looks once more, then records the decision.",
            takes=optional(gate="string", by="array", break_glass="boolean"),
            gives=optional(option="string", version="string", robots="array", digest="string", install="boolean", break_glass="boolean"),
        ),
        _action("incident.wave", mending.wave, "The emergency rollout's inputs.", gives=optional(number="integer", version="string", robots="array", plan="object")),
        _action(
            "incident.waved", mending.waved, "What came of it, robot by robot.", takes=optional(rollout="string", failed="string"),
            gives=optional(done="integer", left="array", sentence="string", failed="string"),
        ),
        _action("incident.apply", mending.apply, "Options that install nothing.", gives=optional(option="string", robots="integer", sentence="string")),
        _action(
            "incident.verify", mending.verify, "Robots by their own report.",
            gives=optional(verified="boolean", worse="boolean", done="integer", left="array", hours="number", recovery="string", sentence="string", at="number"),
        ),
        _action("incident.watching", mending.watching, "From mending to watching.", gives=optional(needed_h="number", since="number", left="array")),
        _action(
            "incident.monitor", mending.monitor, "Has it come back?", takes={"since": Param(type="number")},
            gives=optional(over="boolean", recurs="boolean", hours="number", of="number", text="string", left="integer", at="number"),
        ),
        _action("incident.follow", closing.follow, "Writes down what has to follow.", takes=optional(left="array"), gives=optional(follow_ups="array", cases="integer")),
        _action("incident.resolve", closing.resolve, "What was stopped for it may go on.", gives=optional(incident="string", back="array", follow_ups="array")),
        _action("incident.reviewed", closing.reviewed, "The review's findings.", takes=optional(findings="string", gate="string", by="array"), gives=optional(incident="string")),
        _action("incident.close", closing.close, "Closed, when all is filed.", gives=optional(incident="string", ending="string")),
        _action(
            "incident.false-alarm", closing.false_alarm, "It was none; what it took out goes back.", takes=optional(by="array", gate="string", reason="string"),
            gives=optional(incident="string", ending="string"),
        ),
        _action(
            "incident.note", closing.note, "A line on the timeline; who took command.",
            takes=optional(what="string", by="array", takes_command="boolean", confirmed="boolean", update_in="number", round="number"),
            gives=optional(incident="string", ic="string", draft="boolean", round="number"),
        ),
        _action(
            "incident.stand", closing.stand, "The incident as it stands.", effect="read",
            gives=optional(
                incident="string", sev="number", ic="string", state="string", phase="string", sentence="string", affected="integer",
                unsure="array", sites="array", suspects="array", holds="array", containment="string", preserved="string", clocks="array",
                recovery="string", option="string", version="string", draft="boolean", waves="array", follow_ups="array",
            ),
        ),
        _action("incident.update-look", closing.update_look, "Is a word due that nobody gave?", gives=optional(over="boolean", overdue="boolean", wait_s="number")),
        _action("incident.rule-look", closing.rule_look, "Robots under a standing rule that came back.", takes=optional(rule="string"), gives=optional(over="boolean", waiting="integer", seen="array", drained="array", at="number")),
        _action("incident.clock-filed", closing.clock_filed, "A report was filed, or is overdue.", takes={"regime": Param(type="string"), **optional(by="array", overdue="boolean")}, gives=optional(incident="string", regime="string", ending="string")),
        _action("incident.broke-glass", closing.broke, "Who broke the glass.", takes={"by": Param(type="string"), **optional(reason="string")}, gives=optional(incident="string", by="string", option="string")),
        _action("incident.glass-reviewed", closing.glass_reviewed, "The finding on it.", takes=optional(by="array", finding="string", text="string"), gives=optional(incident="string", ending="string")),
        Action(
            name="hold.release", run=closing.release_hold, description="Two people free a robot.",
            inputs={"hold": Param(type="string"), **optional(by="array", gate="string", reason="string")},
            outputs=optional(hold="string", robot="string", back="array", ending="string"),
        ),
    )  # fmt: skip
    return {action.name: action for action in listed}
