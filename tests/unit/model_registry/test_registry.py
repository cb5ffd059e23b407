"""What goes to a model registry and what comes from one: once, with its origin, and believed by its bytes alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from engine.capabilities import subjects
from engine.capabilities.ports import ActionError
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.language import Expressions
from tests.unit.model_registry.ground import Ground, digest_of


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    config = Config(database=tmp_path / "q.db", actions={}, evaluator=Expressions(), catalogue=subjects.catalogue())
    host = await Host.open(config)
    yield Ground(host)
    await host.keeper.settle()
    await host.close()


async def test_an_artifact_is_registered_once_with_where_it_came_from(ground: Ground) -> None:
    artifact = await ground.artifact()
    first = await ground.act("registry.register", artifact=artifact)
    again = await ground.act("registry.register", artifact=artifact)
    assert (first["model"], first["version"], first["alias"], first["stands"]) == ("pick", "1", "eligible", "")
    assert again["version"] == "1" and len(ground.registry.models["pick"]) == 1
    (version,) = ground.registry.models["pick"]
    assert version.digest == digest_of(b"archive") and ground.registry.bytes[version.source] == b"archive"
    assert version.tags["quarterdeck.artifact"] == artifact and version.tags["quarterdeck.verdict"] == "better"
    assert version.tags["quarterdeck.release"] == "4.8.1" and version.tags["quarterdeck.state"] == "eligible"


async def test_with_a_store_the_bytes_go_there_and_come_from_there(ground: Ground) -> None:
    ground.overrides["registry"] = {"store": "s3://models/"}
    artifact = await ground.artifact()
    made = await ground.act("registry.register", artifact=artifact)
    assert made["source"].startswith("s3://models/pick/pick-4.8.1-") and not ground.registry.bytes
    back = await ground.act("registry.fetch", model="pick", version="1")
    assert back["digest"] == digest_of(b"archive") and back["size"] == 7
    ground.store.held[made["source"]] = b"another"
    with pytest.raises(ActionError) as wrong:
        await ground.act("registry.fetch", model="pick", version="1")
    assert wrong.value.error == "DigestMismatch"


async def test_only_what_may_be_rolled_out_is_registered(ground: Ground) -> None:
    artifact = await ground.artifact()
    await ground.context.records.change("artifact", artifact, to="revoked", set={"why": "drops parts"})
    with pytest.raises(ActionError) as refused:
        await ground.act("registry.register", artifact=artifact)
    assert refused.value.error == "NotEligible" and not ground.registry.models


async def test_an_alias_that_somebody_moved_is_a_conflict(ground: Ground) -> None:
    artifact = await ground.artifact()
    await ground.registry.register("pick", digest="sha256:theirs", source="s3://b/t", tags={}, key="t")
    made = await ground.act("registry.register", artifact=artifact)
    given = {"model": "pick", "alias": "eligible", "version": made["version"], "expect": made["stands"]}

    def somebody() -> None:
        one = ground.registry.models["pick"][0]
        ground.registry.models["pick"][0] = msgspec.structs.replace(one, aliases=("eligible",))

    ground.registry.before_alias = somebody
    with pytest.raises(ActionError) as moved:
        await ground.act("registry.alias", **given)
    assert moved.value.error == "Conflict"
    await ground.act("registry.alias", model="pick", alias="eligible", version=made["version"])
    assert ground.registry.models["pick"][1].aliases == ("eligible",)


async def test_what_became_of_it_stands_on_its_version(ground: Ground) -> None:
    artifact = await ground.artifact()
    assert not (await ground.act("registry.note", artifact=artifact))["noted"], "it was never registered"
    await ground.act("registry.register", artifact=artifact)
    await ground.context.records.change("artifact", artifact, to="revoked", set={"why": "drops parts"})
    said = await ground.act("registry.note", artifact=artifact)
    tags = ground.registry.models["pick"][0].tags
    assert said["state"] == "revoked" and tags["quarterdeck.state"] == "revoked"
    assert tags["quarterdeck.reason"] == "drops parts"


async def test_a_version_is_wanted_by_its_alias_unless_it_is_known(ground: Ground) -> None:
    await ground.registry.register("grasp net", digest="", source="memory:/g", tags={}, key="g")
    ground.registry.bytes["memory:/g"] = b"weights"
    await ground.registry.alias("grasp net", "candidate", "1")
    ground.overrides["registry"] = {"lines": {"grasp net": "grasp"}}
    found = await ground.act("registry.look", model="grasp net@candidate", alias="candidate", version="1")
    assert found["wanted"] and (found["model"], found["version"], found["line"]) == ("grasp net", "1", "grasp")
    assert (await ground.act("registry.look", model="grasp net", alias="candidate"))["version"] == "1"
    fetched = await ground.act("registry.fetch", model="grasp net", version="1")
    assert fetched["digest"] == digest_of(b"weights")
    for alias, why in (("champion", "does not ask"), ("candidate", "no longer points")):
        await ground.registry.register("grasp net", digest=f"sha256:{alias}", source="x", tags={}, key=alias)
        newest = str(len(ground.registry.models["grasp net"]))
        no = await ground.act("registry.look", model="grasp net", alias=alias, version=newest)
        assert not no["wanted"] and why in no["says"]
    artifact = await ground.artifact()
    made = await ground.act("registry.register", artifact=artifact)
    await ground.registry.alias("pick", "candidate", made["version"])
    known = await ground.act("registry.look", model="pick", alias="candidate")
    assert not known["wanted"] and f"is {artifact} already" in known["says"]
    with pytest.raises(ActionError) as nowhere:
        await ground.act("registry.look", model="pick", alias="nowhere")
    assert nowhere.value.error == "NoSuchVersion"


async def test_a_candidate_that_was_tried_is_noted_with_its_digest(ground: Ground) -> None:
    await ground.registry.register("pick", digest="", source="memory:/g", tags={}, key="g")
    assert (await ground.act("registry.note", model="pick", version="1"))["state"] == "not tried"
    digest = digest_of(b"weights")
    await ground.context.records.create("candidate", {"line": "pick", "model_digest": digest}, key=digest, id="C-1")
    await ground.act("registry.note", model="pick", version="1", digest=digest)
    tags = ground.registry.models["pick"][0].tags
    assert (tags["quarterdeck.candidate"], tags["quarterdeck.state"]) == ("C-1", "registered")
    assert tags["quarterdeck.digest"] == digest


async def test_objects_go_out_of_the_vault_and_into_it_by_digest(ground: Ground) -> None:
    kept = ground.context.vault.put_bytes(b"bundle", media="text/plain")
    out = await ground.act("object.put", digest=kept.digest, uri="s3://b/x")
    assert out == {"uri": "s3://b/x", "digest": kept.digest, "size": 6}
    ground.store.held["s3://b/y"] = b"theirs"
    came = await ground.act("object.get", uri="s3://b/y", digest=digest_of(b"theirs"))
    assert ground.context.vault.read(came["digest"]) == b"theirs" and came["size"] == 6
    for name, given, error in (
        ("object.put", {"digest": digest_of(b"none"), "uri": "s3://b/z"}, "NotKept"),
        ("object.get", {"uri": "s3://b/y", "digest": digest_of(b"else")}, "DigestMismatch"),
        ("object.get", {"uri": "s3://b/none"}, "NoSuchObject"),
    ):
        with pytest.raises(ActionError) as refused:
            await ground.act(name, **given)
        assert refused.value.error == error
    await ground.act("object.remove", uri="s3://b/x")
    assert "s3://b/x" not in ground.store.held
    assert not [one for one in ground.context.vault.folder.iterdir() if one.name.startswith(".fetching")]


async def test_a_named_system_is_the_one_that_is_asked(ground: Ground) -> None:
    with pytest.raises(ActionError) as missing:
        await ground.act("registry.look", model="pick", alias="candidate", system="other")
    assert missing.value.error == "NotConfigured"
    ground.ports["registry@other"] = ground.registry
    await ground.registry.register("pick", digest="", source="m", tags={}, key="k")
    await ground.registry.alias("pick", "candidate", "1")
    assert (await ground.act("registry.look", model="pick", alias="candidate", system="other"))["system"] == "other"
