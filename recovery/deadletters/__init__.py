"""Dead letters as a working tool: look at them, correct them, send them again, settle them.

A letter itself never changes. `edit` puts a corrected copy beside it; a
redrive sends it, or the original, as a record of its raw topic (`plan` says
where, `sending` writes it), so the lane appends it like any other and its
identity keeps it from counting twice. `answers` waits for what the log made
of it. Whatever is done is in an audit trail (storage/dead_letters.py).
"""
