"""Settings become ports in the right order, or an error that names the key."""

from __future__ import annotations

from typing import Any

import pytest

from engine.capabilities.connections import connect, installed
from engine.capabilities.ports import ActionError, Param


class Clock:
    def now(self) -> float:
        return 0.0


class Fake:
    """A third party's connector."""

    def __init__(
        self, kind: str, capability: str, needs: tuple[str, ...] = (), fields: dict[str, Param] | None = None
    ) -> None:
        self.kind, self.capabilities, self.needs, self.fields = kind, (capability,), needs, fields or {}
        self.built: list[dict[str, Any]] = []

    def build(self, config: Any, secret: Any, clock: Any, ports: Any) -> dict[str, Any]:
        self.built.append({"config": dict(config), "ports": sorted(ports)})
        return {self.capabilities[0]: f"{self.kind} port"}


def kinds(*fakes: Fake) -> dict[str, Any]:
    return {f.kind: (lambda f=f: f) for f in fakes}


def build(settings: dict[str, Any], *fakes: Fake) -> Any:
    return connect(settings, lambda name: "", Clock(), kinds(*fakes))


def refused(settings: dict[str, Any], *fakes: Fake) -> str:
    with pytest.raises(ActionError) as caught:
        build(settings, *fakes)
    assert (caught.value.error, caught.value.kind, caught.value.retryable) == ("NotConfigured", "configuration", False)
    return caught.value.message


def test_the_built_in_connectors_are_found_like_third_parties() -> None:
    found = installed()
    assert {"goosebit", "prometheus", "joined"} <= set(found)
    for kind in ("goosebit", "prometheus", "joined"):
        assert found[kind]().kind == kind


def test_what_is_needed_is_built_first_and_the_fleet_is_joined_by_itself() -> None:
    fleet = Fake("joined", "fleet", needs=("updates", "signals"))
    made = build(
        {"signals": {"kind": "s"}, "updates": {"kind": "u"}}, Fake("u", "updates"), Fake("s", "signals"), fleet
    )
    assert fleet.built == [{"config": {}, "ports": ["signals", "updates"]}]
    assert made.port("fleet") == "joined port"
    assert "fleet" not in build({"updates": {"kind": "u"}}, Fake("u", "updates"), fleet).ports


def test_an_unconfigured_capability_says_so() -> None:
    with pytest.raises(ActionError, match="no connector for 'signals'"):
        build({}).port("signals")


def test_settings_are_checked_before_anything_is_built() -> None:
    url = {"url": Param(type="string"), "limit": Param(type="integer", required=False)}
    u = Fake("u", "updates", fields=url)
    assert "no connector 'x'; installed: u" in refused({"updates": {"kind": "x"}}, u)
    assert "'u' serves updates, not signals" in refused({"signals": {"kind": "u", "url": "x"}}, u)
    assert "updates.url: missing" in refused({"updates": {"kind": "u"}}, u)
    assert "updates.uri: unknown" in refused({"updates": {"kind": "u", "url": "x", "options": {"uri": 1}}}, u)
    assert "updates.limit: must be a integer" in refused(
        {"updates": {"kind": "u", "url": "x", "options": {"limit": True}}}, u
    )
    assert "needs updates" in refused({"fleet": {"kind": "joined"}}, Fake("joined", "fleet", needs=("updates",)))
    assert u.built == []


async def test_the_real_ones_open_no_connection_when_they_are_built() -> None:
    asked: list[str] = []
    made = connect(
        {
            "updates": {"kind": "goosebit", "url": "https://updates.example.com", "secret": "u"},
            "signals": {"kind": "prometheus", "url": "https://metrics.example.com", "secret": "", "options": {}},
        },
        lambda name: asked.append(name) or "",
        Clock(),
    )
    assert sorted(made.ports) == ["fleet", "signals", "updates"] and asked == []
    assert "downgrades" in made.port("updates").traits["pause"]
    await made.close()
