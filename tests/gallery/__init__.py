"""Pictures of the console: every screen to look at, the best for readers of the documentation, and the scenes they show."""
