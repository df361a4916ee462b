"""Replay: a range of the log through other code, into a side schema, with what would change."""
