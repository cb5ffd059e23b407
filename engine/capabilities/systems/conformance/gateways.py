"""Promises of gateways and of policy engines."""

from __future__ import annotations

import asyncio
import shlex
import tempfile
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError
from engine.capabilities.systems.conformance.promise import Bench, NotTried, clean, must, promise, refuses, sane
from engine.capabilities.systems.ports import Decision, GatewayState

HOST_KEYS = ("trusted", "changed", "unknown", "expired", "revoked")
GATEWAY = {"gateway": "a gateway on which harmless commands may be run"}
LIMIT_B = 1000


@promise("gateways", "gateways have names, and looking at one says how it is without raising")
async def looking_says_how_it_is(port: Any, bench: Bench) -> None:
    names = await port.names()
    must(len(set(names)) == len(names), "two gateways have one name")
    if not names:
        raise NotTried("no gateway is configured")
    for name in names[:5]:
        found = await port.look(name)
        must(isinstance(found, GatewayState), f"{name}: look() returned {type(found).__name__}")
        must(found.name == name, f"asked for {name}, it tells of {found.name}")
        must(found.host_key in HOST_KEYS, f"{name}: host_key {found.host_key!r}")
        must(found.reachable or found.error, f"{name} is not reachable and does not say why")
        must(
            found.host_key == "trusted" or not found.reachable,
            f"{name}: used although its host key is {found.host_key}",
        )
        sane(found.looked_at, bench.now(), f"{name}: looked_at")
        clean(found, f"gateway {name}")


@promise("gateways", "a gateway nobody configured is refused")
async def a_strange_gateway_is_refused(port: Any, bench: Bench) -> None:
    await refuses(port.run(bench.mark, "true", timeout_s=5), kinds=("validation", "configuration", "domain"))


@promise(
    "gateways", "a command's output and exit code come back; a failing command is no error", write=True, needs=GATEWAY
)
async def a_command_comes_back(port: Any, bench: Bench) -> None:
    gateway = bench.given["gateway"]
    said = await port.run(gateway, f"echo {bench.mark}; echo aside >&2; exit 3", timeout_s=20)
    must(said.exit == 3, f"exit code {said.exit}, not 3")
    must(said.stdout.strip() == bench.mark, f"output {said.stdout[:80]!r}")
    must("aside" in said.stderr, "what it said on the side is lost")


@promise("gateways", "output is cut at its limit, and a command that does not end is ended", write=True, needs=GATEWAY)
async def output_and_time_are_limited(port: Any, bench: Bench) -> None:
    gateway = bench.given["gateway"]
    much = await port.run(gateway, "head -c 200000 /dev/zero | tr '\\0' x", timeout_s=20, limit_b=LIMIT_B)
    must(len(much.stdout) <= LIMIT_B + 100, f"{len(much.stdout)} characters came, the limit was {LIMIT_B}")
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        never = await port.run(gateway, "sleep 30", timeout_s=2)
        must(never.exit != 0, "a command that was ended counts as done")
    except ActionError as error:
        must(error.kind in ("timeout", "communication"), f"refused as {error.error} ({error.kind}), not as a timeout")
    must(loop.time() - began < 15, f"it took {loop.time() - began:.0f} s to end a command after 2 s")


@promise("gateways", "a file goes there and comes back as it was", write=True, needs=GATEWAY)
async def a_file_comes_back(port: Any, bench: Bench) -> None:
    gateway, remote = bench.given["gateway"], f"/tmp/{bench.mark}"
    content = bytes(range(256)) * 40
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        await asyncio.to_thread(source.write_bytes, content)
        bench.undo(f"{gateway}:{remote}", lambda: port.run(gateway, f"rm -f {shlex.quote(remote)}", timeout_s=20))
        must(await port.send(gateway, source, remote) == len(content), "send() counts other bytes")
        must(await port.fetch(gateway, remote, target, limit_b=1 << 20) == len(content), "fetch() counts other bytes")
        must(await asyncio.to_thread(target.read_bytes) == content, "other bytes came back")
        target.unlink()
        try:
            await port.fetch(gateway, remote, target, limit_b=LIMIT_B)
        except ActionError:
            must(not target.exists(), "half of a file over the limit was left")
        else:
            must(False, f"a file of {len(content)} bytes was fetched under a limit of {LIMIT_B}")


@promise("decisions", "what no rule decides is denied, with a reason")
async def undefined_is_a_deny(port: Any, bench: Bench) -> None:
    path = f"quarterdeck/{bench.mark.replace('-', '_')}/allow"
    try:
        found = await port.decide(path, {"check": bench.mark})
    except ActionError as error:
        must(error.kind != "authentication", f"{error.error}: {error.message[:160]}")
        return  # an error is no answer, and no answer is a deny
    must(isinstance(found, Decision), f"decide() returned {type(found).__name__}")
    must(found.allow is False, "a rule that does not exist allows")
    must(found.reason, "it denies without saying why")
    clean(found, "the decision")


@promise("decisions", "a path can't lead out of the policies")
async def paths_stay_in_the_policies(port: Any, bench: Bench) -> None:
    for path in ("../policies", "quarterdeck/../../system/main", "a?pretty=true"):
        try:
            found = await port.decide(path, {})
        except ActionError:
            continue
        must(found.allow is False, f"{path!r} allows")
