"""Real-time voice agents that never go silent."""
