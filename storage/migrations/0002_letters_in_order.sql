-- The relay copies a partition's letters in their order and asks for the next ones many times a second.
CREATE INDEX dead_letters_in_order ON dead_letters (topic, partition, letter);
