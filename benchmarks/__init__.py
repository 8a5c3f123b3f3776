"""`python -m benchmarks` measures the speed and memory that the README states, and judges each by its limit."""
