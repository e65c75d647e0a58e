"""Conversations written down in files and played in simulated time, exact to the millisecond."""
