"""Alembic's environment: runs the versions on the connection that `schema.migrate` hands over."""

from __future__ import annotations

from alembic import context

# Without the classes' metadata: the versions are text, and it would cost half a second of a start.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
