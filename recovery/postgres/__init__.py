"""Backup of PostgreSQL with recovery to any moment: base backups, and the write-ahead log as it comes.

PostgreSQL's own programs do the work: pg_basebackup, pg_receivewal,
pg_verifybackup. Here is when they run, where their files go, and what an
operator sees of it.
"""
