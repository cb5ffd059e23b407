"""Finding runs by any part of a word: a trigram index over what never changes of a run (id, workflow, title, who
started it, attributes), filled by the writer when it has nothing else to do. Runs that are not in it yet are few and
new; queries look at those one by one.
"""

from __future__ import annotations

import sqlite3

CHUNK = 2_000


class TextIndex:
    """Fills `runs_text` up to the newest run."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        row = connection.execute("select rowid from runs_text order by rowid desc limit 1").fetchone()
        self.upto = int(row[0]) if row else 0
        self.behind = True
        self.waiting = 0

    def added(self, runs: int) -> None:
        """So many runs were started."""
        if runs:
            self.waiting += runs
            self.behind = True

    def catch_up(self) -> None:
        """Takes in at most `CHUNK` runs, in one short transaction."""
        connection = self._connection
        rows = connection.execute(
            "select number, id||' '||workflow||' '||title||' '||started_by||' '||attributes from runs "
            "where number > ? order by number limit ?",
            (self.upto, CHUNK),
        ).fetchall()
        self.behind = len(rows) == CHUNK
        if not rows:
            return
        connection.execute("begin immediate")
        try:
            connection.executemany("insert into runs_text (rowid, body) values (?, ?)", rows)
            connection.execute("commit")
        finally:
            if connection.in_transaction:
                connection.execute("rollback")
        self.upto = int(rows[-1][0])
        self.waiting = max(0, self.waiting - len(rows))
