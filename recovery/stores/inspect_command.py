"""`python -m recovery inspect`."""

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from recovery.answers import print_json, remark
from recovery.audit.meter import Bar
from recovery.refusals import refuse
from recovery.stores.finding import asked_for
from recovery.stores.inspection import inspect_stores
from recovery.stores.looks import KafkaLook, LogLook, Unknown, look_at_kafka, look_at_log
from recovery.stores.table import show
from settings import SettingsError, load

SOUND, UNFIT = 0, 1


def inspect(
    *stores: Annotated[str, Parameter(help="Names (enrich-0) or paths. Without any: all there are.")],
    json: Annotated[bool, Parameter(negative=(), help="Print the report as JSON.")] = False,
) -> int:
    """Show what recovery stores hold; return the exit status."""
    errors = Console(stderr=True)
    try:
        settings = load()
        paths = asked_for(settings, stores)
        with Bar(errors) as meter:
            meter.begin("reading", 2 + len(paths))

            def look() -> tuple[KafkaLook | Unknown, LogLook | Unknown]:
                kafka = look_at_kafka(settings)
                meter.advance(1)
                return kafka, look_at_log(settings)

            found = inspect_stores(paths, look, datetime.now(UTC), lambda: meter.advance(1))
            meter.advance(1)
    except (SettingsError, OSError) as error:
        remark("The stores could not be inspected.")
        return refuse(error, json)
    if json:
        print_json(found)
    else:
        show(found, Console())
    return SOUND if found.is_sound else UNFIT
