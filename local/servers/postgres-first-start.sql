CREATE ROLE touchline LOGIN CREATEDB REPLICATION IN ROLE pg_monitor, pg_signal_backend, pg_checkpoint;
CREATE DATABASE touchline OWNER touchline;
