"""What a match remembers by id: merging revisions, forgetting corrections, order.

Pure. `remember` is a join: the merged state of an id is the maximum over the
records seen, so neither order nor repetition matters.
"""

import msgspec

from schemas.image import REMEMBERED, Incident
from schemas.raw import BroadcastEvent

# A correction of a type that does not count is kept in case it overtook the
# record whose type it changes. 64 span minutes even in a feed that amends
# every second pass; an overtaking takes seconds. Both limits hold; in the
# worst case (escaped characters only) one correction has 1.7 KB.
CORRECTIONS_KEPT = 64
CORRECTIONS_BYTES = 8 * 1024

_encode = msgspec.json.Encoder().encode
_Description = tuple[str, str, int, int, str, str, str, str]


def remembers(event: BroadcastEvent) -> bool:
    """Whether a record can change what is remembered of its id.

    An add of a type that does not count cannot: whoever turns a goal into a
    shot says `modify`. A confirm of such a type confirms nothing we keep.
    """
    return event.type in REMEMBERED or event.action in ("modify", "cancel")


def remember(
    incidents: tuple[Incident, ...], corrections: tuple[Incident, ...], event: BroadcastEvent
) -> tuple[tuple[Incident, ...], tuple[Incident, ...]]:
    """Merge a record into the incidents and corrections of its match."""
    name = event.source_event_id
    known = next((i for i in incidents if i.id == name), None)
    if known is not None:
        incidents = tuple(i for i in incidents if i is not known)
    else:
        known = next((i for i in corrections if i.id == name), None)
        if known is not None:
            corrections = tuple(i for i in corrections if i is not known)
    merged = _merged(known, event)
    if merged.type in REMEMBERED:
        return _ordered((*incidents, merged)), corrections
    return _ordered(incidents), _latest((*corrections, merged))


def encoded_size(incidents: tuple[Incident, ...]) -> int:
    """Bytes of incidents in an encoded image."""
    return len(_encode(incidents))


def _merged(known: Incident | None, event: BroadcastEvent) -> Incident:
    revision, action, kind, reason = event.revision, event.action, event.type, event.body.reason
    if known is None:
        known = Incident(id=event.source_event_id, revision=-1, action=action, type="")
    changes: dict[str, object] = {}
    # Ties do not come from the log (identity is unique there); comparing the
    # content as well keeps even those independent of the path.
    status = (revision, action, reason)
    held = (known.revision, known.action, known.reason)
    if status > held:
        changes |= {"revision": revision, "action": action, "reason": reason}
    if known.described < 0 and (*status, kind) > (*held, known.type):
        changes["type"] = kind
    if action in ("add", "modify"):
        described = _description(event)
        if (revision, described) > (known.described, _held_description(known)):
            changes |= {
                "described": revision,
                "type": described[0],
                "side": described[1] or None,
                "period": described[2],
                "clock": described[3],
                "player": described[4],
                "other_player": described[5],
                "outcome": described[6],
                "insert_before": described[7],
            }
    return msgspec.structs.replace(known, **changes) if changes else known


def _description(event: BroadcastEvent) -> _Description:
    """What an add or modify says; of a type that does not count only the type is kept."""
    if event.type not in REMEMBERED:
        return event.type, "", 0, 0, "", "", "", ""
    body = event.body
    return (
        event.type,
        body.side or "",
        body.period or 0,
        body.clock or 0,
        body.player,
        body.other_player,
        body.outcome,
        event.insert_before or "",
    )


def _held_description(known: Incident) -> _Description:
    return (
        known.type,
        known.side or "",
        known.period,
        known.clock,
        known.player,
        known.other_player,
        known.outcome,
        known.insert_before,
    )


def _latest(corrections: tuple[Incident, ...]) -> tuple[Incident, ...]:
    """Forget the oldest corrections beyond either limit; the newest always stays."""
    room, kept = CORRECTIONS_BYTES, 0
    for correction in reversed(corrections[-CORRECTIONS_KEPT:]):
        room -= len(_encode(correction)) + 1
        if room < 0 and kept:
            break
        kept += 1
    return corrections[-kept:]


def _ordered(incidents: tuple[Incident, ...]) -> tuple[Incident, ...]:
    """By match clock, then id; one with `insert_before` right in front of what it names.

    Several in front of the same one keep their own order. Those that name
    each other in a circle, and those in front of such, stand by their clock.
    """
    placed = sorted(incidents, key=_place)
    if not any(i.insert_before for i in placed):
        return tuple(placed)
    ordered = _inserted(placed, {i.id for i in placed})
    if len(ordered) < len(placed):  # the rest circles
        ordered = _inserted(placed, {i.id for i in ordered})
    return tuple(ordered)


def _place(incident: Incident) -> tuple[int, int, str]:
    return incident.period, incident.clock, incident.id


def _inserted(placed: list[Incident], targets: set[str]) -> list[Incident]:
    """Move each one that names a target in front of it; leave out what no fixed place leads to."""
    in_front: dict[str, list[Incident]] = {}
    backwards: list[Incident] = []
    stack: list[Incident] = []
    for incident in placed:
        if incident.insert_before in targets:
            in_front.setdefault(incident.insert_before, []).append(incident)
        else:
            stack.append(incident)
    while stack:
        incident = stack.pop()
        backwards.append(incident)
        stack.extend(in_front.get(incident.id, ()))
    return backwards[::-1]
