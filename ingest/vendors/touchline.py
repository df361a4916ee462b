"""Our own format: the records of `schemas.raw`, one JSON object per line."""

from ingest.publications import Publications
from ingest.refusals import field_and_reason
from ingest.vendors import VendorFormatError
from schemas.raw import RawEvent
from schemas.validation import Rejection, parse


class Mapper:
    """Reads records that are ours already; each names its match and revision itself."""

    def __init__(self, match: str, publications: Publications | None = None) -> None:
        self._match = match

    def map(self, line: bytes) -> RawEvent:
        """Decode a line; raise VendorFormatError with the field that is wrong."""
        parsed = parse(line)
        if isinstance(parsed, Rejection):
            raise VendorFormatError(*field_and_reason(parsed.detail))
        return parsed
