"""The records: what sources say, what fans get, the image of a match, dead letters.

Imports nothing of ours, reads no clock and does no I/O.
"""
