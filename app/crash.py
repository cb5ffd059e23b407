"""Reports of crashes: what broke and where, never the values of variables (they hold what people and robots sent)."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from pathlib import Path

KEPT = 10


def report(error: BaseException, folder: Path | None, *, doing: str = "") -> Path | None:
    """Write a report (0600) and return its path; None when there is nowhere to write. Keeps the newest ten."""
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"console-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text(error, doing))
        for old in sorted(folder.glob("console-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return None
    return path


def text(error: BaseException, doing: str = "") -> str:
    """The report: versions, the frames, the error's type. Its message is left out unless it is one of ours."""
    import textual

    frames = "".join(traceback.format_tb(error.__traceback__))
    return (
        "Quarterdeck console: crash report (no values of variables, no data)\n"
        f"when      {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}\n"
        f"doing     {doing or 'not known'}\n"
        f"python    {platform.python_version()}  textual {textual.__version__}  {sys.platform}\n"
        f"terminal  TERM={os.environ.get('TERM', '')} COLORTERM={os.environ.get('COLORTERM', '')}\n"
        f"error     {type(error).__module__}.{type(error).__qualname__}\n\n"
        f"{frames}"
    )
