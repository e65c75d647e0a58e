"""What the framework costs: each benchmark is one command, `python -m benchmarks NAME`."""
