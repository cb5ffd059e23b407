"""`python -m engine.language` writes the published JSON Schema anew."""

from engine.language.schema import FILE, text

FILE.write_text(text(), encoding="utf-8")
