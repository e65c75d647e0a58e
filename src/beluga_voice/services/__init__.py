"""Speech services as handles: made by name, tried, and used for one turn or for many."""
