"""Services that hear, answer and speak."""
