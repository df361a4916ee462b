"""Which version of an event a feed published last, for vendors that count no revisions.

What a feed says of an id for the first time is its first word; whatever
differs from what it said last is the next version, and the same again is a
repeat. So the newest version is the one that was published last, and its
number follows from the order of the feed alone.
"""

from hashlib import blake2b
from typing import NamedTuple

import msgspec

# A match of a vendor has 4,000 lines, at most 6,000 were seen. 24 bytes each in the file.
IDS_KEPT = 16_384
# Of one feed. Those that had news longest ago are forgotten first.
MATCHES_KEPT = 16

_ID_BYTES = 8  # two of 16,384 ids look alike once in 10^11 matches
_CONTENT_BYTES = 6
_NUMBER_BYTES = 4
_ENTRY_BYTES = _ID_BYTES + _CONTENT_BYTES + _NUMBER_BYTES


class SavedMatch(msgspec.Struct, frozen=True):
    """The last version of each id of a match, packed in the order of publication."""

    versions: bytes
    unknown: int = 0  # number of an id that is not among them: above all that were forgotten


class Published(msgspec.Struct, frozen=True):
    """What is kept beside the cursor: a function of what the feed said up to there."""

    matches: dict[str, SavedMatch] = {}
    began_hashed: bool = False  # first words of this feed have the revisions of a former code


_Known = dict[bytes, tuple[bytes, int]]  # id -> content, number; in the order of publication


class _Match(NamedTuple):
    known: _Known
    unknown: int


_NO_MATCH = _Match({}, 0)


class Publications:
    """The last version of each event of one feed.

    Versions count from the last `settle`: what was told since is forgotten by
    `roll_back`, because the same lines will come again. Bounded: the ids that
    had news longest ago are forgotten, and an id that is not known any more
    gets a number above theirs, so that its newest version still wins. A match
    that was forgotten begins anew: a line of it that changed meanwhile is the
    same version with another content, which ends as a dead letter.
    """

    def __init__(self, saved: Published | None = None) -> None:
        saved = saved or Published()
        self.began_hashed = saved.began_hashed
        self._matches = {name: _unpacked(match) for name, match in saved.matches.items()}
        self._news: dict[str, _Known] = {}  # of matches, since the last settle

    @property
    def has_news(self) -> bool:
        """Whether a version was told since the last `settle`."""
        return bool(self._news)

    def version_of(self, match: str, name: str, content: bytes) -> int:
        """Which version of an id this content is, from 0: the next one when it differs from the last."""
        settled = self._matches.get(match, _NO_MATCH)
        place, digest = _digest(name.encode(), _ID_BYTES), _digest(content, _CONTENT_BYTES)
        news = self._news.get(match, {})
        last = news.get(place) or settled.known.get(place)
        if last is not None and last[0] == digest:
            return last[1]
        number = settled.unknown if last is None else last[1] + 1
        news.pop(place, None)  # what has news stands last
        news[place] = (digest, number)
        self._news[match] = news
        return number

    def roll_back(self) -> None:
        """Forget what was told since the last `settle`."""
        self._news = {}

    def settle(self) -> None:
        """Keep what was told: its lines will not come again."""
        self._matches = self._following()
        self._news = {}

    def saved(self) -> Published:
        """What `settle` would keep, to be written beside the cursor."""
        matches = {n: SavedMatch(_packed(m.known), m.unknown) for n, m in self._following().items()}
        return Published(matches, self.began_hashed)

    def _following(self) -> dict[str, _Match]:
        matches = dict(self._matches)
        for name, news in self._news.items():
            before = matches.pop(name, _NO_MATCH)
            known = {place: last for place, last in before.known.items() if place not in news}
            matches[name] = _bounded({**known, **news}, before.unknown)
        return dict(list(matches.items())[-MATCHES_KEPT:])


def _bounded(known: _Known, unknown: int) -> _Match:
    gone = [known.pop(place) for place in list(known)[: max(0, len(known) - IDS_KEPT)]]
    return _Match(known, max([unknown, *(number + 1 for _, number in gone)]))


def _packed(known: _Known) -> bytes:
    return b"".join(
        place + digest + number.to_bytes(_NUMBER_BYTES, "big") for place, (digest, number) in known.items()
    )


def _unpacked(saved: SavedMatch) -> _Match:
    known: _Known = {}
    for start in range(0, len(saved.versions), _ENTRY_BYTES):
        entry = saved.versions[start : start + _ENTRY_BYTES]
        number = int.from_bytes(entry[-_NUMBER_BYTES:], "big")
        known[entry[:_ID_BYTES]] = (entry[_ID_BYTES:-_NUMBER_BYTES], number)
    return _Match(known, saved.unknown)


def _digest(told: bytes, size: int) -> bytes:
    return blake2b(told, digest_size=size).digest()
