"""What the framework costs, measured: each benchmark is one command, `python -m benchmarks NAME`."""
