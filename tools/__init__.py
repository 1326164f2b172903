"""What the project's developers run: the sandbox, the probe, chaos and benchmarks."""
