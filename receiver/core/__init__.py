"""The pure core: no I/O, no clock, no framework. It decides; the rest of the house does."""
