"""What the benchmarks compare with: the same work without Longhaul."""
