"""Frozen values that cross stages, with their own parsing and printing. No I/O, no framework."""
