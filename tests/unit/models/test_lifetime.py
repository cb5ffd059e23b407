"""From eligible to its end: an artifact's time runs out, its platform changes, or it is revoked, whichever comes first."""

from __future__ import annotations

from importlib import resources

import pytest

from engine.capabilities.models import actions as model_actions
from engine.language import load
from engine.store.queries import Queries
from tests.unit.models.test_release import Models, built
from tests.unit.models.test_run import ANA, POLICY, Release, release

__all__ = ["release"]


async def eligible(release: Release, models: Models, *, left_s: float) -> str:
    """An artifact with so much time; that it became eligible starts the run that keeps its clock."""
    text = (resources.files("engine.patterns") / "artifact-lifetime.yaml").read_text("utf-8")
    definition = load(text, actions=model_actions.actions(), roles=POLICY.known, windows=POLICY.calendar)
    assert (await release.host.register_definition(definition, id="lifetime", actor=ANA)).refusal is None
    site = release.site
    site.now = release.host.clock.now() + 3600.0  # what is built takes its time on the engine's fast clock
    site.policy["eligible_for"] = left_s
    _, artifact = await built(site, models)
    await site.act("models.smoke", artifact=artifact)
    await site.act("models.eligible", artifact=artifact)
    return artifact


@pytest.mark.parametrize(
    ("event", "left_s", "ended"),
    [
        ("", 600.0, ("expired", "its time is over")),
        ("qd.platform.changed", 30 * 86_400.0, ("expired", "the platform it was tried on changed")),
        ("revoked", 30 * 86_400.0, ("revoked", "drops parts")),
    ],
)
async def test_it_ends_the_way_it_should_and_says_why(
    release: Release, models: Models, event: str, left_s: float, ended: tuple[str, str]
) -> None:
    artifact = await eligible(release, models, left_s=left_s)
    state, why = ended

    def waits() -> bool:
        rows = Queries(release.host.journal.path).run_page(workflow="artifact-lifetime").rows
        return any(row.status == "waiting" for row in rows) or not event

    await release.when(waits, "the run that keeps the clock")
    if event == "revoked":
        await release.site.do("ana", "artifact.revoke", artifact, reason=why)
    elif event:
        await release.tell(event, {"platform": "rev-B firmware"})
    candidate = await release.state(state)
    assert candidate.artifact == artifact and candidate.why == why
    history = await release.site.context().records.history("artifact", artifact)
    assert (await release.site.get("artifact", artifact)).state == state and why in history[-1].reason
