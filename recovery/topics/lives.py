"""Compare the lives of the raw topics that the log knows with those that Kafka has."""

from collections.abc import Sequence

import msgspec

from recovery.audit.kafka_reads import KafkaReads
from recovery.audit.servers import naming_servers
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

    @property
    def life(self) -> TopicLife:
        return TopicLife(self.topic, self.cluster_id, self.topic_id)


def look_at_topics(settings: Settings) -> list[TopicLine]:
    """Ask Kafka and the log; raise CannotRunError when one does not answer."""
    with naming_servers(settings):
        with KafkaReads(settings.kafka, settings.topic_prefix, settings.shards) as kafka:
            cluster_id, cuts = kafka.cluster_id(), kafka.cut()
        with connect(settings.postgres, _APPLICATION) as connection:
            known = resume.known_lives(connection, list(RAW_TOPICS))
        return [_line(TopicLife(cut.topic, cluster_id, cut.topic_id), known, cut.records) for cut in cuts]


def _line(life: TopicLife, known: Sequence[TopicLife], records: int) -> TopicLine:
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
        records=records,
    )


def adopt(settings: Settings, lines: Sequence[TopicLine]) -> None:
    """Let the log be fed from these lives from now on; raise CannotRunError."""
    with naming_servers(settings), connect(settings.postgres, _APPLICATION) as connection:
        resume.adopt_lives(connection, [line.life for line in lines])
