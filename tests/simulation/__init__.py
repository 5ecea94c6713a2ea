"""The policies in virtual time: storms, and hours of random mishaps. `python -m simulation`."""
