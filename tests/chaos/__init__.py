"""Faults, cuts and races through the real port."""
