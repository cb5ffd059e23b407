"""The tables of the records, a module per subject. Imported to make or migrate them, never by a running engine.

A table's columns beyond the base are copies of fields of the record's shape, to filter and sort by.
"""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Imports every module here, so that the metadata knows all tables."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
