"""Remote systems: what they may be asked, what is mirrored of them, how they are added, watched and taken away."""
