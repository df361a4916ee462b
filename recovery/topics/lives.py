"""Compare the raw topics that the log knows with those that Kafka has: their lives and their partitions."""

from collections.abc import Sequence

import msgspec

from recovery.audit.servers import naming_servers
from recovery.topics.cluster import FoundTopic, TopicAdmin
from recovery.topics.fit import fit_of
from schemas.raw import RAW_TOPICS
from settings import Settings
from storage import resume
from storage.connect import connect
from storage.resume import TopicLife

_APPLICATION = "touchline-topics"
NEVER_READ, READ, REPLACED, PAST = "never read", "read", "replaced", "an earlier one"


class TopicLine(msgspec.Struct, frozen=True, kw_only=True):
    """A raw topic: what the log is fed from, and what is there."""

    topic: str  # without the installation's prefix
    state: str  # NEVER_READ, READ, REPLACED; PAST: the log was fed from it before another one
    cluster_id: str
    topic_id: str
    fed_from: tuple[str, str] | None  # cluster and topic id of the life that the log knows last
    records: int  # that Kafka has in all partitions
    partitions: int
    unread: int  # records in partitions beyond the shards
    fits: bool  # whether lanes read all that there is

    @property
    def life(self) -> TopicLife:
        return TopicLife(self.topic, self.cluster_id, self.topic_id)


def look_at_topics(settings: Settings) -> list[TopicLine]:
    """Ask Kafka and the log; raise CannotRunError when one does not answer."""
    with naming_servers(settings):
        found = TopicAdmin(settings).look()
        with connect(settings.postgres, _APPLICATION) as connection:
            known = resume.known_lives(connection, list(RAW_TOPICS))
        return [_line(topic, known, settings.shards) for topic in found]


def _line(found: FoundTopic, known: Sequence[TopicLife], shards: int) -> TopicLine:
    life, fit = TopicLife(found.topic, found.cluster_id, found.topic_id), fit_of(found, shards)
    of_topic = [other for other in known if other.name == life.name]
    if not of_topic:
        state = NEVER_READ
    elif of_topic[-1] == life:
        state = READ
    else:
        state = PAST if life in of_topic else REPLACED
    return TopicLine(
        topic=life.name,
        state=state,
        cluster_id=life.cluster_id,
        topic_id=life.topic_id,
        fed_from=(of_topic[-1].cluster_id, of_topic[-1].topic_id) if of_topic else None,
        records=sum(end - first for first, end in found.ranges.values()),
        partitions=fit.partitions,
        unread=fit.unread,
        fits=fit.fits,
    )


def adopt(settings: Settings, lines: Sequence[TopicLine]) -> None:
    """Let the log be fed from these lives from now on; raise CannotRunError."""
    with naming_servers(settings), connect(settings.postgres, _APPLICATION) as connection:
        resume.adopt_lives(connection, [line.life for line in lines])
