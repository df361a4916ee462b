"""Lanes from outside: who holds what, and dealing the shards to another number of them."""
