"""What workflows ask of gateways: a command that runs once, a file taken into evidence, a look.

A command is the workflow's own: it stands in a definition that people registered, and runs as the engine's account on the
gateway. What differs from run to run (`args`) is quoted, never put into the command's text.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from engine.capabilities.gateways.opening import PORT
from engine.capabilities.ports import Action, ActionError, Context, Deferred, InDoubt, Json, Param, optional
from engine.capabilities.systems.ports import Ran

Input = dict[str, Json]
SHOWN = 16_384
"""Characters of output that go into a step's result; all of it is kept as evidence when it is more."""
ASK_AGAIN_S = 5.0
_FILE = 256 * 1024 * 1024


def _port(context: Context, given: Input) -> Any:
    return context.port(f"{PORT}@{given['system']}" if given.get("system") else PORT)


def _unless_away(error: ActionError) -> None:
    """A gateway that can't be reached is waited for: it spends no attempt, and the step's own limit ends it."""
    if error.error == "Unreachable":
        raise Deferred(error.message, ASK_AGAIN_S) from error


def _line(command: str, args: Json) -> str:
    """The command with what it is about: `{name}` is replaced by the value as one word of the shell."""
    values = {str(name): str(value) for name, value in (args or {}).items()}
    missing = sorted(set(re.findall(r"\{([a-z_]+)\}", command)) - set(values))
    if missing:
        raise ActionError(
            "BadCommand", f"the command wants {{{missing[0]}}}, and args has none", kind="validation", retryable=False
        )
    return re.sub(r"\{([a-z_]+)\}", lambda found: shlex.quote(values[found.group(1)]), command)


async def run(context: Context, given: Input) -> Json:
    """Runs it once per step, also when the connection or the engine is lost on the way; its exit status is a result like
    any other unless `ok` names those that are fine."""
    gateway, policy = str(given["gateway"]), context.policy("gateways")
    line = _line(str(given["command"]), given.get("args"))
    limit = float(given.get("timeout_s") or policy["run"]["timeout"])
    context.heartbeat({"done": 0, "of": 1, "unit": "commands", "what": f"on {gateway}"})
    try:
        done: Ran = await _port(context, given).run(gateway, line, timeout_s=limit, key=context.key)
    except ActionError as error:
        _unless_away(error)
        if error.error == "Timeout":
            raise ActionError("GatewayTimeout", error.message, kind="timeout", retryable=False) from error
        raise
    if done.exit is None:
        raise InDoubt(
            "ConnectionLost", f"{gateway} broke off before the command had ended: it is asked again", kind="unknown"
        )
    found: dict[str, Json] = {
        "gateway": gateway, "exit": done.exit, "stdout": done.stdout[:SHOWN], "stderr": done.stderr[:SHOWN], "seconds": round(done.seconds, 3),
        "output": "",
    }  # fmt: skip
    if len(done.stdout) > SHOWN or len(done.stderr) > SHOWN:
        text = f"{done.stdout}\n--- standard error ---\n{done.stderr}".encode()
        kept = await asyncio.to_thread(
            lambda: context.vault.put_bytes(text, media="text/plain", source="gateways", name=f"{gateway}-output.txt")
        )
        found["output"] = kept.digest
    fine = given.get("ok")
    if isinstance(fine, list) and done.exit not in fine:
        raise ActionError(
            "CommandFailed", f"{gateway}: exit status {done.exit}: {(done.stderr or done.stdout).strip()[-300:]}",
            retryable=False, detail=found,
        )  # fmt: skip
    return found


async def fetch(context: Context, given: Input) -> Json:
    """Takes a file into the vault; the same content is kept once."""
    gateway, path = str(given["gateway"]), str(given["path"])
    limit = int(given.get("limit_b") or _FILE)
    with tempfile.TemporaryDirectory(prefix="qd-fetch-") as folder:
        local = Path(folder) / "file"
        try:
            size = await _port(context, given).fetch(gateway, path, local, limit_b=limit)
        except ActionError as error:
            _unless_away(error)
            raise
        name = f"{gateway}-{Path(path).name}"[:120]
        kept = await asyncio.to_thread(
            lambda: context.vault.put_file(
                local, media=str(given.get("media") or "application/octet-stream"), source="gateways", name=name
            )
        )
    return {"gateway": gateway, "digest": kept.digest, "bytes": size}


async def look(context: Context, given: Input) -> Json:
    """One gateway, or all of them, as they are now."""
    port = _port(context, given)
    names = [str(given["gateway"])] if given.get("gateway") else list(await port.names())
    states = [msgspec.to_builtins(await port.look(name)) for name in names]
    away = [one["name"] for one in states if not one.get("reachable")]
    distrusted = [one["name"] for one in states if one.get("host_key") in ("changed", "revoked", "expired")]
    return {"gateways": states, "away": away, "distrusted": distrusted, "well": not away and not distrusted}


def actions() -> dict[str, Action]:
    gateway = Param(type="string", description="name of the gateway")
    system = Param(type="string", required=False, description="which system knows it; default: whoever serves gateways")
    return {
        "gateway.run": Action(
            name="gateway.run",
            run=run,
            inputs={
                "gateway": gateway,
                "command": Param(
                    type="string", description="for the gateway's shell; {name} is a value of args, quoted"
                ),
                "args": Param(type="object", required=False),
                "timeout_s": Param(type="number", required=False),
                "ok": Param(type="array", required=False, description="exit statuses that are fine; absent: all"),
                "system": system,
            },
            outputs=optional(
                gateway="string", exit="integer", stdout="string", stderr="string", seconds="number", output="string"
            ),
            effect="once",
            reads_back=True,
            description="run a command on a gateway, once",
        ),
        "gateway.fetch": Action(
            name="gateway.fetch",
            run=fetch,
            inputs={
                "gateway": gateway,
                "path": Param(type="string"),
                "media": Param(type="string", required=False),
                "limit_b": Param(type="integer", required=False),
                "system": system,
            },
            outputs=optional(gateway="string", digest="string", bytes="integer"),
            effect="read",
            description="take a file of a gateway into evidence",
        ),
        "gateway.look": Action(
            name="gateway.look",
            run=look,
            inputs={"gateway": Param(type="string", required=False), "system": system},
            outputs=optional(gateways="array", away="array", distrusted="array", well="boolean"),
            effect="read",
            description="look at gateways: reachable, host key, version",
        ),
    }
