"""Every Redis command of the live streams: where one ends, compare-and-append, read, trim, delete.

An entry of `ev:{<shard>}:<generation>` is a pack: id `<last position>-0`,
then the fields `f` (first position), `c` (chain after the last event),
`e` (the events, see schemas.pack) and `h` (the chain before the first event
and after each, see schemas.log_position.Span), in this order. Entries of
releases before have no `h`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from schemas.identity import ZERO_CHAIN
from schemas.pack import unpack

_SCRIPTS = Path(__file__).parent / "streams"
_PREFIX = b"ev:{"
_SCAN_KEYS = 1_000
# What PostgreSQL stores as a position. A Redis id goes further, and so may a key that is not ours.
_LAST_POSITION = 2**63 - 1
# A generation is a time in milliseconds: digits that last for 30,000 years. New ones begin above the
# highest, so a made-up number must not use them up.
_GENERATION_DIGITS = 15
_SHARD_DIGITS = 5
# Healthy answers take a millisecond; a rewrite of the append-only file was seen to take 300.
ANSWER_WITHIN = timedelta(seconds=2)


class StreamsUnavailableError(RuntimeError):
    """Redis did not answer, or refuses to work; whether it did what was asked is unknown."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class StreamTop(NamedTuple):
    """Where a stream ends: the last position, and the chain there."""

    position: int
    chain: bytes


NO_TOP = StreamTop(0, ZERO_CHAIN)


class PackToAppend(NamedTuple):
    """A run of events that follows `previous` and ends at `top`."""

    stream: str
    previous: StreamTop
    top: StreamTop
    events: bytes  # schemas.pack
    chains: bytes  # before the first event, then after each
    may_begin: bool = False  # the log before `previous` is trimmed: a missing stream starts here


class Outcome(NamedTuple):
    """What became of a pack: when it was refused, `top` is where the stream really ends."""

    is_appended: bool
    top: StreamTop


class ReadPack(NamedTuple):
    """An entry as read: the events at positions `first` to `top.position`."""

    first: int
    top: StreamTop
    payloads: list[bytes]


class StreamName(NamedTuple):
    """Which life of which shard a stream holds."""

    shard: int
    generation: int

    @property
    def key(self) -> str:
        """Its Redis key; the braces keep the streams of a shard on one cluster slot."""
        return stream_name(self.shard, self.generation)


def stream_name(shard: int, generation: int) -> str:
    """The Redis key of a shard's stream."""
    return f"ev:{{{shard}}}:{generation}"


class _Script:
    def __init__(self, file: str) -> None:
        self.text = (_SCRIPTS / file).read_bytes()
        # EVALSHA names a script by its SHA-1: the protocol's choice, and no secret.
        self.sha = sha1(self.text, usedforsecurity=False).hexdigest()


_APPEND = _Script("append_pack.lua")
_TOP = _Script("top.lua")
_START = _Script("start.lua")

_Command = tuple[str | bytes | int, ...]


class Streams:
    """The streams of one Redis, over one connection. Not thread-safe.

    Delivery: none of its own. An append happens at most once and never
    leaves a gap, because it names what it follows; nothing is tried again
    here, since an append whose answer was lost may have happened. After an
    error the next call connects anew.
    """

    def __init__(self, url: str, answer_within: timedelta = ANSWER_WITHIN) -> None:
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=answer_within.total_seconds(),
            socket_connect_timeout=answer_within.total_seconds(),
            retry=Retry(NoBackoff(), 0),
        )
        # A bare connection: a client's pipeline costs 40% more per append.
        self._connection: Any = pool.make_connection()

    def close(self) -> None:
        self._connection.disconnect()

    def ping(self) -> None:
        """Ask for nothing; raise StreamsUnavailableError."""
        self._ask([("PING",)])

    def append(self, packs: Sequence[PackToAppend]) -> list[Outcome]:
        """Append each pack if its stream ends at its `previous`; one round trip for all.

        Raises StreamsUnavailableError: any number of them may have been appended.
        """
        commands = [
            (
                pack.stream,
                pack.previous.position,
                pack.previous.chain,
                int(pack.may_begin),
                pack.previous.position + 1,
                pack.top.position,
                pack.top.chain,
                pack.events,
                pack.chains,
            )
            for pack in packs
        ]
        return [
            Outcome(bool(done), StreamTop(int(at), chain)) for done, at, chain in self._run(_APPEND, commands)
        ]

    def tops(self, streams: Sequence[str], known: Mapping[str, StreamTop]) -> list[StreamTop | None]:
        """Where each stream ends, None when it is missing or empty; one round trip for all.

        A top in `known` is taken to be still there while nothing lies behind it.
        """
        commands = [(name, known[name].position if name in known else "") for name in streams]
        return [
            known[name] if answer == 1 else _top(*answer) if answer else None
            for name, answer in zip(streams, self._run(_TOP, commands), strict=True)
        ]

    def starts(self, streams: Sequence[str]) -> list[int | None]:
        """The first position of each stream, None when it is missing or empty; one round trip for all."""
        return [int(first) if first else None for first in self._run(_START, [(name,) for name in streams])]

    def read_after(self, stream: str, position: int, packs: int) -> list[ReadPack]:
        """At most `packs` entries that end after `position`, in order; the first may begin before it."""
        (entries,) = self._ask([("XRANGE", stream, f"({position}-0", "+", "COUNT", packs)])
        return [_read(entry, fields) for entry, fields in entries]

    def trim(self, keep_from: Mapping[str, int]) -> None:
        """Drop the packs of each stream that end before a position, as far as that is cheap."""
        if keep_from:
            self._ask([("XTRIM", name, "MINID", "~", f"{at}-0") for name, at in keep_from.items()])

    def names(self) -> list[StreamName]:
        """Every stream there is, of every generation; walks the whole key space."""
        found: list[StreamName] = []
        cursor = b"0"
        while True:
            ((cursor, keys),) = self._ask([("SCAN", cursor, "MATCH", _PREFIX + b"*", "COUNT", _SCAN_KEYS)])
            found += [name for key in keys if (name := _parse_name(key))]
            if cursor == b"0":
                return sorted(set(found))

    def delete(self, streams: Sequence[str]) -> None:
        """Delete streams; the memory is given back in the background."""
        self._ask([("UNLINK", name) for name in streams])

    def _run(self, script: _Script, arguments: Sequence[_Command]) -> list[Any]:
        """Run a script once per command; a server that did not know it has not run it, and is asked again."""
        commands: list[_Command] = [("EVALSHA", script.sha, 1, *each) for each in arguments]
        answers = self._ask(commands, or_error=NoScriptError)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            self._ask([("SCRIPT", "LOAD", script.text)])
            again = self._ask([commands[i] for i in unknown])
            for i, answer in zip(unknown, again, strict=True):
                answers[i] = answer
        return answers

    def _ask(self, commands: Sequence[_Command], or_error: type[ResponseError] | None = None) -> list[Any]:
        """Send all commands in one write and read all answers, errors of type `or_error` among them."""
        connection = self._connection
        failed: ResponseError | None = None
        answers: list[Any] = []
        try:
            # Joined: each write of its own would be another turn of the GIL.
            packed = b"".join([part for each in commands for part in connection.pack_command(*each)])
            connection.send_packed_command([packed], check_health=False)
            for _ in commands:
                try:
                    answers.append(connection.read_response(disable_decoding=True))
                except ResponseError as error:
                    answers.append(error)
                    if or_error is None or not isinstance(error, or_error):
                        failed = error
        except (RedisError, OSError) as error:
            connection.disconnect()
            raise StreamsUnavailableError(_detail(error)) from error
        if failed is not None:
            # Read-only, out of memory, still loading: another server may answer next time.
            connection.disconnect()
            raise StreamsUnavailableError(_detail(failed)) from failed
        return answers


def _read(entry: bytes, fields: Sequence[bytes]) -> ReadPack:
    first, chain, events = fields[1:6:2]
    return ReadPack(int(first), StreamTop(int(entry.partition(b"-")[0]), chain), unpack(events))


def _parse_name(key: bytes) -> StreamName | None:
    shard, closed, generation = key.removeprefix(_PREFIX).partition(b"}:")
    is_ours = len(shard) <= _SHARD_DIGITS and len(generation) <= _GENERATION_DIGITS
    if closed and is_ours and shard.isdigit() and generation.isdigit():
        return StreamName(int(shard), int(generation))
    return None


def _top(position: bytes, chain: bytes) -> StreamTop:
    """Where a stream ends; an entry behind all positions is no place of any log."""
    return StreamTop(min(int(position), _LAST_POSITION), chain)


def _detail(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
