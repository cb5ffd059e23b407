"""The versions of the tables, oldest first."""

ORDER = ("v0001_journal", "v0002_records", "v0003_systems")
"""A new file gets the `STATEMENTS` of all of them at once; a file of an older version is moved by Alembic."""
