"""Measurements: speed, memory, accuracy. Run as python -m benchmarks.NAME."""
