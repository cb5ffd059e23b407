"""How a form's answers become a command: sent again under the same id when no answer came, so never done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from engine.contract.client import Client, EngineUnreachable
from engine.contract.common import CommandAnswer

Send = Callable[[dict[str, Any]], Awaitable[CommandAnswer]]
TRIES = 3


def sending(client: Client, verb: str, target: str = "", more: Mapping[str, Any] | None = None) -> Send:
    """A `send` for a form: the command `verb` with what was filled in (and `more`) as its arguments.

    The same answers are sent under the same id, so that a repeat after a lost answer can't happen twice.
    """
    ids: dict[str, str] = {}

    async def send(answers: dict[str, Any]) -> CommandAnswer:
        args = {**(more or {}), **answers}
        id = ids.setdefault(repr(sorted(args.items(), key=lambda item: item[0])), uuid4().hex)
        for attempt in range(TRIES):
            try:
                return await client.command(verb, target, args, id=id)
            except EngineUnreachable:
                if attempt + 1 == TRIES:
                    raise
                await asyncio.sleep(0.3 * (attempt + 1))
        raise AssertionError("unreachable")

    return send
