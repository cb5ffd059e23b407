"""Maintenance Escalation: cases, problems, return to service."""
