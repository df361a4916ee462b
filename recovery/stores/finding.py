"""Which recovery stores an installation has."""

from collections.abc import Sequence
from pathlib import Path

from settings import Settings

# `enrich-0.lock` is its lock, `enrich-0.before-<time>` what a restore put aside.
_ASIDE = "."


def stores_folder(settings: Settings) -> Path:
    """Where the lanes of the local stack keep their stores."""
    return settings.data / "recovery"


def all_stores(settings: Settings) -> list[Path]:
    """Every store's directory, in order; none when there is no folder."""
    folder = stores_folder(settings)
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _ASIDE not in path.name]


def asked_for(settings: Settings, named: Sequence[str]) -> list[Path]:
    """The stores that a command line names, by name or by path; all when it names none."""
    if not named:
        return all_stores(settings)
    return [store_path(settings, name) for name in named]


def store_path(settings: Settings, name: str) -> Path:
    """`enrich-0` is in the stores' folder; whatever has a slash, or is there, is a path."""
    is_bare = "/" not in name and name not in (".", "..")
    return stores_folder(settings) / name if is_bare and not Path(name).exists() else Path(name).absolute()
