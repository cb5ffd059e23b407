"""Trying a call without sending it: only where writes are known to be held back, with arguments that are checked first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.capabilities import dry
from engine.capabilities.desk import Refusal
from engine.capabilities.systems.ports import NewTicket
from engine.capabilities.systems.rehearsing import CALLS, VERBS, DryArgs, forms
from tests.unit.conformance.desk_of_tickets import Desk


class Sending(Desk):
    """Writes go through something that honours dry mode, as the shared client does."""

    dry_mode = True
    sent = 0

    async def open(self, new: NewTicket, *, key: str, in_doubt: bool = False) -> Any:
        found = dry.sink()
        if found is not None:
            found.append(
                dry.Would(
                    system="desk",
                    method="POST",
                    url="https://desk.example/tickets",
                    body={"title": new.title, "key": key},
                )
            )
            raise dry.NotSent("NotSent", "dry", kind="configuration", retryable=False)
        self.sent += 1
        return await super().open(new, key=key, in_doubt=in_doubt)


class Asker:
    def __init__(self, port: Any) -> None:
        connected = SimpleNamespace(systems={"desk": SimpleNamespace(serves=("tickets",))})
        self._ports = {"systems": SimpleNamespace(connections=connected), "tickets@desk": port}

    def port(self, name: str) -> Any:
        return self._ports[name]

    def refuse(self, code: str, reason: str, fix: str = "", field: str = "") -> None:
        raise Refusal(code, reason, fix=fix, field=field)


async def tried(port: Any, call: str, **args: Any) -> Any:
    return await VERBS[0].do(Asker(port), SimpleNamespace(id="desk"), DryArgs(call=call, args=args))  # type: ignore[arg-type]


async def test_a_write_is_told_and_not_sent() -> None:
    port = Sending()
    found = await tried(port, "tickets.open", new={"title": "left arm", "body": "slow"})
    assert list(found["would"]) == [
        {
            "system": "desk",
            "method": "POST",
            "url": "https://desk.example/tickets",
            "body": {"title": "left arm", "key": "dry-run"},
        }
    ]
    assert port.sent == 0 and dry.sink() is None


async def test_a_read_goes_through_and_a_refusal_of_the_owner_is_told() -> None:
    assert (await tried(Sending(), "tickets.read", id="1"))["result"]["title"] == "Ticket 0"
    assert "NoSuchTicket" in (await tried(Sending(), "tickets.read", id="99"))["error"]


async def test_a_port_that_is_not_known_to_hold_back_is_not_tried() -> None:
    port = Desk()
    with pytest.raises(Refusal, match="not known"):
        await tried(port, "tickets.open", new={"title": "x", "body": ""})
    assert not port.calls


@pytest.mark.parametrize(
    ("call", "args", "field"),
    [
        ("tickets.burn", {}, "args.call"),
        ("tickets.check", {}, "args.call"),
        ("tickets.__init__", {}, "args.call"),
        ("gateways.run", {"command": "reboot"}, "args.call"),
        ("tickets.open", {}, "args.args.new"),
        ("tickets.open", {"new": {"title": 3}}, "args.args.new"),
        ("tickets.open", {"new": {"title": "x", "body": ""}, "in_doubt": True}, "args.args.in_doubt"),
    ],
)
async def test_what_is_not_a_call_or_lacks_an_argument_is_named(call: str, args: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        await tried(Sending(), call, **args)
    assert refused.value.field == field


def test_no_call_that_runs_commands_or_moves_files_is_offered() -> None:
    offered = {one.call for one in forms(tuple(CALLS))}
    assert not [
        one for one in offered if one.startswith(("gateways", "training")) or one in ("objects.put", "objects.get")
    ]
    assert {"tickets.open", "updates.assign", "alerts.silence"} <= offered
