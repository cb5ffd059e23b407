"""`python -m tests.benchmarks NAME --json`: one measurement, one JSON object. Each NAME is a module of this package
with `run(options) -> dict` (sync) or `async def run(options)`; `OPTIONS` may override the defaults of the sizes.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import json
import pkgutil
import sys
from typing import Any

import tests.benchmarks as package


def names() -> list[str]:
    return sorted(
        module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith(("_", "harness"))
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=names(), metavar="NAME", help=", ".join(names()))
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on standard output (the default shows it indented)"
    )
    parser.add_argument("--runs", type=int, default=None, help="how many runs")
    parser.add_argument("--concurrency", type=int, default=None, help="how many at once")
    parser.add_argument("--waiting", type=int, default=None, help="how many runs wait meanwhile")
    parser.add_argument("--events-per-s", type=float, default=None, help="how many events arrive meanwhile")
    parser.add_argument("--events", type=int, default=None, help="how long the history is")
    parser.add_argument("--seconds", type=float, default=None, help="how long to look")
    parser.add_argument("--megabytes", type=float, default=None, help="how large the longest file is")
    options = parser.parse_args(argv)
    module: Any = importlib.import_module(f"tests.benchmarks.{options.name}")
    for field, value in getattr(module, "OPTIONS", {}).items():
        if getattr(options, field, None) is None:
            setattr(options, field, value)
    measured = module.run(options)
    if inspect.isawaitable(measured):

        async def wait() -> Any:
            return await measured

        measured = asyncio.run(wait())
    print(json.dumps({"name": options.name, **measured}, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
