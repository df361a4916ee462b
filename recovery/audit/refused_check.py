"""Fold dead letters of the fold again, at their place in the log: it must refuse them again. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping, Set
from datetime import datetime

from recovery.audit.findings import Findings
from schemas.fold import FOLD_VERSION, empty_image, fold
from schemas.identity import key_of
from schemas.image import MatchImage
from schemas.raw import RawEvent
from schemas.validation import Rejection, parse
from schemas.weight import importance_of, language_of
from storage.audit_reads import LetterRow, LogRow

# What a fold raises for a record; each becomes a dead letter.
FOLD_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError)
# Of a redriven record, whose offset says nothing of its place: it may stand anywhere in its match.
_ANYWHERE = -1


class _Refused:
    """A letter with its record."""

    __slots__ = ("event", "letter", "offset", "reason")

    def __init__(self, row: LetterRow, event: RawEvent) -> None:
        self.letter, self.reason, self.offset, self.event = row.letter, row.reason, row.source_offset, event


class _Line:
    """The letters of one topic of a match, by offset, and the images that the next one may have met.

    `oldest`: the oldest fold of the rows between which it stands.
    """

    __slots__ = ("images", "letters", "oldest")

    def __init__(self) -> None:
        self.letters: deque[_Refused] = deque()
        self.images: list[MatchImage] = []
        self.oldest = FOLD_VERSION

    def see(self, image: MatchImage) -> None:
        """Note an image. One with the same incidents and fixture takes and refuses the same."""
        last = self.images[-1] if self.images else None
        if last is None or image.incidents is not last.incidents or image.fixture is not last.fixture:
            self.images.append(image)


class RefusedCheck:
    """The letters `fold_failed` and `image_full` of a shard, while the rows of its log go by.

    The order of a topic is that of its offsets, so a letter met one of the
    images between the rows of its match and topic before and behind it.
    Rows of other topics lie in between; refused by one of these images is
    refused rightly. Letters that are settled are left out: a fold that was
    mended takes them, and a redrive has sent them. So are those beside a row of
    an older fold, which refused by bounds that nobody has any more.
    """

    def __init__(
        self,
        shard: int,
        letters: Iterable[LetterRow] = (),
        redriven: Set[tuple[int, int]] = frozenset(),
    ) -> None:
        self._shard = shard
        self._redriven = redriven
        self._lines: dict[str, dict[int, _Line]] = {}
        for row in sorted(letters, key=lambda row: row.source_offset):
            event = parse(row.original)
            if isinstance(event, Rejection):
                continue  # the check of raw records tells that no fold can have seen it
            topic = _ANYWHERE if (row.topic, row.source_offset) in redriven else row.topic
            line = self._lines.setdefault(event.match, {}).setdefault(topic, _Line())
            line.letters.append(_Refused(row, event))

    def see(self, row: LogRow, image: MatchImage, at: datetime, findings: Findings) -> None:
        """A row comes next, onto this image of its match."""
        lines = self._lines.get(row.match)
        if lines is None:
            return
        for line in lines.values():
            line.see(image)
            line.oldest = min(line.oldest, row.fold_version)
        own = lines.get(row.topic)
        if own is None or (row.topic, row.source_offset) in self._redriven:
            return
        while own.letters and own.letters[0].offset < row.source_offset:
            self._check(own.letters.popleft(), own, at, findings)
        own.images.clear()
        own.oldest = row.fold_version

    def finish(self, images: Mapping[str, MatchImage], at: datetime, findings: Findings) -> None:
        """After the last row: what is left met the last image of its match, at the latest."""
        for match, lines in self._lines.items():
            for line in lines.values():
                line.see(images.get(match) or empty_image(match))
                for refused in line.letters:
                    self._check(refused, line, at, findings)

    def _check(self, refused: _Refused, line: _Line, at: datetime, findings: Findings) -> None:
        if line.oldest < FOLD_VERSION:
            return
        event = refused.event
        for image in line.images:
            try:
                after, _ = fold(
                    image, event, key_of(event).hex(), at, importance_of(event), language_of(event)
                )
            except FOLD_ERRORS:
                return
        where = f"shard {self._shard}, dead letter {refused.letter}"
        expected = f"an event of {event.match} behind seq {after.seq - 1}: the fold takes it"
        findings.add("letter_fold", where, expected, f"a dead letter {refused.reason}", event.match)


__all__ = ["FOLD_ERRORS", "RefusedCheck"]
