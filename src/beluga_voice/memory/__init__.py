"""What is kept of a conversation after it."""
