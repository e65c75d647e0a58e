"""The public testing kit: simulated time, network, services and people."""
