"""The page people talk to, and the server behind it."""
