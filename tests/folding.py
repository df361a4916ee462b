"""Images to test with: the fold of some records."""

from collections.abc import Iterable

from schemas.fold import ImageFullError, advance, empty_image
from schemas.image import MatchImage
from schemas.raw import RawEvent
from tests.event_builders import MATCH


def folded(records: Iterable[RawEvent], image: MatchImage | None = None) -> MatchImage:
    image = image or empty_image(MATCH)
    for record in records:
        image = advance(image, record)
    return image


def filled(image: MatchImage, records: Iterable[RawEvent]) -> MatchImage:
    """The image when the next record was refused."""
    try:
        for record in records:
            image = advance(image, record)
    except ImageFullError:
        return image
    raise AssertionError("never full")
