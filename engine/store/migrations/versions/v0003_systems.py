"""Remote systems: what the mirror keeps of their objects, how far each feed is, and the records about them."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# The text as it was when this version was made: a later change of the classes is a later version.
STATEMENTS = (
    "ALTER TABLE mirror ADD COLUMN name VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN state VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN url VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN changed_at FLOAT DEFAULT '0' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN deleted_at FLOAT DEFAULT '0' NOT NULL",
    "ALTER TABLE mirror ADD COLUMN digest BLOB DEFAULT '' NOT NULL",
    "CREATE TABLE deliveries (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, source VARCHAR NOT NULL, digest VARCHAR NOT NULL, size_b INTEGER "
    "NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_deliveries_run ON deliveries (run)",
    "CREATE INDEX ix_deliveries_seq ON deliveries (seq)",
    "CREATE INDEX ix_deliveries_source ON deliveries (source)",
    "CREATE INDEX ix_deliveries_state ON deliveries (state)",
    "CREATE TABLE notices (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, channel VARCHAR NOT NULL, severity VARCHAR NOT NULL, gate VARCHAR "
    "NOT NULL, event VARCHAR NOT NULL, told_at FLOAT NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_notices_channel ON notices (channel)",
    "CREATE INDEX ix_notices_gate ON notices (gate)",
    "CREATE INDEX ix_notices_run ON notices (run)",
    "CREATE INDEX ix_notices_seq ON notices (seq)",
    "CREATE INDEX ix_notices_state ON notices (state)",
    "CREATE TABLE silences (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, system VARCHAR NOT NULL, remote VARCHAR NOT NULL, robot VARCHAR NOT "
    'NULL, owner VARCHAR NOT NULL, "case" VARCHAR NOT NULL, ends_at FLOAT NOT NULL, PRIMARY KEY (id))',
    "CREATE INDEX ix_silences_remote ON silences (remote)",
    "CREATE INDEX ix_silences_robot ON silences (robot)",
    "CREATE INDEX ix_silences_run ON silences (run)",
    "CREATE INDEX ix_silences_seq ON silences (seq)",
    "CREATE INDEX ix_silences_state ON silences (state)",
    "CREATE TABLE ssh_sessions (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, gateway VARCHAR NOT NULL, site VARCHAR NOT NULL, person "
    "VARCHAR NOT NULL, grant VARCHAR NOT NULL, started_at FLOAT NOT NULL, ended_at FLOAT NOT NULL, recording "
    "VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_ssh_sessions_gateway ON ssh_sessions (gateway)",
    "CREATE INDEX ix_ssh_sessions_grant ON ssh_sessions (grant)",
    "CREATE INDEX ix_ssh_sessions_person ON ssh_sessions (person)",
    "CREATE INDEX ix_ssh_sessions_run ON ssh_sessions (run)",
    "CREATE INDEX ix_ssh_sessions_seq ON ssh_sessions (seq)",
    "CREATE INDEX ix_ssh_sessions_state ON ssh_sessions (state)",
    "CREATE TABLE sync_state (system VARCHAR NOT NULL, feed VARCHAR NOT NULL, at FLOAT NOT NULL, state BLOB "
    "NOT NULL, PRIMARY KEY (system, feed)) WITHOUT ROWID",
    "CREATE TABLE systems (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, system_kind VARCHAR NOT NULL, url VARCHAR NOT NULL, origin VARCHAR "
    "NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_systems_run ON systems (run)",
    "CREATE INDEX ix_systems_seq ON systems (seq)",
    "CREATE INDEX ix_systems_state ON systems (state)",
    "CREATE TABLE ticket_links (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    'NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, "case" VARCHAR NOT NULL, system VARCHAR NOT NULL, ticket '
    "VARCHAR NOT NULL, synced_at FLOAT NOT NULL, PRIMARY KEY (id))",
    'CREATE INDEX ix_ticket_links_case ON ticket_links ("case")',
    "CREATE INDEX ix_ticket_links_run ON ticket_links (run)",
    "CREATE INDEX ix_ticket_links_seq ON ticket_links (seq)",
    "CREATE INDEX ix_ticket_links_state ON ticket_links (state)",
    "CREATE INDEX ix_ticket_links_ticket ON ticket_links (ticket)",
    "CREATE TABLE ticket_pages (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    'NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, "case" VARCHAR NOT NULL, system VARCHAR NOT NULL, "key" '
    "VARCHAR NOT NULL, PRIMARY KEY (id))",
    'CREATE INDEX ix_ticket_pages_case ON ticket_pages ("case")',
    "CREATE INDEX ix_ticket_pages_run ON ticket_pages (run)",
    "CREATE INDEX ix_ticket_pages_seq ON ticket_pages (seq)",
    "CREATE INDEX ix_ticket_pages_state ON ticket_pages (state)",
)


def upgrade() -> None:
    from alembic import op  # here: a new file takes the text alone (`schema.create`)

    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("history is not taken back: restore a copy from before")
