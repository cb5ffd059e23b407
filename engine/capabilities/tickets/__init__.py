"""Tickets and pages in other people's systems: opened, kept in step with cases, never silently overwritten."""
