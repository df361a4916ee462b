"""The audit without end tells a delivery that is missing or forked, once, and soon."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from local.environment import environment_of, inherited
from recovery.audit.follow import Follower, Look
from recovery.audit.servers import opened
from schemas.pack import pack, unpack
from settings import ROOT, Settings
from tests.clocks import FakeClock
from tests.fixtures.audit_world import SHARDS, World
from tests.fixtures.waiting import eventually

LATE = timedelta(seconds=5)
LONG = timedelta(seconds=60)
ALL = 1_000_000


def looks(world: World, *damages: Callable[[World], object]) -> list[Look]:
    """One look at what is there, then a damage and a look again when everything is due, and so on."""
    clock = FakeClock()
    with opened(world.settings) as servers:
        follower = Follower(servers, SHARDS, ALL, LATE, clock)
        found = [follower.look()]
        for damage in damages:
            damage(world)
            clock.advance(LATE.total_seconds())
            found.append(follower.look())
    return found


def nothing(_: World) -> None: ...


def drop_entry(world: World) -> None:
    world.redis.xdel(world.stream(), world.entries()[2][0])


def change_event(world: World) -> None:
    events = unpack(world.entries()[1][1][b"e"])
    world.rewrite(1, e=pack([events[0].replace(b'"score"', b' "score"'), *events[1:]]))


def break_chain_of_top(world: World) -> None:
    world.rewrite(len(world.entries()) - 1, c=bytes(16))


def go_on_beyond_the_log(world: World) -> None:
    top = int(world.entries()[-1][0].partition(b"-")[0])
    world.add_entry(b"%d-0" % (top + 1), b"%d" % (top + 1), bytes(16), pack([b"{}"]))


def change_row(world: World) -> None:
    world.database.execute("UPDATE events SET body_hash = body_hash + 1 WHERE shard = 0 AND position = 5")


def lose_stream(world: World) -> None:
    world.redis.delete(world.stream())


def test_a_sound_log_is_compared_once(world: World) -> None:
    """Nothing is due at first, then everything, then nothing is left."""
    first, second, third = looks(world, nothing, nothing)
    rows = world.database.execute("SELECT count(*) FROM events").fetchone()
    assert rows is not None
    assert [first.rows, second.rows, third.rows] == [0, rows[0], 0]
    assert not any(look.findings.total or look.undelivered for look in (first, second, third))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (drop_entry, "stream_hole"),
        (change_event, "stream_bytes"),
        (break_chain_of_top, "stream_chain"),
        (go_on_beyond_the_log, "stream_top"),
        (change_row, "chain"),
    ],
)
def test_a_damage_is_named(world: World, damage: Callable[[World], object], kind: str) -> None:
    assert kind in looks(world, damage)[-1].findings.counts


def test_what_was_delivered_and_is_gone_is_undelivered(world: World) -> None:
    """Also what was compared before: told until the stream is whole again."""
    kept = world.redis.dump(world.stream())
    looked = looks(world, nothing, lose_stream, lambda w: w.redis.restore(w.stream(), 0, bytes(kept or b"")))
    assert [sorted(look.undelivered) for look in looked] == [[], [], [0], []]


def test_it_tells_what_an_operator_asks_it_to(world: World, tmp_path: Path) -> None:
    """As a process: a line of JSON for the shard that lost its stream, and exit 1 when it is stopped."""
    output = tmp_path / "told.jsonl"
    with output.open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "recovery", "audit", "--follow", "--json"],
            cwd=ROOT,
            env=inherited(environment_of(world.settings)),
            stdout=lines,
        )
    try:
        lose_stream(world)
        eventually(lambda: '"what":"undelivered","where":"shard 0"' in output.read_text(), LONG)
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 1


def test_it_ends_by_itself_when_asked_for_a_while(world: World) -> None:
    whole = _audit("--follow", "--for", "1ms", settings=world.settings)
    assert whole.returncode == 0
    assert "following the log; for 0.001 s" in whole.stderr


def test_it_does_not_call_clean_what_it_never_looked_at(world: World) -> None:
    away = msgspec.structs.replace(world.settings, postgres="postgresql://nobody@127.0.0.1:1/none")
    blind = _audit("--follow", "--for", "1ms", settings=away)
    assert blind.returncode == 2
    assert "never came to look" in blind.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--follow", "--match", "m-1"], "--match"),
        (["--follow", "--for", "soon"], "--for soon"),
        (["--for", "3s"], "--for 3s: belongs to --follow"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], named: str) -> None:
    refused = _audit(*arguments)
    assert refused.returncode == 2
    assert named in refused.stderr


def _audit(*arguments: str, settings: Settings | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "recovery", "audit", *arguments],
        cwd=ROOT,
        env=inherited(environment_of(settings)) if settings else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
