"""A receiver's folder when the server no longer has what comes next."""

from pathlib import Path

from recovery.postgres.lsn import Segment, parse_segment


def is_received_up_to(folder: Path, number: int, segment_bytes: int) -> bool:
    """Whether a receiver that goes on where the files end asks for nothing before this segment."""
    segments = [segment for segment, _ in _segments(folder, segment_bytes)]
    if not segments:
        return True  # it begins where its slot does
    return max(s.number if s.is_partial else s.number + 1 for s in segments) >= number


def put_aside(folder: Path, segment_bytes: int) -> Path:
    """Move all segments into a folder beside, named by the last of them; return it."""
    segments = _segments(folder, segment_bytes)
    last = max(segments, key=lambda found: found[0].order)[1].name.partition(".")[0]
    aside = folder / f"until-{last}"
    aside.mkdir(exist_ok=True)
    for _, path in segments:
        path.rename(aside / path.name)
    return aside


def _segments(folder: Path, segment_bytes: int) -> list[tuple[Segment, Path]]:
    found = [(parse_segment(path.name, segment_bytes), path) for path in folder.iterdir()]
    return [(segment, path) for segment, path in found if segment is not None]
