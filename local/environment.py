"""Settings as environment variables: how a child gets what its parent decided."""

import os
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from settings import PREFIX, Settings


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that make `settings.load()` return these settings."""
    values = {f.name: getattr(settings, f.name) for f in msgspec.structs.fields(Settings)}
    return {PREFIX + name.upper(): _text(value) for name, value in values.items()}


def inherited(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment, handed on to a child with `extra` on top."""
    return {**os.environ, **extra}


def _text(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1)}us"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
