"""What console and engine say to each other: msgspec structs by subject, and the client's protocol. No behaviour."""
