-- What people did about dead letters. `dead_letters` says what happened and never changes.

-- Where a letter stands: corrected, sent, event, repeat, refused or discarded; one without a row is open.
CREATE TABLE letter_states (
    letter bigint PRIMARY KEY REFERENCES dead_letters,
    state text NOT NULL,
    corrected bytea,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- The audit trail: append-only, and in the order of its numbers. The origin is that of the record a
-- redrive wrote; `corrected` is what an edit gave.
CREATE TABLE letter_actions (
    action bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    letter bigint NOT NULL,
    acted_at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    what text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    detail text NOT NULL,
    topic text,
    partition smallint,
    source_offset bigint,
    corrected bytea
);
CREATE INDEX letter_actions_letter ON letter_actions (letter, action);
