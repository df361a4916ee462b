"""One drill from beginning to end."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recovery.audit.meter import Meter
from recovery.audit.run import Asked, run_audit
from recovery.audit.servers import CannotRunError, opened
from recovery.audit.settle import Settling
from recovery.drill.beside import Beside, settings_beside, tied_to_us
from recovery.drill.comparison import Disaster, compare, disaster_now, states_of
from recovery.drill.receipt import DrillReceipt, ShardResult, StepLine, judge
from recovery.drill.stores import restore_stores
from recovery.postgres.place import Place
from recovery.postgres.programs import Programs, server_user
from recovery.postgres.restore import Plan, fetch_wal, lay_out, plan_restore, reached, tidy
from recovery.postgres.server import RestoredServer, begin_lives
from recovery.postgres.target import Target
from recovery.signatures import Keyring
from settings import Settings
from storage.relay_reads import ShardState

Say = Callable[[str], None]


class Drill:
    """Restores beside the live installation; writes nothing to it.

    Raises PostgresBackupError, CannotRunError, BesideFailedError. Whatever
    happens, what it started is stopped.
    """

    def __init__(self, live: Settings, folder: Path, within: timedelta, say: Say, meter: Meter) -> None:
        self._live = live
        self._folder = folder
        self._within = within
        self._say = say
        self._meter = meter
        self._settings = settings_beside(live, folder / "stack")
        self._place = Place(live.backup_place, Keyring.of(live))
        self._programs = Programs(live.postgres_binaries)
        self._steps: list[StepLine] = []

    def plan(self) -> Plan:
        """What would be restored."""
        return plan_restore(self._place, self._settings.data / "postgres" / "data", Target(), None)

    def run(self, is_kept: bool) -> DrillReceipt:
        """Do it, and return what was measured; the stack beside is deleted unless `is_kept`."""
        started_at = datetime.now(UTC)
        self._folder.mkdir(parents=True)
        beside = Beside(self._settings)
        server: RestoredServer | None = None
        try:
            beside.start_redis()
            plan, disaster, cluster_id = self._bring_log()
            with self._step("unpack the base backup", f"{plan.record.size / 2**20:,.1f} MB"):
                self._meter.begin("bringing the base backup", plan.record.size)
                lay_out(self._place, plan, server_user(), self._meter.advance, self._folder / "wal")
            with self._step("replay the log and promote", f"{len(plan.wal.files)} segments"):
                server = self._start_server(plan)
            with self._step("begin new lives"):
                beside.await_redis()
                begin_lives(self._settings.postgres, self._settings.redis)
                tidy(plan.into)
                restored = states_of(self._settings.postgres)
            with self._step("restore the lanes' stores") as line:
                stores = restore_stores(beside, disaster.at)
                line.detail = stores.source
            with self._step("read Kafka on, fill Redis") as line:
                lanes = beside.start_flows()
                line.detail = f"{lanes} lanes"
                self._settle(self._settings, disaster, beside)
            rto = sum(line.seconds for line in self._steps if line.counts)
            with self._step("audit the restored stack", counts=False):
                beside.check()
                audit = run_audit(self._settings, Asked(settle=self._within), self._meter)
            with self._step("compare with the live log", counts=False):
                shards = self._compare(disaster, restored, cluster_id)
        finally:
            beside.stop()
            if server is not None:
                server.stop()
        rpo = max((shard.missing_seconds for shard in shards), default=0.0)
        reasons = judge(shards, rpo, rto, audit.verdict, stores.fault)
        if not is_kept:
            shutil.rmtree(self._settings.data)
        return DrillReceipt(
            verdict="failed" if reasons else "passed",
            reasons=reasons,
            started_at=started_at,
            disaster_at=disaster.at,
            place=self._place.url,
            backup=plan.record.name,
            backup_bytes=plan.record.size,
            wal_segments=len(plan.wal.files),
            wal_bytes=plan.wal.size,
            stores=stores.source,
            lanes=lanes,
            kafka_records=sum(cut.records for cut in disaster.cuts),
            rpo_seconds=rpo,
            rpo_events=sum(shard.missing for shard in shards),
            lost_after_catch_up=sum(shard.lost for shard in shards),
            rto_seconds=round(rto, 2),
            audit=audit.verdict,
            audit_differences=sum(audit.difference_counts.values()),
            steps=self._steps,
            shards=shards,
        )

    def _bring_log(self) -> tuple[Plan, Disaster, str]:
        """Take the archive as it is, and only then look how far the live log is: nothing is flattered."""
        with self._step("bring the archived log") as line:
            plan = self.plan()
            for said in plan.lines():
                self._say(said)
            self._meter.begin("bringing the archived log", plan.wal.size)
            fetch_wal(self._place, plan, self._folder / "wal", self._meter.advance)
            line.detail = f"{plan.wal.size / 2**20:,.1f} MB"
        with self._step("note what the live stack has", counts=False), opened(self._live) as servers:
            disaster = disaster_now(self._live, servers.kafka.cut())
            return plan, disaster, servers.kafka.cluster_id()

    def _start_server(self, plan: Plan) -> RestoredServer:
        port = self._settings.port("postgres")
        server = RestoredServer(plan.into, port, self._programs, server_user(), tied_to_us())
        try:
            self._meter.begin("replaying the log, in segments", len(plan.wal.files))
            server.wait(
                self._settings.postgres,
                plan.target,
                plan.wal.hole,
                lambda: self._meter.reached(reached(plan)),
            )
        except BaseException:
            server.stop()
            raise
        return server

    def _settle(self, settings: Settings, disaster: Disaster, beside: Beside | None = None) -> None:
        """Wait until a stack has everything that Kafka held at the disaster."""

        def pause(seconds: float) -> None:
            if beside is not None:
                beside.check()
            time.sleep(seconds)

        with opened(settings) as servers:
            settling = Settling(servers, disaster.cuts, settings.shards, time.monotonic, pause)
            if standing := settling.wait(self._within.total_seconds(), self._meter):
                reason = f"not caught up within {self._within}: {'; '.join(standing[:3])}"
                raise CannotRunError("Lanes", reason, "--within 30m waits longer; their logs are kept.")

    def _compare(
        self, disaster: Disaster, restored: Mapping[int, ShardState], cluster_id: str
    ) -> list[ShardResult]:
        self._settle(self._live, disaster)
        return compare(self._live, self._settings, disaster, restored, cluster_id)

    @contextmanager
    def _step(self, name: str, detail: str = "", counts: bool = True) -> Iterator[StepLine]:
        line = StepLine(name, 0.0, detail, counts)
        began = time.monotonic()
        yield line
        line.seconds = round(time.monotonic() - began, 2)
        self._steps.append(line)
        self._say(f"{line.seconds:7.2f} s  {name}{': ' + line.detail if line.detail else ''}")
