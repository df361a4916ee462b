"""Measurements: each compares with something run in the same call, and none is a test."""
