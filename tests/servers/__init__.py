"""Starts what tests, trials and benchmarks need: the receiver, PostgreSQL, proxies, and hosts of their own."""
