"""Tries the promises of a system's ports, one after the other, and reports on each."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.capabilities.ports import ActionError, Deferred
from engine.capabilities.systems.conformance.promise import PROMISES, UNSUPPORTED, Bench, Broken, NotTried, Promise
from engine.contract.conformance import CheckReport, PromiseResult

PATIENCE_S = 60.0
"""As long as one promise may take; a system that needs longer would hold up a run's step as well."""
SHORT_WAIT_S = 10.0
"""A system that asks to wait this long is waited for, once."""


def promises(capability: str) -> tuple[Promise, ...]:
    """What a port of this capability promises: what every port does, then its own."""
    from engine.capabilities.systems.conformance import catalogue

    catalogue.load()
    return tuple(one for one in PROMISES if one.capability in ("", capability))


async def check(
    ports: Mapping[str, Any],
    *,
    system: str,
    kind: str = "",
    now: Callable[[], float],
    write: bool = False,
    given: Mapping[str, str] | None = None,
    only: Iterable[str] = (),
    told: Callable[[PromiseResult], None] | None = None,
) -> CheckReport:
    """Tries every promise of `ports` (capability -> implementation).

    Without `write` nothing is changed at the owner. With it, objects are made that carry a mark, and are taken away after;
    what can't be is in `left`. `given` names what else may be touched (`robot`, `uri`, `channel`, `gateway` …); promises
    that need one which is not named are skipped and say so. `only`: names of promises, for a second look. `told` hears of
    each as it ends.
    """
    mark = f"qd-check-{secrets.token_hex(4)}"
    wanted, results, left = set(only), list[PromiseResult](), list[str]()
    away: dict[int, str] = {}
    for capability, port in ports.items():
        bench = Bench(mark, now, dict(given or {}), capability)
        seen = id(port) in away
        away.setdefault(id(port), "")
        try:
            for one in promises(capability):
                if (wanted and one.name not in wanted) or (not one.capability and seen):
                    continue  # what every port promises is tried once for an object that serves several capabilities
                result = await _try(one, port, bench, write=write, away=away[id(port)])
                if one.name == "check-names-the-server" and result.outcome == "broken":
                    away[id(port)] = result.reason
                results.append(result)
                if told is not None:
                    told(result)
        finally:
            await bench.clear()
        left += bench.left
    counts = {outcome: sum(one.outcome == outcome for one in results) for outcome in ("kept", "broken", "skipped")}
    return CheckReport(
        system=system, kind=kind, at=now(), write=write, results=tuple(results), left=tuple(left), mark=mark if write else "",
        kept=counts["kept"], broken=counts["broken"], skipped=counts["skipped"],
    )  # fmt: skip


async def _try(one: Promise, port: Any, bench: Bench, *, write: bool, away: str) -> PromiseResult:
    loop = asyncio.get_running_loop()
    began = loop.time()

    def told(outcome: Any, reason: str = "") -> PromiseResult:
        return PromiseResult(
            capability=bench.capability, name=one.name, says=one.says, write=one.write, outcome=outcome, reason=reason[:400],
            seconds=round(loop.time() - began, 3),
        )  # fmt: skip

    if away:
        return told("skipped", f"the system did not answer: {away}")
    if one.write and not write:
        return told("skipped", "it is tried by writing only (--write)")
    missing = {name: what for name, what in one.needs.items() if not bench.given.get(name)}
    if missing:
        return told("skipped", "; ".join(f"needs --on {name}=… ({what})" for name, what in missing.items()))
    for last in (False, True):
        try:
            async with asyncio.timeout(PATIENCE_S):
                await one.run(port, bench)
            return told("kept")
        except NotTried as error:
            return told("skipped", str(error))
        except Broken as error:
            return told("broken", str(error))
        except TimeoutError:
            return told("broken", f"no end within {PATIENCE_S:.0f} s")
        except Deferred as error:
            return told("skipped", f"the system is busy: {error.reason}")
        except ActionError as error:
            if error.error in UNSUPPORTED:
                declared = getattr(port, "traits", None) or {}
                if declared:
                    return told("skipped", f"declared as not possible there: {error.message}")
                return told("broken", f"it can't do this and no trait says so: {error.message}")
            wait = error.retry_after
            if last or wait is None or wait > SHORT_WAIT_S:
                return told("broken", f"{error.error}: {error.message}")
            await asyncio.sleep(wait)
        except Exception as error:  # noqa: BLE001 - anything else is what the port must not let through
            return told("broken", f"{type(error).__name__} came through, where only ActionError may: {error}")
    raise AssertionError("the last try returns")
