"""Our own format: the records of `schemas.raw`, one JSON object per line."""

from ingest.publications import Publications
from ingest.refusals import field_and_reason
from ingest.vendors import VendorFormatError
from schemas.validation import ReadRecord, Rejection, read


class Mapper:
    """Reads records that are ours already; each names its match and revision itself."""

    def __init__(self, match: str, publications: Publications | None = None) -> None:
        self._match = match

    def map(self, line: bytes) -> ReadRecord:
        """Read a line; raise VendorFormatError with the field that is wrong."""
        found = read(line)
        if isinstance(found, Rejection):
            raise VendorFormatError(*field_and_reason(found.detail))
        return found
