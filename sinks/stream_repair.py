"""Repair of the live streams: append from the log what is missing, begin new lives, trim, delete."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from schemas.log_position import chained
from schemas.pack import pack
from sinks.availability import Availability
from sinks.serial_executor import SerialExecutor
from storage.reading import LogUnavailableError
from storage.relay_reads import LoggedRow, Place, RelayReads
from storage.streams import PackToAppend, StreamName, Streams, StreamsUnavailableError, StreamTop
from telemetry.log import Log
from telemetry.metrics import counter

BEGUN = "stream.begun"
NEW_LIFE = "shard.new_life"
BEGINNING_LOST = "stream.beginning_lost"
DELETED = "stream.deleted"

# Read and appended in one go: a tenth of a second of work, so that no shard
# waits long behind another one.
FILL_ROWS = 5_000
# Of one entry: as few as make Redis cheap, and bounded when events are large.
PACK_EVENTS = 500
PACK_BYTES = 512 * 1024

_log = Log("stream_repair")
_repaired = counter("relay_repaired_events", "Events that write-through had left out of the live streams")
_new_lives = counter("relay_new_lives", "Generations raised because a copy and the log had parted")


class Fill(NamedTuple):
    """Append to a stream what follows its end in the log."""

    stream: StreamName
    after: Place


class Begin(NamedTuple):
    """Fill a stream that is missing with what follows a position in the log."""

    stream: StreamName
    after: int


class BeginAgain(NamedTuple):
    """Drop a stream that begins at `first` though it should at `latest` or before: the next look fills it."""

    stream: StreamName
    first: int
    latest: int


class BeginNewLife(NamedTuple):
    """Raise the shard's generation: this stream and the log have parted."""

    stream: StreamName
    top: Place
    head: Place


class Trim(NamedTuple):
    """Drop what ends before a position."""

    stream: StreamName
    keep_from: int


class Delete(NamedTuple):
    """Delete the stream of a life that is over."""

    stream: StreamName


Task = Fill | Begin | BeginAgain | BeginNewLife | Trim | Delete


class StreamRepair:
    """Does the relay's tasks on the streams of one Redis.

    Delivery: effectively once. Every append names what it follows, so any
    number of relays may do the same task, and it may be cut off anywhere:
    whoever looks next finds what is left. An outage ends the work in hand.
    """

    def __init__(self, streams: Streams, log: RelayReads, availability: Availability) -> None:
        self._streams = streams
        self._log = log
        self._availability = availability

    def do(self, tasks: Sequence[Task]) -> None:
        """Do the tasks, unless Redis failed a moment ago."""
        if self._availability.is_resting:
            return
        try:
            for task in tasks:
                self._do(task)
        except (StreamsUnavailableError, LogUnavailableError) as error:
            self._availability.lost(error.detail)
        else:
            self._availability.regained()

    def _do(self, task: Task) -> None:
        match task:
            case Fill():
                self._fill(task.stream, task.after, may_begin=False)
            case Begin():
                self._begin(task)
            case BeginAgain():
                self._streams.delete([task.stream.key])
                _log.warning(BEGINNING_LOST, stream=task.stream.key, first=task.first, wanted=task.latest)
            case BeginNewLife():
                self._begin_new_life(task)
            case Trim():
                self._streams.trim({task.stream.key: task.keep_from})
            case Delete():
                self._streams.delete([task.stream.key])
                _log.info(DELETED, shard=task.stream.shard, generation=task.stream.generation)

    def _begin(self, task: Begin) -> None:
        place = self._log.place_at(task.stream.shard, task.after)
        if place is not None:
            _log.info(BEGUN, stream=task.stream.key, after=task.after)
            self._fill(task.stream, place, may_begin=True)

    def _fill(self, stream: StreamName, after: Place, may_begin: bool) -> None:
        rows = self._log.following(stream.shard, after, FILL_ROWS)
        outcomes = self._streams.append(list(packs_of(stream, after, rows, may_begin)))
        appended = [outcome.top.position for outcome in outcomes if outcome.is_appended]
        if appended:
            _repaired.add(max(appended) - after.position)

    def _begin_new_life(self, task: BeginNewLife) -> None:
        seen = generations_of(self._streams, task.stream.shard)
        begin_generation(self._log, task.stream, seen, task.top.position, task.head.position)


def generations_of(streams: Streams, shard: int) -> list[int]:
    """The generations of a shard that there are streams of; raise StreamsUnavailableError."""
    return [name.generation for name in streams.names() if name.shard == shard]


def begin_generation(log: RelayReads, parted: StreamName, seen: Iterable[int], top: int, head: int) -> None:
    """Raise a shard's generation: a copy that ends at `top` and the log that ends at `head` have parted.

    It rises above all that were `seen` in copies: one that a restored
    database forgot must not be taken for the new one. Of several relays that
    notice, one does so.
    """
    raised = log.raise_generation(parted.shard, parted.generation, max(seen, default=0) + 1)
    if raised is not None:
        _new_lives.add(1)
        _log.warning(
            NEW_LIFE,
            shard=parted.shard,
            generation=raised,
            instead_of=parted.generation,
            top=top,
            head=head,
        )


def packs_of(
    stream: StreamName, after: Place, rows: Sequence[LoggedRow], may_begin: bool
) -> Iterator[PackToAppend]:
    """Cut rows into packs of bounded size, each following the one before."""
    previous = StreamTop(*after)
    for run in _runs(rows):
        top = StreamTop(run[-1].position, run[-1].chain)
        chains = chained(previous.chain, [row.chain for row in run])
        yield PackToAppend(stream.key, previous, top, pack([row.payload for row in run]), chains, may_begin)
        previous, may_begin = top, False


def _runs(rows: Sequence[LoggedRow]) -> Iterator[Sequence[LoggedRow]]:
    begin, size = 0, 0
    for index, row in enumerate(rows):
        is_full = index - begin == PACK_EVENTS or size + len(row.payload) > PACK_BYTES
        if is_full and index > begin:
            yield rows[begin:index]
            begin, size = index, 0
        size += len(row.payload)
    if rows:
        yield rows[begin:]


class _RepairPartition(StatelessSinkPartition[Task]):
    def __init__(self, executor: SerialExecutor, do: Callable[[Sequence[Task]], None]) -> None:
        self._executor = executor
        self._do = do

    def write_batch(self, items: list[Task]) -> None:
        self._executor.start(lambda: self._do(items))


class StreamRepairSink(DynamicSink[Task]):
    """Hand the relay's tasks to the thread that serves Redis.

    Delivery: best effort, and that is enough: what is not done here is seen
    by the next look.
    """

    def __init__(self, executor: SerialExecutor, repair: StreamRepair) -> None:
        self._executor = executor
        self._repair = repair

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _RepairPartition:
        return _RepairPartition(self._executor, self._repair.do)
