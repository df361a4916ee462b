"""The lives of the raw topics: which one the log is fed from, and which one Kafka has."""
