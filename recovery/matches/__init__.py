"""The match time machine: what was known of a match at a moment, and what is known of that moment now.

`clock` reads what a person writes, `history` folds, `changes` compares and
`view` shows; all but `command` are pure.
"""
