"""The engine process: `python -m engine`, the composition root. Started by the console on demand, or by systemd."""
