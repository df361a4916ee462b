"""Where a feed was read to: a small file that survives a crash at any point."""

import os
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ingest.publications import Published
from telemetry.log import Log

CURSOR_DAMAGED = "cursor.damaged"


class Place(msgspec.Struct, frozen=True):
    """What to ask a feed for next."""

    cursor: str = ""  # opaque; empty: from the beginning
    etag: str = ""  # of the answer at this cursor
    # What the feed published up to there; None for a format that counts revisions itself.
    published: Published | None = None
    check: str = ""  # of the file, over what was published: a wrong version would be a wrong score


class DamagedCursorError(ValueError):
    """A cursor file cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class CursorFile:
    """The durable place in one feed.

    Delivery: saved only after Kafka has acknowledged everything before it, so
    a crash repeats records and never loses one.
    """

    def __init__(self, folder: Path, feed: str, url: str) -> None:
        """Two URLs are two feeds: each has its own file in `folder`."""
        self.beginning = Place()
        self.path = folder / f"{feed}-{blake2b(url.encode(), digest_size=6).hexdigest()}.cursor"

    def load(self) -> Place:
        """The last saved place, or the beginning; raise DamagedCursorError."""
        try:
            place = msgspec.json.decode(self.path.read_bytes(), type=Place)
        except FileNotFoundError:
            return self.beginning
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DamagedCursorError(self.path, str(error)) from error
        if place.check != _check_of(place):
            raise DamagedCursorError(self.path, "its check does not agree with what it says was published")
        return replace(place, check="")

    def save(self, place: Place) -> None:
        """Write and force to disk before the name changes hands; raise OSError. Blocks for a disk flush."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".new")
        with scratch.open("wb") as file:
            file.write(msgspec.json.encode(replace(place, check=_check_of(place))))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the rename itself
        finally:
            os.close(folder)


def _check_of(place: Place) -> str:
    if place.published is None:
        return ""
    return blake2b(msgspec.json.encode(place.published), digest_size=8).hexdigest()


def place_in(file: CursorFile) -> Place:
    """The saved place; with a damaged file the beginning: the log drops repeats, a gap would stay.

    From its beginning a feed publishes the same again in the same order, so
    the versions that a damaged file held come out the same.
    """
    try:
        return file.load()
    except DamagedCursorError as error:
        Log("ingest").warning(CURSOR_DAMAGED, file=str(error.path), reason=error.reason)
        return file.beginning
