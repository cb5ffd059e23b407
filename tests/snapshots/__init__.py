"""What every screen says at three sizes, as text that tests compare; `python -m tests.snapshots` accepts what stands there now."""
