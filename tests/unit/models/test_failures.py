"""The failures that candidate-to-release is known for and that no other test names: what is said, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.policy_model import decode, digest_of, encode
from engine.capabilities.ports import ActionError
from engine.core.comparison import Half, Plan, compare
from tests.unit.models.conftest import Site
from tests.unit.models.test_bench import HELLO, ready
from tests.unit.models.test_release import Models, built, compared


async def test_two_builds_that_differ_are_no_artifact(site: Site, models: Models) -> None:
    """What was evaluated can't be shown to be what is shipped: the approval stands, nothing is built."""
    original, made = site.ports["evaluation"].lines, []

    async def restless(argv: Any, job: dict[str, Any], **more: Any) -> Any:
        """A converter whose output depends on when it is asked."""
        if job.get("kind") != "convert":
            async for said in original(argv, job, **more):
                yield said
            return
        policy = decode(models["better"])
        policy.header = {**policy.header, "made": len(made)}
        data = encode(policy, job["precision"])
        made.append(digest_of(data))
        Path(job["out"]).write_bytes(data)
        yield {"event": "converted", "digest": made[-1]}

    site.ports["evaluation"].lines = restless
    site.policy["build"] = {**site.policy["build"], "precision": "f32"}
    id_, found = await compared(site, models, version="4.8.1")
    await site.act("models.approve", candidate=id_, evidence=found["evidence"], gate="g", people=["ana"])
    with pytest.raises(ActionError) as refused:
        await site.act("models.build", candidate=id_)
    assert refused.value.error == "NotReproducible" and not refused.value.retryable
    assert len(set(made)) == 2 and not await site.find("artifact")
    assert (await site.get("candidate", id_)).state == "approved"


async def test_a_trial_that_ran_out_of_time_counts_and_is_a_failure(site: Site, models: Models) -> None:
    """Time-outs that are dropped make a slow policy look good: both halves stay in n, and none is tried again."""
    body = f"""say(**{HELLO!r})
for c in job['cases']:
    late = c['seed'] % 2
    say(event='trial', id=c['id'], outcome='failure' if late else 'success', rubric=0.0 if late else 1.0, duration_s=60 if late else 9,
        mode='timeout' if late else '', safety_events=[], simulator='bench-arm/3')"""
    id_ = await ready(site, models, body)
    found = await site.act("models.evaluate", candidate=id_)
    trials = await site.find("trial")
    late = [one for one in trials if one.mode == "timeout"]
    assert late and {(one.state, one.attempts) for one in late} == {("recorded", 1)} and found["excluded"] == {}
    comparison = await site.get("comparison", found["comparison"])
    assert all((row.k1, row.n1) == (2, 4) == (row.k0, row.n0) for row in comparison.tasks)


def test_ties_stay_in_the_comparison() -> None:
    """Pairs that end alike are evidence of no difference; leaving them out would leave only the extremes."""
    halves = [Half(arm, "pick", seed, 1.0) for seed in range(44) for arm in ("candidate", "baseline")]  # type: ignore[arg-type]
    found = compare(halves, Plan(n_max=60), ["pick"], {"pick": range(60)})
    (row,) = found.tasks
    assert (row.pairs, row.n1, row.n0, row.for_it, row.against) == (44, 44, 44, 0, 0)
    assert row.word == "no worse"


async def test_a_name_that_moves_changes_nothing_that_was_decided(site: Site, models: Models, tmp_path: Path) -> None:
    """An alias in a registry, a file that is written over: what is evaluated and shipped is what the digest names."""
    for name in ("models:/pick@champion", "latest", "sha256:short"):
        with pytest.raises(ActionError):
            await site.act("models.register", model_digest=name, line="pick")
    place = tmp_path / "champion.qdp"
    place.write_bytes(models["better"])
    site.policy["inbox"] = [str(tmp_path)]
    kept = await site.do("lea", "candidate.keep", path=str(place))
    place.write_bytes(models["careless"])
    id_, artifact = await built(site, models)
    assert kept["digest"] == digest_of(models["better"]) == (await site.get("candidate", id_)).model_digest
    import io
    import tarfile

    made = await site.get("artifact", artifact)
    with tarfile.open(fileobj=io.BytesIO(site.context().vault.read(made.digest))) as shipped:
        held = [shipped.extractfile(one).read() for one in shipped.getmembers() if one.isfile()]  # type: ignore[union-attr]
    assert models["better"] in held and models["careless"] not in held


def test_a_sequential_plan_may_be_looked_at_after_every_batch() -> None:
    """Stopping early is in the plan or it is refused: the process is anytime-valid, a fixed plan has no word before its n."""
    halves = [
        Half(arm, "pick", seed, float(arm == "candidate")) for seed in range(15) for arm in ("candidate", "baseline")
    ]  # type: ignore[arg-type]
    early = compare(halves, Plan(n_max=60), ["pick"], {"pick": range(60)})
    fixed = compare(halves, Plan(n_max=60, test="fixed"), ["pick"], {"pick": range(60)})
    assert early.verdict == "better" and early.tasks[0].k_better >= 20
    assert (fixed.verdict, fixed.tasks[0].word, fixed.open) == ("more", "undecided", ("pick",))
