"""Benchmarks: ratios measured side by side in one run. See docs/internals/benchmarks.md."""
