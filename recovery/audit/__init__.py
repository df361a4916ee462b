"""The audit: Kafka, Postgres and Redis compared, match by match.

A shard at a time: its rows in the order of positions are folded and hashed
anew (`log_check`), each beside its entry in the stream (`stream_check`);
then every raw record of its partitions must be one of the rows, a repeat of
one or a dead letter (`raw_check`); then what the sender says it sent
(`ledger`). Checks are pure: they take rows and records, whoever read them.
"""
