"""Measures the receiver with as many tasks as it has after months, which no test has time for."""
