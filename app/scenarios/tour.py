"""The guided tour's world: one of everything, so that each of the seven patterns has something to decide.

A rollout of which the canary will do worse waits for its signatures; a robot is broken; a shell and a drive are asked for; a
candidate is compared; recordings are read for a dataset; people took over too often on a new version. Nothing is played:
who takes the tour decides.
"""

from __future__ import annotations

from app.scenarios import Scenario, access_review, candidate_to_release, correction_loop, data_to_training, maintenance
from app.scenarios.stage import Stage


def begin(stage: Stage) -> None:
    """Half a minute: what is quick first, what has to be read and compared goes on while the tour begins."""
    here = stage.world
    inputs = {"version": here.release, "selector": here.selector, "reason": "the tour"}
    stage.do(stage.operator.starter(), "rollout.start", args={"inputs": inputs})
    maintenance.begin(stage)
    access_review.begin(stage)
    candidate_to_release.begin(stage)
    data_to_training.begin(stage)
    correction_loop.begin(stage)


SCENARIO = Scenario(
    name="tour",
    title="one of everything, to be walked through",
    begin=begin,
    world="canary-regression",
    robots=200,
    speed=300.0,
)
