"""The fleet, joined from its owners: who exists and what is installed from the update server, the rest from metrics.

The update server's list decides who exists. A robot without metrics stays in the list with its mode UNKNOWN (it talks
to the update server) or OFFLINE (it talks to nobody): absent data is shown as absent, never as fine. What a robot says
about its own version outranks the update server's record.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from connectors.devices import Device
from engine.capabilities.ports import ActionError, Clock, Json, Param, Robot, Sample, Signals

ONLINE_POLLS = 3.0  # missed polls after which a robot counts as offline
HEARTBEAT_STALE_S = 120.0  # VDA 5050 states come every 30 s at the slowest; four missed ones are no hiccup
METRICS = (
    "robot_info",
    "robot_mode",
    "robot_battery_ratio",
    "robot_charging",
    "robot_busy",
    "robot_last_heartbeat_timestamp_seconds",
    "robot_poll_interval_seconds",
    "robot_software_info",
    "robot_rollback_floor_info",
    "robot_disk_free_bytes",
)
Labelled = tuple[dict[str, str], Sample]


class DeviceList(Protocol):
    async def devices(self) -> Sequence[Device]: ...


class JoinedFleet:
    """Implements the port Fleet."""

    def __init__(self, updates: DeviceList, signals: Signals, clock: Clock) -> None:
        self._updates, self._signals, self._clock = updates, signals, clock

    async def robots(self) -> Sequence[Robot]:
        now = self._clock.now()
        devices, answers = await asyncio.gather(self._updates.devices(), self._latest())
        metrics = {name: _by_robot(found) for name, found in answers.items()}
        return [_robot(d, {m: found[d.id] for m, found in metrics.items() if d.id in found}, now) for d in devices]

    async def _latest(self) -> Mapping[str, Sequence[Labelled]]:
        """All metrics at once where the metrics server's connector can, else one by one."""
        together = getattr(self._signals, "instants", None)
        if together is not None:
            found: Mapping[str, Sequence[Labelled]] = await together(METRICS)
            return found
        return dict(zip(METRICS, await asyncio.gather(*(self._signals.instant(m) for m in METRICS)), strict=True))


def _by_robot(found: Sequence[Labelled]) -> dict[str, Labelled]:
    """The newest series of each robot: a change of mode or version leaves the old one behind for a moment."""
    newest: dict[str, Labelled] = {}
    for labels, sample in found:
        robot = labels.get("robot", "")
        if robot and (robot not in newest or (sample.value, sample.t) >= (newest[robot][1].value, newest[robot][1].t)):
            newest[robot] = (labels, sample)
    return newest


def _robot(device: Device, metrics: Mapping[str, Labelled], now: float) -> Robot:
    def label(metric: str, name: str) -> str:
        return metrics[metric][0].get(name, "") if metric in metrics else ""

    def value(metric: str) -> float | None:
        return metrics[metric][1].value if metric in metrics else None

    poll_s = value("robot_poll_interval_seconds") or device.poll_seconds or 60.0
    # ages are by the clock of whoever answered: ours may have moved on while the answers came
    polled_ago = device.last_seen if device.last_seen is not None else math.inf
    heartbeat = metrics.get("robot_last_heartbeat_timestamp_seconds")
    heard_ago = max(0.0, heartbeat[1].t - heartbeat[1].value) if heartbeat else math.inf
    polls, heard = polled_ago <= poll_s * ONLINE_POLLS, heard_ago <= HEARTBEAT_STALE_S
    mode = label("robot_mode", "mode") if heard or heartbeat is None else ""
    disk = value("robot_disk_free_bytes")
    return Robot(
        id=device.id,
        serial=label("robot_info", "serial"),
        site=label("robot_info", "site"),
        region=label("robot_info", "region"),
        customer=label("robot_info", "customer"),
        variant=label("robot_info", "variant") or (device.hardware.revision if device.hardware else ""),
        mode=mode or ("UNKNOWN" if polls or heard else "OFFLINE"),
        version=label("robot_software_info", "version") or device.sw_version or "",
        battery=value("robot_battery_ratio"),
        last_seen_at=max(0.0, now - min(polled_ago, heard_ago)),
        poll_s=poll_s,
        online=polls or heard,
        busy=value("robot_busy") == 1.0,
        charging=value("robot_charging") == 1.0,
        pinned=device.update_mode == "Pinned",
        rollback_floor=label("robot_rollback_floor_info", "version"),
        disk_free_b=int(disk) if disk is not None else None,
    )


class JoinedFleetConnector:
    """Needs no settings: it is built on the update server and the metrics server."""

    kind = "joined"
    title = "Fleet, joined from updates and signals"
    docs = "no system of its own; tested with gooseBit and Prometheus"
    capabilities = ("fleet",)
    needs = ("updates", "signals")
    fields: dict[str, Param] = {}

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        updates = ports["updates"]
        if not callable(getattr(updates, "devices", None)):
            raise ActionError(
                "NotConfigured",
                "fleet joined: the update server's connector cannot list devices",
                kind="configuration",
                retryable=False,
            )
        return {"fleet": JoinedFleet(updates, ports["signals"], clock)}


connector = JoinedFleetConnector()
