"""Pictures of the console for readers of the documentation, and the command that takes them anew."""
