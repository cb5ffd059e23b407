"""Time is a port."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.hosts.clock import RealClock, ScaledClock, VirtualClock


def test_a_scaled_clock_is_the_same_in_every_process() -> None:
    one, two = ScaledClock(1000.0, 50.0, 600.0), ScaledClock(1000.0, 50.0, 600.0)
    assert abs(one.now() - two.now()) < 600 * 0.01
    assert one.real_delay(one.now() + 600) == pytest.approx(1.0, abs=0.01)
    assert one.real_duration(6000) == 10
    with pytest.raises(ValueError, match="above zero"):
        ScaledClock(0, 0, 0)


async def test_a_scaled_sleep_takes_its_share_of_real_time() -> None:
    clock, began = ScaledClock(0.0, time.time(), 100.0), time.monotonic()
    await clock.sleep(10)
    assert 0.09 < time.monotonic() - began < 1.0


def test_the_real_clock_is_the_wall() -> None:
    clock = RealClock()
    assert abs(clock.now() - time.time()) < 1
    assert clock.real_delay(time.time() - 5) < 0
    assert clock.real_duration(7.0) == 7.0


async def test_a_virtual_clock_moves_only_when_told_and_wakes_in_order() -> None:
    clock, woken = VirtualClock(100.0), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.now()))

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (5.0, 1.0, 9.0)]
    await asyncio.sleep(0.01)
    assert woken == []
    clock.advance(6)
    await asyncio.sleep(0.01)
    assert woken == [(1.0, 106.0), (5.0, 106.0)]
    clock.advance(6)
    await asyncio.gather(*tasks)
    assert clock.now() == 112.0
