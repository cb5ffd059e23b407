"""The journal's statements as text, run through `executemany` on the raw cursor. (Measured: SQLAlchemy's own
execution costs twice the CPU of a step, the ORM twenty times.) Made by `compiled.py` from the tables: change those,
then `python -m engine.store.compiled`; a test holds the two equal.
"""

EVENT = (
    "INSERT INTO events (seq, run, n, type, v, at, actor, cause, data, digest, prev, hash) VALUES (?, ?, "
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
BLOB = "INSERT INTO blobs (digest, data) VALUES (?, ?) ON CONFLICT DO NOTHING"
REDACT = "UPDATE events SET data=?, digest=? WHERE events.seq = ?"
BLOB_OFF = "DELETE FROM blobs WHERE blobs.digest = ?"
COMMAND = "INSERT INTO commands (id, at, run, answer) VALUES (?, ?, ?, ?)"
COMMAND_ONCE = "INSERT INTO commands (id, at, run, answer) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
SNAPSHOT = (
    "INSERT INTO snapshots (run, n, core, state) VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET n = "
    "excluded.n, core = excluded.core, state = excluded.state"
)
SNAPSHOT_OFF = "DELETE FROM snapshots WHERE snapshots.run = ?"
DEFINITION = (
    "INSERT INTO definitions (digest, workflow, version, title, source, text, doc, registered_at, "
    "registered_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
INBOX = "INSERT INTO inbox (source, id, at, event) VALUES (?, ?, ?, ?)"
INBOX_SEEN = "INSERT INTO inbox (source, id, at, event) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
OUTBOX = "INSERT INTO outbox (seq, run, event, body, delivered) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
OUTBOX_DONE = "UPDATE outbox SET delivered=? WHERE outbox.seq = ?"
ANCHOR = "INSERT INTO anchors (seq, hash, at, signature) VALUES (?, ?, ?, ?)"
RUN = (
    "INSERT INTO runs (number, id, workflow, digest, title, status, n, seq, started_at, updated_at, "
    "ended_at, ending, waiting_on, step, started_by, gates, attention, parent, attributes) VALUES (?, ?, "
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
RUN_CHANGE = (
    "UPDATE runs SET status=?, n=?, seq=?, updated_at=?, ended_at=?, ending=?, waiting_on=?, step=?, "
    "gates=?, attention=? WHERE runs.number = ?"
)
RUN_MIGRATED = "UPDATE runs SET digest=? WHERE runs.id = ?"
STEP = (
    "INSERT INTO steps (run, path, fence, kind, status, attempt, started_at, ended_at, due, first, last, "
    "error, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, path, fence) DO "
    "UPDATE SET kind = excluded.kind, status = excluded.status, attempt = excluded.attempt, started_at = "
    "excluded.started_at, ended_at = excluded.ended_at, due = excluded.due, first = excluded.first, last "
    "= excluded.last, error = excluded.error, detail = excluded.detail"
)
STEP_END = (
    "UPDATE steps SET status=?, ended_at=?, last=?, error=?, detail=? WHERE steps.run = ? AND steps.path "
    "= ? AND steps.fence = ?"
)
STEP_WAIT = (
    "UPDATE steps SET status=?, due=?, last=?, error=?, detail=? WHERE steps.run = ? AND steps.path = ? "
    "AND steps.fence = ?"
)
STEP_CLOSE = (
    "UPDATE steps SET status=?, ended_at=?, last=?, detail=? WHERE steps.run = ? AND steps.path = ? AND "
    "ended_at IS NULL AND first < ?"
)
TIMER = (
    "INSERT INTO timers (run, scope, step, fence, purpose, due) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT "
    "(run, scope, step, fence, purpose) DO UPDATE SET due = excluded.due"
)
TIMER_OFF = (
    "DELETE FROM timers WHERE timers.run = ? AND timers.scope = ? AND timers.step = ? AND timers.fence = "
    "? AND timers.purpose = ?"
)
TIMERS_OFF = "DELETE FROM timers WHERE timers.run = ?"
WAIT = "INSERT INTO waits (run, path, event, correlate) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
WAITS_OFF = "DELETE FROM waits WHERE waits.run = ?"
LOCK = 'INSERT INTO locks ("key", run, seq, held) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING'
LOCK_HELD = 'UPDATE locks SET held=? WHERE locks."key" = ? AND locks.run = ?'
LOCK_OFF = 'DELETE FROM locks WHERE locks."key" = ? AND locks.run = ?'
LOCKS_OFF = "DELETE FROM locks WHERE locks.run = ?"
GATE = (
    "INSERT INTO gates (id, run, path, kind, question, state, opened_at, expires_at, seats_open, "
    'seats_total, claimed_by, subject, escalated, rollout, seq, closed_at, "view") VALUES (?, ?, ?, ?, ?, '
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET run = excluded.run, path = "
    "excluded.path, kind = excluded.kind, question = excluded.question, state = excluded.state, opened_at "
    "= excluded.opened_at, expires_at = excluded.expires_at, seats_open = excluded.seats_open, "
    "seats_total = excluded.seats_total, claimed_by = excluded.claimed_by, subject = excluded.subject, "
    "escalated = excluded.escalated, rollout = excluded.rollout, seq = excluded.seq, closed_at = "
    'excluded.closed_at, "view" = excluded."view"'
)
ROBOT_NEW = (
    "INSERT INTO robots (id, site, region, customer, variant, mode, desired, reported, rollout, state, "
    'hold, seq, at, "view") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING'
)
ROLLOUT = (
    "INSERT INTO rollouts (id, artifact, version, previous, cohort, state, stage, stage_index, verdict, "
    'robots, started_at, updated_at, started_by, seq, "view") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '
    "?, ?, ?) ON CONFLICT (id) DO UPDATE SET artifact = excluded.artifact, version = excluded.version, "
    "previous = excluded.previous, cohort = excluded.cohort, state = excluded.state, stage = "
    "excluded.stage, stage_index = excluded.stage_index, verdict = excluded.verdict, robots = "
    "excluded.robots, started_at = excluded.started_at, updated_at = excluded.updated_at, started_by = "
    'excluded.started_by, seq = excluded.seq, "view" = excluded."view"'
)
COHORT = (
    'INSERT INTO cohorts (id, digest, selector, robots, frozen_at, used_by, seq, "view") VALUES (?, ?, ?, '
    "?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, selector = "
    "excluded.selector, robots = excluded.robots, frozen_at = excluded.frozen_at, used_by = "
    'excluded.used_by, seq = excluded.seq, "view" = excluded."view"'
)
ROBOT_UPDATE = (
    "INSERT INTO robot_updates (rollout, robot, stage, state, from_version, to_version, reported, at, "
    'seq, "view") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rollout, robot) DO UPDATE SET stage '
    "= excluded.stage, state = excluded.state, from_version = excluded.from_version, to_version = "
    'excluded.to_version, reported = excluded.reported, at = excluded.at, seq = excluded.seq, "view" = '
    'excluded."view"'
)
GATE_COLUMNS = (
    "id",
    "run",
    "path",
    "kind",
    "question",
    "state",
    "opened_at",
    "expires_at",
    "seats_open",
    "seats_total",
    "claimed_by",
    "subject",
    "escalated",
    "rollout",
    "seq",
    "closed_at",
    "view",
)
ROBOT_UPDATE_COLUMNS = (
    "rollout",
    "robot",
    "stage",
    "state",
    "from_version",
    "to_version",
    "reported",
    "at",
    "seq",
    "view",
)
