"""The promises of the ports as checks that run against a live system, ours or a third party's.

`qd connectors check NAME` runs them in the engine. In a test of a connector of your own:

    from engine.capabilities.systems import conformance

    async def test_it_conforms() -> None:
        conformance.connector(my_package.connector)                        # the entry point's object, without any I/O
        ports = my_package.connector.build(settings, secret, clock, {})
        report = await conformance.check(ports, system="mine", now=time.time, write=True, given={"uri": "s3://test/"})
        conformance.assert_kept(report)

Read promises change nothing at the owner. Write promises make objects that carry a mark, and take them away again; what
a port can't take away it may do through an optional coroutine `discard(kind, id)`, which is called for nothing else.
"""

from __future__ import annotations

from engine.capabilities.systems.conformance.entry import connector
from engine.capabilities.systems.conformance.promise import Bench, Broken, NotTried, Promise, promise
from engine.capabilities.systems.conformance.running import check, promises
from engine.contract.conformance import CheckReport, PromiseResult

__all__ = [
    "Bench",
    "Broken",
    "CheckReport",
    "NotTried",
    "Promise",
    "PromiseResult",
    "assert_kept",
    "check",
    "connector",
    "promise",
    "promises",
    "sentences",
]


def sentences(report: CheckReport) -> list[str]:
    """The report as lines: what is broken and why, what is left behind, the counts."""
    lines = [f"{one.capability}/{one.name}: {one.reason}" for one in report.results if one.outcome == "broken"]
    lines += [f"left behind: {one}" for one in report.left]
    return [*lines, f"{report.kept} kept, {report.broken} broken, {report.skipped} skipped"]


def assert_kept(report: CheckReport) -> None:
    """For tests: raises AssertionError with the reasons when a promise is broken or something was left behind."""
    if report.broken or report.left:
        raise AssertionError("\n".join(sentences(report)))
