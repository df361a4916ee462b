"""Records for Kafka, cut to what their topic takes. Pure."""

from typing import NamedTuple

from schemas.outlets import CUT, CUT_KEY, CUT_STEP, DETAIL, GENERATION, LETTER, POSITION, STUB

# What a batch of one record needs besides keys, values and headers: 61 bytes of its own, then varints.
_BATCH_BYTES = 120
_HEADER_BYTES = 10  # lengths of name and value
_CUT_HEADERS_BYTES = 80
# Of a stub: a match's name fits, and a key of a compacted topic must not be missing.
_STUB_KEY_BYTES = 512
_STUB_DETAIL_CHARACTERS = 100
_IDENTIFYING = (LETTER, GENERATION, POSITION)

Headers = list[tuple[str, str | bytes]]


class KafkaRecord(NamedTuple):
    """A record to produce, with its topic and partition."""

    topic: str
    partition: int
    key: str | bytes | None
    value: bytes
    headers: Headers
    may_be_cut: bool = False  # the beginning of its value is worth something

    @property
    def identity(self) -> tuple[object, ...]:
        """Which record it is, however it was cut."""
        names = [(name, value) for name, value in self.headers if name in _IDENTIFYING]
        return (self.topic, self.partition, *names)


def size_of(record: KafkaRecord) -> int:
    """The most that a broker compares with `max.message.bytes`: the bytes of a batch of this record alone."""
    return _BATCH_BYTES + len(_bytes(record.key)) + len(record.value) + _size_of_headers(record.headers)


def fitted(record: KafkaRecord, limit: int) -> KafkaRecord:
    """The record as it is, or cut to `limit` bytes with its full sizes in headers, or a stub.

    The value comes first: a key gets a quarter of the room, and what the value leaves.
    """
    if size_of(record) <= limit:
        return record
    key = _bytes(record.key)
    room = limit - _BATCH_BYTES - _size_of_headers(record.headers) - _CUT_HEADERS_BYTES
    if not record.may_be_cut or room < _STUB_KEY_BYTES:
        return stub_of(record, "larger than the topic takes")
    headers = list(record.headers)
    most = room - min(len(key), room // 4)
    value = record.value
    if len(value) > most:
        # In whole steps: an audit remembers a digest for each, and so can tell any beginning.
        value = value[: most // CUT_STEP * CUT_STEP]
        headers.append((CUT, str(len(record.value))))
    if len(key) > room - len(value):
        headers.append((CUT_KEY, str(len(key))))
        key = key[: room - len(value)]
    return record._replace(key=record.key if record.key is None else key, value=value, headers=headers)


def stub_of(record: KafkaRecord, why: str) -> KafkaRecord:
    """Make the stub of a record that its topic refuses: which one it is, how large, and why."""
    key = _bytes(record.key)
    headers = [(name, _shortened(name, value)) for name, value in record.headers]
    headers += [(CUT, str(len(record.value))), (STUB, why)]
    if len(key) > _STUB_KEY_BYTES:
        headers.append((CUT_KEY, str(len(key))))
    return record._replace(key=key[:_STUB_KEY_BYTES], value=b"", headers=headers)


def _shortened(name: str, value: str | bytes) -> str | bytes:
    return value[:_STUB_DETAIL_CHARACTERS] if name == DETAIL else value


def _size_of_headers(headers: Headers) -> int:
    return sum(_HEADER_BYTES + len(name) + len(_bytes(value)) for name, value in headers)


def _bytes(text: str | bytes | None) -> bytes:
    return text.encode() if isinstance(text, str) else text or b""
