"""Measurements, each run by name: ``python -m benchmarks`` lists them."""
