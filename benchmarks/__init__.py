"""Headrace beside its peers on one machine, one upstream and one run: `python -m benchmarks`."""
