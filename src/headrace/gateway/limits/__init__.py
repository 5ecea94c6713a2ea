"""How much callers may use: rates, calls at once, budgets, caps of tokens."""
