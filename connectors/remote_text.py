"""Text from outside (robot logs, labels, error bodies), made inert and short before it goes anywhere.

The console cleans again at its own edge; this is the first line, so that journals, logs and other programs never hold
control characters, bidirectional overrides or megabytes that a robot chose.
"""

from __future__ import annotations

import unicodedata

_MAP: dict[int, int] = {c: 0x2400 + c for c in range(0x20)} | {0x7F: 0x2421}
_MAP.update(dict.fromkeys(range(128, 160), 65533))
for _first, _last in (
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2028, 0x2029),
    (0x2060, 0x206F),
    (0xD800, 0xDFFF),
    (0xFFF9, 0xFFFB),
    (0xE0000, 0xE0FFF),
):
    _MAP.update(dict.fromkeys(range(_first, _last + 1), 65533))
_MAP.update(dict.fromkeys((1564, 6158, 65279, 173, 847, 4447, 4448, 12644, 65440), 65533))
_MARKS = 3  # stacked combining marks beyond this only cover other text


def clean(text: object, limit: int = 200) -> str:
    """One inert line of at most `limit` characters (and an ellipsis). Cut first, so that the work is bounded."""
    raw = str(text)
    if len(raw) <= limit and raw.isascii() and raw.isprintable():
        return raw
    kept = raw[:limit].translate(_MAP)
    if not kept.isascii():
        out, run = [], 0
        for ch in kept:
            run = run + 1 if unicodedata.category(ch) in ("Mn", "Me") else 0
            if run <= _MARKS:
                out.append(ch)
        kept = "".join(out)
    return kept + "…" if len(raw) > limit else kept
