-- How a writer finds out that a failover or a restore took commits away, also those that stored no event.

-- What a commit of a shard leaves that holds no event of it: dead letters, parked events, controls. The
-- token is a hash over all such commits up to this one, as the chain is over all events; number counts
-- them, from 1 without gaps. Append-only; the oldest are pruned.
CREATE TABLE commit_tokens (
    shard smallint NOT NULL,
    number bigint NOT NULL,
    token uuid NOT NULL,
    PRIMARY KEY (shard, number)
);

-- The timeline on which a writer last knew that nothing was missing; NULL before there was one.
ALTER TABLE delivery_shards ADD COLUMN timeline integer;

-- The timeline that this server writes; NULL on a standby. From the name of the segment that is being
-- written: pg_control_checkpoint() gave the old timeline until the first checkpoint after a promotion.
CREATE FUNCTION current_timeline() RETURNS integer LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN pg_is_in_recovery() THEN NULL
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    END
$$;
