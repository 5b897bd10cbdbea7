"""Runs of some minutes in which something always goes wrong; each judges itself in the end."""
