-- What the lanes were told about matches, in the order in which each shard obeyed: append-only. The last row
-- of a match says how it stands (open, parked, releasing). A row without an origin is the lane's own: the
-- last parked event is in the log, and the match goes on.
CREATE TABLE controls (
    control bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard smallint NOT NULL,
    match text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    issued_by text NOT NULL,
    because text NOT NULL,
    topic smallint,
    source_offset bigint,
    obeyed_at timestamptz NOT NULL,
    UNIQUE (topic, shard, source_offset)
);
CREATE INDEX controls_of_match ON controls (shard, match, control DESC);

-- Events of parked matches, in the order in which they came. They leave in that order, into the log.
CREATE TABLE parked (
    parked bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard smallint NOT NULL,
    match text NOT NULL,
    topic smallint NOT NULL,
    source_offset bigint NOT NULL,
    importance smallint NOT NULL,
    language text NOT NULL,
    original bytea NOT NULL,
    parked_at timestamptz NOT NULL,
    UNIQUE (topic, shard, source_offset)
);
CREATE INDEX parked_in_order ON parked (shard, match, parked);

-- Which of them are redriven letters: those leave first.
CREATE INDEX letter_actions_sent ON letter_actions (partition, topic, source_offset) WHERE what = 'sent';
