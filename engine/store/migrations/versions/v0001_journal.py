"""The journal, its projections and the domain's records.

Revision ID: 0001
"""

from __future__ import annotations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The text as it was when this version was made: a later change of the classes is a later version. `runs_text` finds
# runs by any part of a word; it holds no copy of the text and is filled behind the writer's back, so that no commit
# pays for it.
STATEMENTS = (
    """
    CREATE TABLE anchors (
        seq INTEGER NOT NULL,
        hash BLOB NOT NULL,
        at FLOAT NOT NULL,
        signature BLOB NOT NULL,
        PRIMARY KEY (seq)
    )
    """,
    """
    CREATE TABLE blobs (
        digest BLOB NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (digest)
    )
    """,
    """
    CREATE TABLE cohorts (
        id VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        selector VARCHAR NOT NULL,
        robots INTEGER NOT NULL,
        frozen_at FLOAT NOT NULL,
        used_by VARCHAR NOT NULL,
        seq INTEGER NOT NULL,
        "view" BLOB NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE commands (
        id VARCHAR NOT NULL,
        at FLOAT NOT NULL,
        run VARCHAR NOT NULL,
        answer BLOB NOT NULL,
        PRIMARY KEY (id)
    )
     WITHOUT ROWID
    """,
    """
    CREATE TABLE definitions (
        digest VARCHAR NOT NULL,
        workflow VARCHAR NOT NULL,
        version INTEGER NOT NULL,
        title VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        text VARCHAR NOT NULL,
        doc BLOB NOT NULL,
        registered_at FLOAT NOT NULL,
        registered_by VARCHAR NOT NULL,
        PRIMARY KEY (digest),
        CONSTRAINT definitions_version UNIQUE (workflow, version)
    )
    """,
    """
    CREATE TABLE engine (
        one INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        owner VARCHAR NOT NULL,
        since FLOAT NOT NULL,
        clean BOOLEAN NOT NULL,
        PRIMARY KEY (one)
    )
    """,
    """
    CREATE TABLE events (
        seq INTEGER NOT NULL,
        run VARCHAR NOT NULL,
        n INTEGER NOT NULL,
        type VARCHAR NOT NULL,
        v INTEGER NOT NULL,
        at INTEGER NOT NULL,
        actor VARCHAR NOT NULL,
        cause VARCHAR NOT NULL,
        data BLOB,
        digest BLOB,
        prev BLOB NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (seq),
        CONSTRAINT events_run_n UNIQUE (run, n)
    )
    """,
    """
    CREATE TABLE gates (
        id VARCHAR NOT NULL,
        run VARCHAR NOT NULL,
        path VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        question VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        opened_at FLOAT NOT NULL,
        expires_at FLOAT NOT NULL,
        seats_open INTEGER NOT NULL,
        seats_total INTEGER NOT NULL,
        claimed_by VARCHAR NOT NULL,
        subject VARCHAR NOT NULL,
        escalated BOOLEAN NOT NULL,
        rollout VARCHAR NOT NULL,
        seq INTEGER NOT NULL,
        closed_at FLOAT,
        "view" BLOB NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX gates_open ON gates (expires_at) WHERE state = 'open'
    """,
    """
    CREATE INDEX gates_run ON gates (run)
    """,
    """
    CREATE INDEX gates_seq ON gates (seq)
    """,
    """
    CREATE TABLE inbox (
        source VARCHAR NOT NULL,
        id VARCHAR NOT NULL,
        at FLOAT NOT NULL,
        event VARCHAR NOT NULL,
        PRIMARY KEY (source, id)
    )
     WITHOUT ROWID
    """,
    """
    CREATE TABLE locks (
        "key" VARCHAR NOT NULL,
        run VARCHAR NOT NULL,
        seq INTEGER NOT NULL,
        held BOOLEAN NOT NULL,
        PRIMARY KEY ("key", run)
    )
     WITHOUT ROWID
    """,
    """
    CREATE INDEX locks_run ON locks (run)
    """,
    """
    CREATE TABLE mirror (
        system VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        id VARCHAR NOT NULL,
        etag VARCHAR NOT NULL,
        at FLOAT NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (system, kind, id)
    )
     WITHOUT ROWID
    """,
    """
    CREATE TABLE outbox (
        seq INTEGER NOT NULL,
        run VARCHAR NOT NULL,
        event VARCHAR NOT NULL,
        body BLOB NOT NULL,
        delivered BOOLEAN NOT NULL,
        PRIMARY KEY (seq)
    )
    """,
    """
    CREATE INDEX outbox_todo ON outbox (seq) WHERE delivered = 0
    """,
    """
    CREATE TABLE robot_updates (
        rollout VARCHAR NOT NULL,
        robot VARCHAR NOT NULL,
        stage VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        from_version VARCHAR NOT NULL,
        to_version VARCHAR NOT NULL,
        reported VARCHAR NOT NULL,
        at FLOAT NOT NULL,
        seq INTEGER NOT NULL,
        "view" BLOB NOT NULL,
        PRIMARY KEY (rollout, robot)
    )
     WITHOUT ROWID
    """,
    """
    CREATE INDEX robot_updates_robot ON robot_updates (robot)
    """,
    """
    CREATE TABLE robots (
        id VARCHAR NOT NULL,
        site VARCHAR NOT NULL,
        region VARCHAR NOT NULL,
        customer VARCHAR NOT NULL,
        variant VARCHAR NOT NULL,
        mode VARCHAR NOT NULL,
        desired VARCHAR NOT NULL,
        reported VARCHAR NOT NULL,
        rollout VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        hold VARCHAR NOT NULL,
        seq INTEGER NOT NULL,
        at FLOAT NOT NULL,
        "view" BLOB NOT NULL,
        PRIMARY KEY (id)
    )
     WITHOUT ROWID
    """,
    """
    CREATE INDEX robots_rollout ON robots (rollout)
    """,
    """
    CREATE INDEX robots_site ON robots (site)
    """,
    """
    CREATE TABLE rollouts (
        id VARCHAR NOT NULL,
        artifact VARCHAR NOT NULL,
        version VARCHAR NOT NULL,
        previous VARCHAR NOT NULL,
        cohort VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        stage VARCHAR NOT NULL,
        stage_index INTEGER NOT NULL,
        verdict VARCHAR NOT NULL,
        robots INTEGER NOT NULL,
        started_at FLOAT NOT NULL,
        updated_at FLOAT NOT NULL,
        started_by VARCHAR NOT NULL,
        seq INTEGER NOT NULL,
        "view" BLOB NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX rollouts_seq ON rollouts (seq)
    """,
    """
    CREATE INDEX rollouts_state ON rollouts (state, seq)
    """,
    """
    CREATE TABLE runs (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        workflow VARCHAR NOT NULL,
        digest VARCHAR NOT NULL,
        title VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        n INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        started_at FLOAT NOT NULL,
        updated_at FLOAT NOT NULL,
        ended_at FLOAT,
        ending VARCHAR NOT NULL,
        waiting_on VARCHAR NOT NULL,
        step VARCHAR NOT NULL,
        started_by VARCHAR NOT NULL,
        gates INTEGER NOT NULL,
        attention VARCHAR NOT NULL,
        parent VARCHAR,
        attributes VARCHAR NOT NULL,
        PRIMARY KEY (number),
        UNIQUE (id)
    )
    """,
    """
    CREATE INDEX runs_attention ON runs (seq) WHERE attention != ''
    """,
    """
    CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL
    """,
    """
    CREATE INDEX runs_status ON runs (status, seq, workflow)
    """,
    """
    CREATE INDEX runs_workflow ON runs (workflow)
    """,
    """
    CREATE TABLE snapshots (
        run VARCHAR NOT NULL,
        n INTEGER NOT NULL,
        core VARCHAR NOT NULL,
        state BLOB NOT NULL,
        PRIMARY KEY (run)
    )
    """,
    """
    CREATE TABLE steps (
        run VARCHAR NOT NULL,
        path VARCHAR NOT NULL,
        fence INTEGER NOT NULL,
        kind VARCHAR NOT NULL,
        status VARCHAR NOT NULL,
        attempt INTEGER NOT NULL,
        started_at FLOAT NOT NULL,
        ended_at FLOAT,
        due FLOAT,
        first INTEGER NOT NULL,
        last INTEGER,
        error VARCHAR NOT NULL,
        detail VARCHAR NOT NULL,
        PRIMARY KEY (run, path, fence)
    )
     WITHOUT ROWID
    """,
    """
    CREATE TABLE timers (
        run VARCHAR NOT NULL,
        scope VARCHAR NOT NULL,
        step VARCHAR NOT NULL,
        fence INTEGER NOT NULL,
        purpose VARCHAR NOT NULL,
        due FLOAT NOT NULL,
        PRIMARY KEY (run, scope, step, fence, purpose)
    )
     WITHOUT ROWID
    """,
    """
    CREATE INDEX timers_due ON timers (due)
    """,
    """
    CREATE TABLE waits (
        run VARCHAR NOT NULL,
        path VARCHAR NOT NULL,
        event VARCHAR NOT NULL,
        correlate VARCHAR NOT NULL,
        PRIMARY KEY (run, path, event)
    )
     WITHOUT ROWID
    """,
    """
    CREATE INDEX waits_event ON waits (event, correlate)
    """,
    """
    CREATE VIRTUAL TABLE runs_text USING fts5(body, content='', tokenize='trigram')
    """,
)


def upgrade() -> None:
    from alembic import op  # here: a new file takes the text alone (`schema.create`)

    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("history is not taken back: restore a copy from before")
