"""Speech without the noise around it."""
