"""What runs on an SSH server: a command that runs once per key, and a session somebody sits at."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
from typing import Any

from engine.capabilities.ports import ActionError

CHUNK = 1 << 16


def mark(key: str) -> str:
    """The name under which a command's mark stands on the gateway."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def once(command: str, folder: str, key: str, *, limit_b: int) -> str:
    """A shell line that runs `command` the first time it is seen with this key, waits for it otherwise, and answers with
    what it said and its exit status; 125 with a word on standard error when a mark stands there and nobody works on it."""
    place = shlex.quote(folder)
    home = f"{place}/runs" if folder.startswith("/") else f'"$HOME"/{place}/runs'
    work = f'( {command}\n) >"$d/out" 2>"$d/err" </dev/null; echo $? >"$d/exit.new"; mv "$d/exit.new" "$d/exit"'
    return "\n".join(
        (
            f'umask 077; r={home}; d="$r"/{mark(key)}',
            'mkdir -p "$r" && find "$r" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +',
            'if mkdir "$d" 2>/dev/null; then',
            # it goes on when the connection ends: what it says goes to files, and a hang-up is not for it
            f'(trap \'\' HUP; sh -c \'echo $PPID\' >"$d/pid.new"; mv "$d/pid.new" "$d/pid"; {work}) </dev/null >/dev/null 2>&1 &',
            "fi",
            'n=0; while [ ! -e "$d/exit" ]; do',
            'if [ -e "$d/pid" ]; then kill -0 "$(cat "$d/pid")" 2>/dev/null || { sleep 0.3; [ -e "$d/exit" ] || '
            '{ echo "quarterdeck: begun and not finished" >&2; exit 125; }; }',
            'else n=$((n+1)); [ "$n" -lt 50 ] || { echo "quarterdeck: begun and not finished" >&2; exit 125; }; fi; sleep 0.1; done',
            f'head -c {limit_b} "$d/out"; head -c {limit_b} "$d/err" >&2; exit "$(cat "$d/exit")"',
        )
    )


class SshTerminal:
    """A channel of a connection of its own (`engine.capabilities.systems.ports.Terminal`)."""

    def __init__(self, stack: contextlib.AsyncExitStack, process: Any, connection: Any, fingerprint: str) -> None:
        self._stack, self._process, self._connection = stack, process, connection
        self.fingerprint = fingerprint
        self.exit: int | None = None
        self._closed = False

    async def read(self) -> bytes:
        import asyncssh

        try:
            data: bytes = await self._process.stdout.read(CHUNK)
        except asyncssh.TerminalSizeChanged:
            return await self.read()
        except (OSError, asyncssh.Error):
            data = b""
        if data:
            return data
        if not self._closed:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._process.wait_closed(), 2.0)
        self.exit = self._process.exit_status if self._process.exit_status != -1 else None
        return b""

    async def write(self, data: bytes) -> None:
        if self._closed or self._process.stdin.is_closing():
            raise ActionError("SessionEnded", "the session has ended", kind="conflict", retryable=False)
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except (OSError, BrokenPipeError) as error:
            raise ActionError("SessionEnded", "the session has ended", kind="conflict", retryable=False) from error

    def resize(self, cols: int, rows: int) -> None:
        with contextlib.suppress(OSError):
            self._process.change_terminal_size(cols, rows)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._connection.abort()  # not asked for politely: the grant has ended
        await self._stack.aclose()
