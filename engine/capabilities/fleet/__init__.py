"""Robots as this installation looks after them: in service or not, holds, who has control."""
