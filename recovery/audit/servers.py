"""The three servers that an audit reads, and what to do when one is down."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import psycopg
import redis
from confluent_kafka import KafkaException

from recovery.audit.kafka_reads import KafkaReads, KafkaSilentError, ShardCountError, TopicMissingError
from recovery.audit.stream_reads import StreamReads
from settings import Settings
from storage.audit_reads import AuditReads


class CannotRunError(RuntimeError):
    """The audit cannot run: which part is to blame, and what to do."""

    def __init__(self, part: str, reason: str, remedy: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part
        self.reason = reason
        self.remedy = remedy


class Servers(NamedTuple):
    """Open connections to all three."""

    kafka: KafkaReads
    log: AuditReads
    streams: StreamReads


_START = "Start the stack with ./dev up and look with ./dev status."


@contextmanager
def opened(settings: Settings) -> Iterator[Servers]:
    """Connect to all three; a server that is down, now or later, raises CannotRunError."""
    with naming_servers(settings), ExitStack() as stack:
        kafka = stack.enter_context(KafkaReads(settings.kafka, settings.topic_prefix, settings.shards))
        kafka.cluster_id()
        log = stack.enter_context(AuditReads(settings.postgres))
        streams = stack.enter_context(StreamReads(settings.redis))
        streams.ping()
        if not log.is_ready():
            raise CannotRunError(
                "PostgreSQL",
                "the database has no log yet",
                "./dev up makes its tables; then feed it a match.",
            )
        yield Servers(kafka, log, streams)


@contextmanager
def naming_servers(settings: Settings) -> Iterator[None]:
    """Turn what a server does not answer into a CannotRunError that names it."""
    with _named(_addresses(settings)):
        yield


def _addresses(settings: Settings) -> dict[str, str]:
    """Where each server was looked for, without passwords."""
    postgres = psycopg.conninfo.conninfo_to_dict(settings.postgres)
    return {
        "Kafka": settings.kafka,
        "PostgreSQL": f"{postgres.get('host', 'localhost')}:{postgres.get('port', 5432)}",
        "Redis": settings.redis.rpartition("@")[2].removeprefix("redis://"),
    }


@contextmanager
def _named(where: dict[str, str]) -> Iterator[None]:
    """Say which server an error came from."""
    try:
        yield
    except (KafkaException, KafkaSilentError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise CannotRunError("Kafka", f"{where['Kafka']}: {reason}", _remedy("KAFKA")) from error
    except TopicMissingError as error:
        raise CannotRunError("Kafka", str(error), "./dev up creates the topics.") from error
    except ShardCountError as error:
        remedy = "Set TOUCHLINE_SHARDS to the partition count: it is fixed for the life of an installation."
        raise CannotRunError("Kafka", str(error), remedy) from error
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CannotRunError("PostgreSQL", f"{where['PostgreSQL']}: {reason}", _mended(error)) from error
    except redis.RedisError as error:
        raise CannotRunError("Redis", f"{where['Redis']}: {error}", _remedy("REDIS")) from error


def _mended(error: psycopg.Error) -> str:
    match error:
        case psycopg.DataError():
            return "Look at what was asked for: the server cannot read it."
        case psycopg.ProgrammingError():
            return "./dev up brings its tables to this version."
        case _:
            return _remedy("POSTGRES")


def _remedy(variable: str) -> str:
    return f"{_START} Elsewhere: TOUCHLINE_{variable} holds its address."
