"""Every kind of damage to a log, its streams and its dead letters is found, and named for what it is."""

from collections.abc import Callable

import pytest

from schemas.pack import pack, unpack
from schemas.partitioning import partition_of
from tests.fixtures.audit_world import HOME, SHARDS, World

NEVER_SEEN = next(f"never-{i}" for i in range(99) if partition_of(f"never-{i}", SHARDS) == 0)
Damage = Callable[[World], object]
EVENT_AT = "UPDATE events SET {} WHERE shard = 0 AND position = 15"


def _sql(*statements: str) -> Damage:
    def damage(world: World) -> None:
        for statement in statements:
            world.database.execute(statement)

    return damage


def _drop_entry(world: World) -> None:
    world.redis.xdel(world.stream(), world.entries()[2][0])


def _drop_first_entries(world: World) -> None:
    world.redis.xtrim(world.stream(), minid=world.entries()[2][0])


def _drop_last_entry(world: World) -> None:
    world.redis.xdel(world.stream(), world.entries()[-1][0])


def _add_pack(world: World) -> None:
    top = int(world.entries()[-1][0].partition(b"-")[0])
    world.add_entry(b"%d-0" % (top + 1), b"%d" % (top + 1), bytes(16), pack([b"{}"]))


def _overlap_pack(world: World) -> None:
    world.rewrite(2, f=b"8", e=pack([b"{}", *unpack(world.entries()[2][1][b"e"])]))


def _lose_bytes_of_pack(world: World) -> None:
    world.rewrite(1, e=world.entries()[1][1][b"e"][:-3])


def _change_streamed_event(world: World) -> None:
    events = unpack(world.entries()[1][1][b"e"])
    world.rewrite(1, e=pack([events[0].replace(b'"score"', b' "score"'), *events[1:]]))


def _break_stream_chain(world: World) -> None:
    world.rewrite(1, c=bytes(16))


def _accept_and_refuse(world: World) -> None:
    """The third record of a match is an event; now it is a dead letter too."""
    origin = world.origins[2]
    world.database.execute(
        "INSERT INTO dead_letters"
        " (topic, partition, source_offset, reason, detail, match, original, rejected_at)"
        " SELECT topic, %s, %s, 'fold_failed', '', %s, %s, now() FROM topics WHERE name = %s",
        (origin.partition, origin.offset, HOME, world.records[2].value, origin.topic),
    )


def _refuse(reason: str) -> Damage:
    """The pass before the last goal never became an event, and a dead letter says why not."""

    def damage(world: World) -> None:
        row = world.database.execute(
            "DELETE FROM events WHERE shard = 0 AND position = 13 RETURNING topic, source_offset"
        ).fetchone()
        assert row is not None
        topic, offset = row
        [value] = [
            record.value
            for record, origin in zip(world.records, world.origins, strict=True)
            if (origin.topic, origin.partition, origin.offset) == ("broadcast-events", 0, offset)
        ]
        world.database.execute(
            "INSERT INTO dead_letters"
            " (topic, partition, source_offset, reason, detail, match, original, rejected_at)"
            " VALUES (%s, 0, %s, %s, '', %s, %s, now())",
            (topic, offset, reason, HOME, value),
        )

    return damage


def _take_back(world: World) -> None:
    """As if the database had been put back to an earlier moment, and nobody had said so."""
    assert world.audit().verdict == "clean"
    world.database.execute("DELETE FROM events WHERE shard = 0 AND position = 27")


def _fork(world: World) -> None:
    """Another last row in the log: whole in itself, and not what was there."""
    assert world.audit().verdict == "clean"
    world.database.execute(
        "UPDATE events SET body_hash = 7, chain = '00000000-0000-0000-0000-000000000001'"
        " WHERE shard = 0 AND position = 27"
    )


def _swap(world: World) -> None:
    """Exchange two rows of a match that lie next to each other."""
    world.database.execute(
        "CREATE TEMP TABLE pair AS SELECT * FROM events WHERE shard = 0 AND position IN (5, 6);"
        "DELETE FROM events WHERE shard = 0 AND position IN (5, 6);"
        "UPDATE pair SET position = 11 - position;"
        "INSERT INTO events SELECT * FROM pair"
    )


def _append_twice(world: World) -> None:
    """The last row once more behind itself, as if identity were not unique."""
    world.database.execute("ALTER TABLE events DROP CONSTRAINT events_event_key_key")
    world.database.execute(
        "INSERT INTO events SELECT shard, position + 1, match, seq + 1, event_key, body_hash, chain, topic,"
        " source_offset, occurred_at, appended_at, is_fact, fold_version, payload"
        " FROM events WHERE shard = 0 ORDER BY position DESC LIMIT 1"
    )


def _change_payload(old: str, new: str) -> Damage:
    return _sql(EVENT_AT.format(f"payload = replace(payload::text, '{old}', '{new}')::json"))


HOME_HAS_3 = """replace(image::text, '"score":{"home":1', '"score":{"home":3')::json"""

DAMAGES: dict[str, tuple[Damage, set[str]]] = {
    # kind of damage: what is done, and every kind of difference that it must show as
    "a row deleted": (
        _sql("DELETE FROM events WHERE shard = 0 AND position = 3"),
        {"position", "chain", "seq", "unaccounted", "sum", "image"},
    ),
    "the last row deleted": (
        _sql("DELETE FROM events WHERE shard = 0 AND position = 27"),
        {"unaccounted", "sum", "image", "stream_top"},
    ),
    "a shard taken back behind what was seen": (
        _take_back,
        {"history", "unaccounted", "sum", "image", "stream_top"},
    ),
    "another history of the same length": (
        _fork,
        {"history", "identity", "chain", "unaccounted", "origin", "stream_chain"},
    ),
    "a good record refused by a fold that takes it": (
        _refuse("fold_failed"),
        {"letter_fold", "position", "chain", "seq", "image"},
    ),
    "a good record refused by an image that has room": (
        _refuse("image_full"),
        {"letter_fold", "position", "chain", "seq", "image"},
    ),
    "a record of a match in progress called one of a retired match": (
        _refuse("retired_match"),
        {"letter_reason", "position", "chain", "seq", "image"},
    ),
    "another importance": (
        _change_payload('"importance":9', '"importance":1'),
        {"payload", "stream_bytes"},
    ),
    "another language": (
        _change_payload('"language":"und"', '"language":"de"'),
        {"payload", "stream_bytes"},
    ),
    "a match without its entry": (_sql("DELETE FROM matches WHERE shard = 0"), {"match"}),
    "an entry without its match": (
        _sql(
            f"INSERT INTO matches SELECT '{NEVER_SEEN}', shard, bucket, fold_version"
            " FROM matches WHERE shard = 0"
        ),
        {"match"},
    ),
    "an entry of a retired match that never was": (
        _sql(
            f"INSERT INTO matches SELECT '{NEVER_SEEN}', shard, bucket, fold_version, now()"
            " FROM matches WHERE shard = 0"
        ),
        {"match"},
    ),
    "a match retired to hide what is missing": (
        _sql(
            f"UPDATE matches SET retired_at = now() WHERE match = '{HOME}'",
            "DELETE FROM events WHERE shard = 0 AND position = 27",
        ),
        {"unaccounted", "sum", "image", "stream_top"},
    ),
    "a match parked by nobody": (
        _sql(
            "INSERT INTO controls (shard, match, kind, state, issued_by, because, obeyed_at)"
            f" VALUES (0, '{HOME}', 'park', 'parked', '', '', now())"
        ),
        {"parked"},
    ),
    "an entry in another shard": (_sql("UPDATE matches SET shard = 1 WHERE shard = 0"), {"match"}),
    "an entry of another day": (_sql("UPDATE matches SET bucket = bucket + 1 WHERE shard = 0"), {"match"}),
    "an entry of another fold": (_sql("UPDATE matches SET fold_version = 99 WHERE shard = 0"), {"match"}),
    "a score changed": (
        _change_payload('"score":{"home":1', '"score":{"home":2'),
        {"score", "stream_bytes"},
    ),
    "a stamp in a payload changed": (
        _change_payload('"appended_at":"2024', '"appended_at":"2023'),
        {"payload", "stream_bytes"},
    ),
    "what a source said changed": (
        _change_payload('"side":"away"', '"side":"home"'),
        {"identity", "score", "image", "stream_bytes"},
    ),
    "a payload that is no event": (
        _sql(EVENT_AT.format("payload = '{}'")),
        {"payload", "score", "image", "stream_bytes"},
    ),
    "two rows swapped": (_swap, {"seq", "chain", "order", "image", "appended_at", "stream_bytes"}),
    "the chain broken": (
        _sql(EVENT_AT.format("chain = '00000000-0000-0000-0000-000000000001'")),
        {"chain"},
    ),
    "another body hash": (
        _sql(EVENT_AT.format("body_hash = 7")),
        {"identity", "chain", "unaccounted", "origin"},
    ),
    "an origin beyond Kafka's end": (
        _sql(EVENT_AT.format("source_offset = 999")),
        {"order", "origin"},
    ),
    "the origin of another row": (
        _sql(EVENT_AT.format("source_offset = 0")),
        {"order", "origin", "sum"},
    ),
    "a clock that runs backwards": (
        _sql(EVENT_AT.format("appended_at = appended_at - interval '1 minute'")),
        {"appended_at", "payload"},
    ),
    "a derived record called a fact": (
        _sql("UPDATE events SET is_fact = true WHERE shard = 0 AND NOT is_fact"),
        {"payload"},
    ),
    "a fold that is unknown": (_sql(EVENT_AT.format("fold_version = 99")), {"fold_version"}),
    "an event twice": (
        _append_twice,
        {"key_twice", "chain", "order", "payload", "stream_hole", "origin", "sum"},
    ),
    "an image changed": (
        _sql(f"UPDATE images SET image = {HOME_HAS_3} WHERE shard = 0 AND position = 14"),
        {"image"},
    ),
    "an image at another seq": (
        _sql(f"UPDATE images SET seq = seq + 100 WHERE match = '{HOME}' AND position = 15"),
        {"image"},
    ),
    "a dead letter lost": (
        _sql("DELETE FROM dead_letters WHERE reason = 'malformed_json'"),
        {"unaccounted", "sum"},
    ),
    "a dead letter with another reason": (
        _sql("UPDATE dead_letters SET reason = 'oversized' WHERE reason = 'malformed_json'"),
        {"letter_reason"},
    ),
    "a dead letter with other bytes": (
        _sql("UPDATE dead_letters SET original = 'x' WHERE reason = 'conflicting_duplicate'"),
        {"letter_origin"},
    ),
    "a dead letter of no record": (
        _sql("UPDATE dead_letters SET source_offset = 1000 WHERE reason = 'malformed_json'"),
        {"letter_origin", "unaccounted", "sum"},
    ),
    "a good record refused": (_accept_and_refuse, {"accounted_twice", "letter_fold", "sum"}),
    "a stream entry dropped": (_drop_entry, {"stream_hole"}),
    "the first stream entries dropped": (_drop_first_entries, {"stream_start"}),
    "the last stream entry dropped": (_drop_last_entry, {"stream_hole"}),
    "a stream lost": (lambda world: world.redis.delete(world.stream()), {"stream_hole"}),
    "a pack added": (_add_pack, {"stream_top"}),
    "a pack that overlaps": (_overlap_pack, {"stream_pack"}),
    "a pack cut short": (_lose_bytes_of_pack, {"stream_pack", "stream_hole"}),
    "an event changed in a stream": (_change_streamed_event, {"stream_bytes"}),
    "a chain changed in a stream": (_break_stream_chain, {"stream_chain"}),
    "another generation": (
        _sql("UPDATE delivery_shards SET generation = generation + 1 WHERE shard = 0"),
        {"stream_hole"},
    ),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda name: name.replace(" ", "-"))
def test_damage_is_found_and_named(world: World, damage: str) -> None:
    damage_it, kinds = DAMAGES[damage]
    damage_it(world)
    receipt = world.audit()
    assert receipt.verdict == "different"
    assert set(receipt.difference_counts) == kinds
    assert {difference.what for difference in receipt.differences} == kinds
    assert all(difference.where for difference in receipt.differences)
