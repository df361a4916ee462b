"""What the published fields mean, for people who connect a source or a screen from outside.

Kept beside the records, not in them: the structs are read by who works on
the platform, these texts by who never sees it.
"""

# Of a field, or of a field of one struct (`Struct.field`), which wins.
FIELDS = {
    # identity and time of every record
    "source": "Which kind of source says it; decides the topic and the shape of `body`.",
    "match": "Id of the match, the same from every source. Key of the Kafka record and of its partition.",
    "source_event_id": (
        "The source's own id of the event. It stays the same over all revisions, and is never used for "
        "another event."
    ),
    "revision": (
        "Number of this version of the event: a counter or update stamp of the source. The highest one "
        "holds, whatever the order of arrival. Sending the same revision again is harmless if it is the same"
        " record; with another content it is refused as a conflicting duplicate."
    ),
    "action": (
        "`add` describes the event, `modify` describes it anew and in full, `cancel` takes it back, "
        "`confirm` says that it stands. A correction needs a higher revision than what it corrects."
    ),
    "type": (
        "What happened. Broadcast types that count: fixture, goal, own_goal, penalty_missed, yellow_card, "
        "second_yellow_card, red_card, substitution, var, period_start, period_end. Any other name is taken "
        "and counted."
    ),
    "ControlRecord.source": "Always `control`.",
    "ControlRecord.type": (
        "`park`: events of the match wait, in order, from here on. `release`: those that wait go into the"
        " log, redriven letters first, and then the match goes on."
    ),
    "issued_at": "When it was said.",
    "issued_by": "Who said it.",
    "because": "Why, for people.",
    "occurred_at": "When it happened, by the source's clock: RFC 3339 with an offset, years 1970 to 2199.",
    "ingested_at": "When it was accepted. Set by the platform; leave it out.",
    "insert_before": "Id of an event that this one belongs in front of, when the clock alone does not tell.",
    "body": "What the source says about the event.",
    # bodies
    "x": "Metres along the pitch.",
    "y": "Metres across the pitch.",
    "text": "Text for people, in any language.",
    "SensorBody.sensor": "Id of the device.",
    "SensorBody.player": "Who wears it.",
    "SensorBody.speed": "Metres a second.",
    "SensorBody.heart_rate": "Beats a minute.",
    "SensorBody.value": "A reading that has no field of its own.",
    "side": (
        "Whose incident it is; of an own goal, the side of the scorer. Repeat it on a cancel, so that counts"
        " agree."
    ),
    "period": "1 and 2 are the halves, 3 and 4 extra time, 5 the penalty shoot-out.",
    "clock": "Seconds on the match clock as broadcasters show it: the second half starts at 2700.",
    "player": "Who did it; of a substitution, who goes off.",
    "other_player": "Who comes on, who assisted or who received the pass.",
    "outcome": "How it ended: `complete` of a pass, `full_time` of the period_end that ends the match.",
    "reason": "Why it was corrected or reviewed, as fans will read it.",
    "home": "Name of the home team.",
    "away": "Name of the away team.",
    "competition": "Name of the competition.",
    "kick_off": "Planned kick-off, with an offset.",
    "SocialBody.author": "Who wrote it.",
    "SocialBody.language": "BCP 47 tag of the text; empty when the source does not know.",
    "DerivedBody.of": "`event_id` of the fact that it was made from.",
    "DerivedBody.of_revision": "Revision of that fact; a translation of an older one is ignored.",
    "DerivedBody.series": "What it is: `translation/de`, `possession`.",
    "DerivedBody.values": "Numbers by name.",
    # the live event
    "LiveEvent.v": "2: `event` is all that the source said. 1, in older logs: only what was known then.",
    "LiveEvent.event_id": (
        "Identity of the event in hexadecimal, 32 characters: the same wherever it is shown."
    ),
    "LiveEvent.seq": (
        "Place of the event in its match: 1, 2, 3 without gaps. A hole means that one is missing: ask for it."
    ),
    "LiveEvent.appended_at": "When the log took it. Never runs backwards within a shard.",
    "LiveEvent.score": "The score right after this event, all corrections so far applied.",
    "LiveEvent.minute": "The minute as broadcasters write it (`18'`, `45+2'`); empty without a clock.",
    "LiveEvent.importance": "0 (a reading) to 9 (a goal).",
    "LiveEvent.language": "Language of its text; `und` when unknown.",
    "LiveEvent.event": (
        "All that the source said, in one spelling: also fields that this schema does not name, so ignore"
        " what you do not know. Fields that were null are left out."
    ),
    "Score.home": "Goals of the home team.",
    "Score.away": "Goals of the away team.",
    # the image
    "MatchImage.v": "Version of the rules that made this image.",
    "MatchImage.seq": "The image holds everything up to this place in the match; events go on with the next.",
    "MatchImage.fixture": "Who plays, and when.",
    "MatchImage.status": "Where the match stands.",
    "MatchImage.period": "The furthest period of what stands, 0 before kick-off.",
    "MatchImage.clock": "The furthest reading of the match clock in that period that stands, in seconds.",
    "MatchImage.score": "Goals that stand, without the shoot-out.",
    "MatchImage.shoot_out": "Penalties scored in the shoot-out.",
    "MatchImage.incidents": (
        "Goals, cards, substitutions, reviews and periods in the order of the match clock, those taken back "
        "included."
    ),
    "MatchImage.counts": (
        "How many of each other type: home, away, neither; never negative. `other` holds the types beyond"
        " the 64th."
    ),
    "MatchImage.corrections": "Corrections of types that do not count, the latest only. Nothing to show.",
    "MatchImage.readings": (
        "The furthest clock readings of other types: period, clock, id. Nothing to show: the clock goes back"
        " by them when one is corrected."
    ),
    "MatchImage.owed": (
        "Cancels of other types that found nothing to take off `counts` yet: home, away, neither. Nothing to"
        " show."
    ),
    "Fixture.revision": "Revision of the record that says whether the match is on.",
    "Fixture.id": "Id of that record.",
    "Fixture.cancelled": "Whether the match was called off.",
    "Fixture.described": "Revision of the record that the names come from; -1 while none is known.",
    "Fixture.described_by": "Id of that record.",
    "Incident.id": "`source_event_id` of the event.",
    "Incident.revision": "The highest revision seen.",
    "Incident.action": "What that revision says; `cancel` means that the incident does not count.",
    "Incident.described": (
        "Revision that the description comes from; -1 while only a cancel or confirm is known."
    ),
    "Incident.insert_before": "Id of an incident that this one stands in front of.",
    "Incident.added": "Whether an add of it came by.",
    "Incident.seq": "Of a kick in the shoot-out, its place in the log: kicks keep that order. Else 0.",
    # the dead letter
    "DeadLetter.reason": "Why it was refused: one of a closed list.",
    "DeadLetter.detail": "The field and what is wrong with it, for people.",
    "DeadLetter.origin": "Topic, partition and offset that it was read from.",
    "DeadLetter.key": "Key of the Kafka record.",
    "DeadLetter.original": "The record as it came, byte for byte.",
    "DeadLetter.match": "The match, when it could be read.",
}
