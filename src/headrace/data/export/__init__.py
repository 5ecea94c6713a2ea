"""Settled calls, told to others: each at least once, in order, with an id to know it again."""
