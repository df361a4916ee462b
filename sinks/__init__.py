"""The edges that write: the event log (Postgres), live streams (Redis), Kafka."""
