"""Lists of providers that stand in for each other: one wrapper a kind, and the decision who is asked next."""
