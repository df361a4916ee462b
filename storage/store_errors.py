"""What can be wrong with a recovery store, by name.

Opens no store: anyone may import these names.
"""

from pathlib import Path

_DO_WITHOUT = "A lane of enrich can also do without: delete the directory, and it starts from the log."


class StoreError(RuntimeError):
    """A recovery store cannot be used: where it is, why, and what to do."""

    remedy = f"Restore a copy of it (python -m recovery restore). {_DO_WITHOUT}"

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(printable(f"{directory}: {reason}"))
        self.directory = directory
        self.reason = printable(reason)


def printable(text: str) -> str:
    """Names out of a damaged file may hold what no terminal and no JSON can."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


class StoreMissingError(StoreError):
    """There is no recovery store, or nothing in its directory."""

    remedy = "Look at the path; a lane makes its store when it starts, and restore brings back a copy."


class StoreDamagedError(StoreError):
    """A file of the store cannot be read, or holds what Bytewax never writes."""


class StoreIncompleteError(StoreDamagedError):
    """Partitions of the store are missing."""

    def __init__(self, directory: Path, missing: list[int]) -> None:
        super().__init__(directory, f"partitions {missing} are missing")
        self.missing = missing


class StoreMixedError(StoreDamagedError):
    """The files in the directory are from several stores, or from several moments of one."""


class StateForeignError(StoreDamagedError):
    """A state in the store is not what a step here writes: it is not run, whatever it is."""

    remedy = (
        "A lane puts such a state aside by itself when it starts, and does without it (python -m recovery"
        " prepare --dry-run says so). Find out who could write to it; a backup that has one is of no use."
    )

    def __init__(self, directory: Path, what: str, reason: str) -> None:
        super().__init__(directory, f"{what} cannot be read: {reason}")


class StoreForeignError(StoreError):
    """Something else than a recovery store of Bytewax."""

    remedy = "Look at the path: this belongs to something else, so nothing here touches it."


class StoreUnreadableError(StoreError):
    """The store may be sound, but it could not be read now."""

    remedy = "Look at the permissions of its files, and whether another program holds them."


class StoreChangedError(StoreError):
    """A store went on faster than it could be copied at one cut."""

    remedy = "Try again; if it stays so, give the lane a longer backup interval (-b)."


class PointGoneError(StoreError):
    """A store cannot go back to this flow epoch."""

    def __init__(self, directory: Path, asked: int, oldest: int, newest: int) -> None:
        super().__init__(directory, f"flow epoch {asked} is not in it: it has {oldest} to {newest}")
        self.asked = asked
        self.oldest = oldest
        self.newest = newest
        self.remedy = "Ask for one of these, or restore a backup from before."
