"""Settings as environment variables: how a child gets what its parent decided."""

import os
from collections.abc import Mapping

from settings import Settings, variables_of


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that make `settings.load()` return these settings."""
    return variables_of(settings)


def inherited(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment, handed on to a child with `extra` on top."""
    return {**os.environ, **extra}
