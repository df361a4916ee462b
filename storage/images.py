"""Images of matches as the append needs them: the last saved one plus the fold of the log's tail.

An image that another version of the fold saved is not trusted: without one
of this version the match is folded from its beginning.
"""

from typing import NamedTuple

import psycopg

from schemas.fold import FOLD_VERSION, advance_logged, empty_image
from schemas.image import MatchImage, decode_image
from schemas.live import decode_live

_MATCH = "SELECT retired_at IS NOT NULL FROM matches WHERE match = %(match)s"

# convert_to, not ::bytea: the latter reads backslashes as escapes.
_LAST = """
SELECT convert_to(image::text, 'UTF8') FROM images
WHERE match = %(match)s AND fold_version = %(fold)s ORDER BY seq DESC LIMIT 1
"""

# In parts: after an upgrade of the fold a tail is all of a match.
_TAIL = """
SELECT convert_to(payload::text, 'UTF8') FROM events
WHERE match = %(match)s AND seq > %(seq)s ORDER BY seq LIMIT %(limit)s
"""
_TAIL_ROWS = 5_000


class Rebuilt(NamedTuple):
    """The image of a match as committed."""

    image: MatchImage
    saved_seq: int  # of the image it was rebuilt from
    is_known: bool  # whether `matches` has it
    is_retired: bool


def rebuild(connection: psycopg.Connection, match: str) -> Rebuilt:
    """The image of a match at its committed seq; an empty one for a match never seen."""
    row = connection.execute(_MATCH, {"match": match}).fetchone()
    if row is None:
        return Rebuilt(empty_image(match), 0, False, False)
    saved = connection.execute(_LAST, {"match": match, "fold": FOLD_VERSION}).fetchone()
    image = decode_image(saved[0]) if saved else empty_image(match)
    saved_seq = image.seq
    while True:
        wanted = {"match": match, "seq": image.seq, "limit": _TAIL_ROWS}
        tail = connection.execute(_TAIL, wanted).fetchall()
        for (payload,) in tail:
            image = advance_logged(image, decode_live(payload).event)
        if len(tail) < _TAIL_ROWS:
            return Rebuilt(image, saved_seq, True, bool(row[0]))
