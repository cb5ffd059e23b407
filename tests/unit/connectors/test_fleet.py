"""How a robot is put together from what its two owners say, also when one of them is silent or late."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.fleet import JoinedFleet
from connectors.goosebit import Device, Hardware
from engine.capabilities.ports import Robot, Sample

NOW = 1_000_000.0


class Clock:
    def now(self) -> float:
        return NOW


class Updates:
    def __init__(self, *devices: Device) -> None:
        self._devices = list(devices)

    async def devices(self) -> list[Device]:
        return self._devices


class Signals:
    """Only what the port promises: one metric at a time."""

    def __init__(self, **series: list[tuple[dict[str, str], float]]) -> None:
        self._series = series

    async def instant(self, name: str, labels: Any = None, at: Any = None) -> list[tuple[dict[str, str], Sample]]:
        return [({"robot": "r", **found}, Sample(NOW, value)) for found, value in self._series.get(name, [])]


async def joined(device: Device, **series: list[tuple[dict[str, str], float]]) -> Robot:
    (robot,) = await JoinedFleet(Updates(device), Signals(**series), Clock()).robots()  # type: ignore[arg-type]
    return robot


def device(last_seen: float | None = 10, **more: Any) -> Device:
    return Device(
        id="r", sw_version="1.0.0", hardware=Hardware("amr", "rev-B"), last_seen=last_seen, poll_seconds=60, **more
    )


async def test_the_robots_own_version_outranks_the_servers_record() -> None:
    robot = await joined(device(), robot_software_info=[({"version": "0.9.0"}, 1)])
    assert robot.version == "0.9.0"
    assert (await joined(device())).version == "1.0.0"


@pytest.mark.parametrize(
    ("last_seen", "heartbeat_age", "mode", "online", "shown"),
    [
        (10, 5, "AUTOMATIC", True, "AUTOMATIC"),
        (10, None, None, True, "UNKNOWN"),  # telemetry lost: it talks to the update server alone
        (9999, 5, "MANUAL", True, "MANUAL"),  # the update agent hangs, the robot works
        (9999, None, None, False, "OFFLINE"),
        (None, None, None, False, "OFFLINE"),
        (9999, 600, "AUTOMATIC", False, "OFFLINE"),  # a value that stands there is not a robot that is there
        (10, 600, "AUTOMATIC", True, "UNKNOWN"),
    ],
)
async def test_absent_data_is_shown_as_absent(
    last_seen: float | None, heartbeat_age: float | None, mode: str | None, online: bool, shown: str
) -> None:
    series: dict[str, Any] = {}
    if heartbeat_age is not None:
        series["robot_last_heartbeat_timestamp_seconds"] = [({}, NOW - heartbeat_age)]
    if mode is not None:
        series["robot_mode"] = [({"mode": mode}, 1)]
    robot = await joined(device(last_seen), **series)
    assert (robot.online, robot.mode) == (online, shown)


async def test_the_robots_own_poll_interval_decides_when_it_is_late() -> None:
    assert not (await joined(device(1000))).online
    assert (await joined(device(1000), robot_poll_interval_seconds=[({}, 600)])).online


async def test_of_two_modes_the_one_that_holds_is_taken() -> None:
    for order in (1, -1):
        modes = [({"mode": "AUTOMATIC"}, 0.0), ({"mode": "MANUAL"}, 1.0)][::order]
        assert (await joined(device(), robot_mode=modes)).mode == "MANUAL"


async def test_a_robot_the_metrics_do_not_know_keeps_what_the_server_knows() -> None:
    robot = await joined(device(update_mode="Pinned"))
    assert (robot.variant, robot.pinned, robot.site, robot.battery) == ("rev-B", True, "", None)
    assert robot.last_seen_at == NOW - 10
