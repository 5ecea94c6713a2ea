"""Answers from other calls' answers: the judge of likeness, the tiers and what they keep."""
