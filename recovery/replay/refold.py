"""Fold rows with two folds, the installed one and another, and say what the other would change. Pure."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from recovery.replay.candidate import Advance
from schemas.fold import FOLD_VERSION, minute_of
from schemas.fold import advance as installed_advance
from schemas.image import MatchImage, decode_image, encode_image
from schemas.live import LiveEvent, decode_live, encode_live_around, record_in
from schemas.raw import RawEvent
from storage.range_reads import RangeRow, SavedRow
from storage.side_schema import SideDifference, SideEvent, SideImage

# Kind -> what it means, in the order in which people are told.
KINDS = {
    "refused": "a record that the log has would be refused: a dead letter instead of an event",
    "score": "the running score of a live event would be another",
    "payload": "a live event would have other bytes",
    "saved_image": "a saved image would be another",
    "image": "the image of a match at the end of the range would be another",
}


class Refolded(msgspec.Struct):
    """One match while its rows go by."""

    match: str
    shard: int
    was: MatchImage  # by the installed fold
    would_be: MatchImage
    position: int = 0
    rows: int = 0
    saved_images: int = 0
    counts: dict[str, int] = {}


ImageBefore = Callable[[str, int], MatchImage]


class Refold:
    """Takes rows in the order of positions; `image_before(match, seq)` is asked at a match's first row."""

    def __init__(self, advance: Advance, image_before: ImageBefore) -> None:
        self.matches: dict[str, Refolded] = {}
        self.versions: dict[int, int] = {}  # of the fold that wrote the rows -> how many
        self.differences: list[SideDifference] = []  # since the caller last took them
        self._advance = advance
        self._image_before = image_before

    def take(self, rows: Iterable[RangeRow], images: Iterable[SavedRow]) -> Iterator[SideEvent]:
        """Fold rows, compare the images saved among them; yield each row as it would be."""
        waiting = iter(images)
        image = next(waiting, None)
        for row in rows:
            while image is not None and image.position < row.position:
                self._compare_saved(image)
                image = next(waiting, None)
            yield self._fold(row)
        while image is not None:
            self._compare_saved(image)
            image = next(waiting, None)

    def _fold(self, row: RangeRow) -> SideEvent:
        state = self.matches.get(row.match)
        if state is None:
            before = self._image_before(row.match, row.seq)
            state = self.matches[row.match] = Refolded(row.match, row.shard, before, before)
        state.rows += 1
        state.position = row.position
        self.versions[row.fold_version] = self.versions.get(row.fold_version, 0) + 1
        live = decode_live(row.payload)
        state.was, _ = _step(installed_advance, state.was, live.event, row.seq)
        state.would_be, refusal = _step(self._advance, state.would_be, live.event, row.seq)
        if refusal:
            self._note(state, "refused", row.position, row.seq, "an event", refusal)
            return SideEvent(row.shard, row.position, row.match, row.seq, row.payload.decode())
        payload = self._payload(row, live, state)
        return SideEvent(row.shard, row.position, row.match, row.seq, payload.decode())

    def _payload(self, row: RangeRow, live: LiveEvent, state: Refolded) -> bytes:
        """The live event as the fold would make it; notes what differs from the row."""
        image = state.would_be
        would_be = msgspec.structs.replace(
            live, seq=image.seq, score=image.score, minute=minute_of(live.event)
        )
        if would_be.score != live.score:
            self._note(state, "score", row.position, row.seq, _shown(live.score), _shown(would_be.score))
        payload = encode_live_around(record_in(row.payload), would_be)
        if payload != row.payload:
            fields = _differing(live, would_be) or [("bytes", str(len(row.payload)), str(len(payload)))]
            self._note(state, "payload", row.position, row.seq, *_sides(fields))
        return payload

    def _compare_saved(self, saved: SavedRow) -> None:
        state = self.matches.get(saved.match)
        if state is None or state.was.seq != saved.seq:
            return  # of an event in front of the range
        if saved.fold_version < FOLD_VERSION:
            return  # nobody reads it any more
        state.saved_images += 1
        try:
            held: MatchImage | None = decode_image(saved.image)
        except msgspec.MsgspecError:
            held = None
        if held is None:
            self._note(state, "saved_image", saved.position, saved.seq, "unreadable", "an image")
        elif held != state.would_be:
            sides = _sides(_differing(held, state.would_be))
            self._note(state, "saved_image", saved.position, saved.seq, *sides)

    def finish(self) -> Iterator[SideImage]:
        """Compare the last images; yield those that would be."""
        for state in self.matches.values():
            fields = _differing(state.was, state.would_be)
            if fields:
                self._note(state, "image", state.position, state.was.seq, *_sides(fields))
            would_be = state.would_be
            yield SideImage(state.match, would_be.seq, encode_image(would_be).decode())

    def _note(self, state: Refolded, kind: str, position: int, seq: int, was: str, would_be: str) -> None:
        state.counts = {**state.counts, kind: state.counts.get(kind, 0) + 1}
        self.differences.append(SideDifference(kind, state.match, state.shard, position, seq, was, would_be))

    def take_differences(self) -> list[SideDifference]:
        """What was noted since the last call."""
        noted, self.differences = self.differences, []
        return noted


def _step(advance: Advance, image: MatchImage, event: RawEvent, seq: int) -> tuple[MatchImage, str]:
    """The next image, or why there is none: then the image stays, with the seq that the log gave.

    A refused record would have no seq; in step with the log, the rows behind it still compare.
    """
    try:
        after = advance(image, event)
        if type(after) is not MatchImage:
            raise TypeError(f"the fold returned {type(after).__name__}, not an image")
    except Exception as error:  # noqa: BLE001 - the append makes a dead letter of whatever a fold raises
        return msgspec.structs.replace(image, seq=seq), f"{type(error).__name__}: {error}"
    return after, ""


_Fields = list[tuple[str, str, str]]  # name, as it is, as it would be


def _differing(held: MatchImage | LiveEvent, would_be: MatchImage | LiveEvent) -> _Fields:
    return [
        (field, _shown(getattr(held, field)), _shown(getattr(would_be, field)))
        for field in held.__struct_fields__
        if getattr(held, field) != getattr(would_be, field)
    ]


def _sides(fields: _Fields) -> tuple[str, str]:
    held = ", ".join(f"{name} {old}" for name, old, _ in fields)
    return held, ", ".join(f"{name} {new}" for name, _, new in fields)


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
