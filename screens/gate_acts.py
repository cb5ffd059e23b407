"""What can be done at a gate: the registry entries of the Gate screen, apart from how it looks."""

from __future__ import annotations

from screens.acts import Act, Field, Level, register

register(
    Act("gate.approve", "A", "approve", target="gate", level=Level.RISK, command="gate.vote", help="Vote for it, on exactly the evidence shown", cli="qd gates approve {id}", order=1),
    Act("gate.reject", "X", "reject", target="gate", level=Level.CHANGE, command="gate.vote", help="Vote against it, with a reason", cli="qd gates reject {id} --rationale TEXT", order=2),
    Act("gate.claim", "a", "claim", target="gate", level=Level.SAFE, command="gate.claim", help="Say that I look at it; stops nobody else", cli="qd gates claim {id}", order=3),
    Act("gate.ask", "n", "ask for more", target="gate", level=Level.CHANGE, command="gate.ask", help="Ask who started it for what is missing; the clock goes on", fields=(Field("question", "What do you need to know?", required=True),), cli="qd gates ask {id} QUESTION", order=4),
    Act("gate.delegate", "D", "delegate", target="gate", level=Level.CHANGE, command="gate.delegate", help="Let another person vote with my roles for some hours; they can't pass it on", cli="qd gates delegate {id} NAME", order=5),
    Act("gate.abstain", "b", "abstain", target="gate", level=Level.CHANGE, command="gate.abstain", help="No vote from me, on the record; it fills no seat, another has to answer", fields=(Field("reason", "Why not?"),), cli="qd gates abstain {id}", order=6),
    Act("gate.withdraw", "u", "take back my vote", target="gate", level=Level.CHANGE, command="gate.withdraw", help="My vote no longer counts; the seat is open again", cli="qd gates withdraw {id}", order=0),
    Act("gate.evidence", "e", "evidence", target="gate", help="Go to the evidence", cli="qd gates show {id}", order=7),
    Act("gate.knew", "K", "what they knew", target="gate", help="The question and its evidence as they stood at the newest vote", cli="qd gates show {id} --at SEQ", order=8),
    Act("gate.next", "full_stop,enter", "next question", target="gate", help="The next question that waits for me, by deadline", cli="qd gates ls", order=9),
    Act("gate.later", "z", "later", target="gate", help="Out of my inbox for an hour (^U 4 z: four); it goes on waiting and expiring", cli="qd gates later {id} --hours N", order=10),
    Act("gate.others", "x", "not mine", target="gate", help="Out of my inbox: others answer it; again brings it back", cli="qd gates later {id} --others", order=0),
    Act("gate.run", "t", "its run", target="gate", help="The run that asks: graph, timeline, why it waits", cli="qd runs show {id}", order=11),
    Act("gate.rollout", "r", "its rollout", target="gate", help="The rollout it is about", cli="qd rollouts show {id}", order=12),
)  # fmt: skip

ACTS = (
    "gate.approve",
    "gate.reject",
    "gate.claim",
    "gate.ask",
    "gate.delegate",
    "gate.abstain",
    "gate.withdraw",
    "gate.evidence",
    "gate.knew",
    "gate.next",
    "gate.later",
    "gate.others",
    "gate.run",
    "gate.rollout",
)
READING = frozenset({"gate.evidence", "gate.knew", "gate.next", "gate.run", "gate.rollout"})
DECISIONS = frozenset({"gate.approve", "gate.reject", "gate.abstain", "gate.delegate"})
"""After these a question is no longer this person's to answer."""
