"""What to do next: pure code that is given events and the time, and gives back effects."""
