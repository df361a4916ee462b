"""What is done to the log and its recovery stores from outside: prepare, audit.

Run as `python -m recovery`. A dataflow process imports `recovery.prepare`
only; everything that opens a store runs in a child process.
"""
