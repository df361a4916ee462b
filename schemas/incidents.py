"""Keep the incidents of a match by id: merge revisions, forget corrections, keep the order.

Pure. `merged` is a join: the merged state of an id is the maximum over the
records seen, so neither order nor repetition matters.
"""

import msgspec

from schemas.image import REMEMBERED, SHOOT_OUT, Incident
from schemas.raw import BroadcastEvent

# What was said of an id whose type does not count is kept in case it overtook
# the record that it corrects. 64 span minutes even in a feed that amends
# every second pass; an overtaking takes seconds. Both limits hold; in the
# worst case (escaped characters only) one correction has 1.7 KB.
CORRECTIONS_KEPT = 64
CORRECTIONS_BYTES = 10 * 1024

_encode = msgspec.json.Encoder().encode
_Description = tuple[str, str, int, int, str, str, str, str]


def remembers(event: BroadcastEvent) -> bool:
    """Whether a record can change what is remembered of its id.

    Only the first word (an add at revision 0) of a type that does not count
    cannot: nothing lies below it that it could correct.
    """
    return event.revision > 0 or event.action != "add" or event.type in REMEMBERED


def known_of(
    incidents: tuple[Incident, ...], corrections: tuple[Incident, ...], name: str
) -> Incident | None:
    """What is remembered of an id."""
    for incident in incidents:
        if incident.id == name:
            return incident
    for incident in corrections:
        if incident.id == name:
            return incident
    return None


def merged(known: Incident | None, event: BroadcastEvent, seq: int) -> Incident:
    """What is remembered of an id after a record of it; `seq` is the record's place in the log."""
    revision, action, kind, reason = event.revision, event.action, event.type, event.body.reason
    if known is None:
        known = Incident(id=event.source_event_id, revision=-1, action=action, type="", added=False)
    changes: dict[str, object] = {}
    # Ties do not come from the log (identity is unique there); comparing the
    # content as well keeps even those independent of the path.
    status = (revision, action, reason)
    held = (known.revision, known.action, known.reason)
    if status > held:
        changes |= {"revision": revision, "action": action, "reason": reason}
    if known.described < 0:
        if (*status, kind) > (*held, known.type):
            changes["type"] = kind
        # A cancel may leave the side out, so the latest alone cannot tell it.
        changes["side"] = max(known.side or "", event.body.side or "") or None
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
    if action == "add":
        changes["added"] = True
    after = msgspec.structs.replace(known, **changes)
    if after.period == SHOOT_OUT:
        return after if after.seq else msgspec.structs.replace(after, seq=seq)
    return msgspec.structs.replace(after, seq=0) if after.seq else after


def _description(event: BroadcastEvent) -> _Description:
    """Read an add or modify; of a type that does not count, only what counts and clock need."""
    body = event.body
    if event.type not in REMEMBERED:
        return event.type, body.side or "", body.period or 0, body.clock or 0, "", "", "", ""
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


def latest(corrections: tuple[Incident, ...]) -> tuple[Incident, ...]:
    """Forget the oldest corrections beyond either limit; the newest always stays."""
    room, kept = CORRECTIONS_BYTES, 0
    for correction in reversed(corrections[-CORRECTIONS_KEPT:]):
        room -= len(_encode(correction)) + 1
        if room < 0 and kept:
            break
        kept += 1
    return corrections[-kept:]


def ordered(incidents: tuple[Incident, ...]) -> tuple[Incident, ...]:
    """By match clock, then id; one with `insert_before` right in front of what it names.

    Where the clock stands, in the shoot-out, kicks keep the order of the log.
    Several in front of the same one keep their own order. Those that name
    each other in a circle, and those in front of such, stand by their clock.
    """
    placed = sorted(incidents, key=_place)
    if not any(i.insert_before for i in placed):
        return tuple(placed)
    moved = _inserted(placed, {i.id for i in placed})
    if len(moved) < len(placed):  # the rest circles
        moved = _inserted(placed, {i.id for i in moved})
    return tuple(moved)


def _place(incident: Incident) -> tuple[int, int, int, str]:
    return incident.period, incident.clock, incident.seq, incident.id


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
