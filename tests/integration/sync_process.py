"""An engine that does nothing but mirror a shelf, to be killed: `python -m tests.integration.sync_process DATABASE URL`.

Prints a line after every reading that came to its end.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from engine.capabilities import subjects
from engine.hosts.clock import RealClock
from engine.hosts.embedded import Host
from engine.hosts.settings import Config
from engine.hosts.syncing import Syncing
from engine.language import Expressions
from tests.benchmarks.harness_shelf import Shelf


async def main(database: Path, url: str) -> None:
    host = await Host.open(
        Config(
            database=database, actions={}, evaluator=Expressions(), clock=RealClock(), catalogue=subjects.catalogue()
        )
    )
    syncing = Syncing(host, host.clock)
    syncing.follow("shelf", (Shelf(url),))
    print("open", flush=True)
    while True:
        (found,) = await syncing.sync("shelf", "thing")
        print(f"{found.changed} {found.error}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
