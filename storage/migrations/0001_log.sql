-- The log and what hangs on it. `events` is the log and the outbox at once.

-- Who may write a shard (fence), which life its log is in (generation), and
-- where the log begins once old buckets were dropped (base). Locked on the hot
-- path, never updated there: updates under a long snapshot pile up dead rows.
CREATE TABLE delivery_shards (
    shard smallint PRIMARY KEY,
    generation bigint NOT NULL,
    fence uuid NOT NULL,
    base_position bigint NOT NULL DEFAULT 0,
    base_chain uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
) WITH (fillfactor = 50);

-- One number per life of a topic: a topic that was recreated gets another, so
-- an origin never points into the wrong log.
CREATE TABLE topics (
    topic smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (cluster_id, name, topic_id)
);

-- Outlives the data of a match: an event of a retired one is a dead letter.
CREATE TABLE matches (
    match text PRIMARY KEY,
    shard smallint NOT NULL,
    bucket date NOT NULL,
    fold_version smallint NOT NULL,
    retired_at timestamptz
);

CREATE TABLE events (
    shard smallint NOT NULL,
    position bigint NOT NULL,
    match text NOT NULL,
    seq integer NOT NULL,
    event_key uuid NOT NULL,
    body_hash bigint NOT NULL,
    chain uuid NOT NULL,
    topic smallint NOT NULL,
    source_offset bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    appended_at timestamptz NOT NULL,
    is_fact boolean NOT NULL,
    fold_version smallint NOT NULL,
    payload json NOT NULL,
    PRIMARY KEY (shard, position),
    UNIQUE (event_key)
);

-- Backfill of one match, and the proof that no seq is there twice.
CREATE UNIQUE INDEX events_match_seq ON events (match, seq);

-- Saved images, append-only and pruned: they serve rebuild, join and time travel.
CREATE TABLE images (
    match text NOT NULL,
    seq integer NOT NULL,
    shard smallint NOT NULL,
    position bigint NOT NULL,
    fold_version smallint NOT NULL,
    saved_at timestamptz NOT NULL,
    image json NOT NULL,
    PRIMARY KEY (match, seq)
);
CREATE INDEX images_shard_position ON images (shard, position);

-- Where reading went on: one row per shard and second, so that a start looks at
-- a short tail of the log only. next_offsets: {"<topic number>": next offset}.
CREATE TABLE checkpoints (
    shard smallint NOT NULL,
    position bigint NOT NULL,
    saved_at timestamptz NOT NULL,
    next_offsets json NOT NULL
);
CREATE INDEX checkpoints_shard ON checkpoints (shard, saved_at DESC);

CREATE TABLE dead_letters (
    letter bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic smallint NOT NULL,
    partition smallint NOT NULL,
    source_offset bigint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    match text,
    record_key bytea,
    original bytea NOT NULL,
    rejected_at timestamptz NOT NULL,
    UNIQUE (topic, partition, source_offset)
);

-- The append's first statement: lock the shards in order and prove the fences,
-- then read the heads with a snapshot taken after the lock wait (READ COMMITTED
-- takes one per statement; a snapshot from before the wait miscounts).
-- Raises TL001 when a fence is not ours, TL002 when a head has moved.
CREATE FUNCTION check_append(
    shards smallint[], fences uuid[], heads bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held integer;
    head bigint;
BEGIN
    SELECT count(*) INTO held FROM (
        SELECT 1
        FROM delivery_shards AS d
        INNER JOIN unnest(shards, fences) AS mine (shard, fence)
            ON d.shard = mine.shard AND d.fence = mine.fence
        ORDER BY d.shard
        FOR UPDATE OF d
    ) AS locked;
    IF held <> cardinality(shards) THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'TL001';
    END IF;
    FOR i IN 1..cardinality(shards) LOOP
        SELECT e.position INTO head FROM events AS e
        WHERE e.shard = shards[i] ORDER BY e.position DESC LIMIT 1;
        IF head IS NULL THEN
            SELECT d.base_position INTO head FROM delivery_shards AS d
            WHERE d.shard = shards[i];
        END IF;
        IF head <> heads[i] THEN
            RAISE EXCEPTION 'head of shard % is %, not %', shards[i], head, heads[i]
            USING ERRCODE = 'TL002';
        END IF;
    END LOOP;
END $$;
