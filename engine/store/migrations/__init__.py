"""Alembic's folder: one file per version of the tables, run when the database is opened."""
