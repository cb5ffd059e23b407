"""Maintenance: cases, their clocks and coding, problems, and the way of a robot back to service."""
