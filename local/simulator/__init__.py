"""A match day from a seed: it is the three upstreams, and keeps a ledger of what must come out."""
