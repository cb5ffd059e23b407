"""Alerts of the alert manager, and silences with an owner and an end."""
