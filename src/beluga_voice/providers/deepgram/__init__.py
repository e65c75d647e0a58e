"""What Deepgram's services have in common: how they are reached, and how they fail."""
