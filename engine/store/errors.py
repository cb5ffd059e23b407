"""What can go wrong with the journal: one class per mistake a caller can act on, each with what was kept."""

from __future__ import annotations


class StoreError(Exception):
    """Base. `advice` says what a person can do."""

    advice = ""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        if advice:
            self.advice = advice


class StoreReadOnly(StoreError):
    """Nothing can be written now (disk full, file read-only). What was acknowledged stands; this was not recorded."""

    advice = "make room on the disk (or restore write permission); the engine goes on by itself"


class StoreCorrupt(StoreError):
    """The database file is damaged, or its history was changed."""

    advice = "stop the engine, keep the damaged file, restore the last good copy, then run `qd doctor`"


class StoreInUse(StoreError):
    """Another engine holds this database."""

    advice = "attach to the running engine with `qd`, or stop it with `qd engine stop`"


class StoreFenced(StoreError):
    """Another engine has taken this database over while this one was paused: nothing of this one is written any more."""

    advice = "this process must end; the newer engine has the work"


class StoreTooNew(StoreError):
    """The database was written by a newer Quarterdeck."""

    advice = "run the newer version again; going back is not possible without a copy from before"


class StaleCommit(StoreError):
    """The run moved on, or an earlier commit of it failed: decided on a state that never came to be. Nothing was kept."""

    advice = "ask again: the state is loaded anew"


class StoreClosed(StoreError):
    """The journal is closed."""
