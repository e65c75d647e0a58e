"""What can be seen of running sessions, from outside."""
