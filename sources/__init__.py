"""Bytewax sources: how records come in."""
