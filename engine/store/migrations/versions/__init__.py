"""The versions of the tables, oldest first."""

ORDER = ("v0001_journal", "v0002_records", "v0003_systems", "v0004_oncall")
"""A new file gets the `STATEMENTS` of all of them at once; a file of an older version is moved by Alembic."""
