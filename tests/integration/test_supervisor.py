"""The supervisor with small real processes: order, restarts, giving up, stopping."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from local.child import Child, NotReadyError, Probe, State
from local.ownership import AlreadyRunningError, acquire, end_orphans, holder, read_record
from local.spawn import LOG_BYTES, bound, command_line
from local.supervise import ChildFailedError, Supervisor
from local.watch import GIVE_UP_AFTER_STARTS, Watch
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.anyio]

SOON = timedelta(seconds=20)
A_MOMENT = timedelta(milliseconds=300)
WAITS_FOR_EVER = "import signal; signal.pause()"
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def a_child(name: str = "part", code: str = WAITS_FOR_EVER, needs: tuple[str, ...] = ()) -> Child:
    argv = (sys.executable, "-I", "-S", "-c", code)
    return Child(name=name, argv=argv, needs=needs, steady_after=A_MOMENT)


@asynccontextmanager
async def supervising(
    data: Path, on_change: Callable[[Watch], None] = lambda _: None
) -> AsyncIterator[Supervisor]:
    (data / "run").mkdir()
    supervisor = Supervisor(data, on_change)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, condition, SOON)


async def test_children_start_in_order_of_readiness_and_stop_in_reverse(tmp_path: Path) -> None:
    """The gateway must not run before, nor after, the database it needs."""
    seen: list[tuple[str, State]] = []
    async with supervising(tmp_path, lambda watch: seen.append((watch.child.name, watch.state))) as it:
        await it.start([a_child("gateway", needs=("postgres",)), a_child("postgres")])
    assert seen.index(("postgres", State.UP)) < seen.index(("gateway", State.STARTING))
    assert seen.index(("gateway", State.STOPPED)) < seen.index(("postgres", State.STOPPING))


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    """Whatever kills a process, a new one takes its place."""
    async with supervising(tmp_path) as it:
        await it.start([a_child()])
        watch = it.watches["part"]
        first = watch.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await _until(lambda: watch.state is State.UP and watch.pid not in (None, first))
        assert watch.restarts == 1


async def test_a_child_that_gave_way_is_told_so_until_it_is_up_again(tmp_path: Path) -> None:
    """Taking back at once what it gave would end in two throwing each other out for ever."""
    said, up = tmp_path / "said", tmp_path / "up"
    code = (
        "import os, signal\n"
        f"told = open({str(said)!r}, 'a')\n"
        "told.write(os.environ.get('TURN', '-')); told.flush()\n"
        f"starts = os.path.getsize({str(said)!r})\n"
        "if starts == 1 or starts == 3: os._exit(os.EX_TEMPFAIL)\n"
        "if starts == 2: os._exit(1)\n"
        f"open({str(up)!r}, 'w').write(str(os.getpid()))\n"
        "signal.pause()"
    )
    async with supervising(tmp_path) as it:
        probe = _probe(lambda: up.exists() and up.read_text() == str(it.watches["part"].pid))
        await it.start([replace(a_child(code=code), probe=probe, after_giving_way={"TURN": "+"})])
        watch = it.watches["part"]
        assert (watch.state, said.read_text()) == (State.UP, "-+++")
        assert watch.pid is not None
        os.kill(watch.pid, signal.SIGKILL)
        await _until(lambda: watch.state is State.UP and watch.restarts == 4)
        assert said.read_text() == "-+++-"


async def test_a_child_that_never_comes_up_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    """A wrong configuration is said, not tried for ever."""
    async with supervising(tmp_path) as it:
        with pytest.raises(ChildFailedError) as caught:
            child = a_child(code="import sys; sys.exit('no such setting')")
            await it.start([replace(child, steady_after=SOON)])
        assert it.watches["part"].restarts == GIVE_UP_AFTER_STARTS - 1
    assert "no such setting" in str(caught.value)


async def test_a_failing_probe_shows_as_unwell_and_heals(tmp_path: Path) -> None:
    """A part that runs but does not answer is neither hidden nor killed."""
    answers = [True]
    child = a_child()
    async with supervising(tmp_path) as it:
        await it.start([Child(name=child.name, argv=child.argv, probe=_probe(lambda: answers[0]))])
        watch = it.watches["part"]
        first = watch.pid
        answers[0] = False
        await _until(lambda: watch.state is State.UNWELL)
        assert watch.detail == "asked in vain"
        answers[0] = True
        await _until(lambda: watch.state is State.UP)
        assert watch.pid == first


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """`down` always comes to an end."""
    child = a_child(code=IGNORES_SIGTERM)
    async with supervising(tmp_path) as it:
        await it.start([Child(name=child.name, argv=child.argv, stop_within=A_MOMENT)])
        pid = it.watches["part"].pid
        await _until(lambda: _ignores_sigterm(pid))
    assert "killed" in it.watches["part"].detail
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_what_a_child_started_goes_with_it(tmp_path: Path) -> None:
    """A grandchild left behind would hold a port against the next start."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS_FOR_EVER!r}])"
    async with supervising(tmp_path) as it:
        await it.start([a_child(code=code)])
        pid = it.watches["part"].pid
        assert pid is not None
        await _until(lambda: bool(psutil.Process(pid).children()))
        grandchild = psutil.Process(pid).children()[0]
    await _until(lambda: not grandchild.is_running())


async def test_orphans_of_a_killed_supervisor_are_ended_from_its_record(tmp_path: Path) -> None:
    """Also a child that ignored the kernel's word that its parent is gone."""
    async with supervising(tmp_path) as it:
        await it.start([a_child()])
        pid = it.watches["part"].pid
        assert [record.pid for record in read_record(tmp_path)] == [pid]
        assert await asyncio.to_thread(end_orphans, tmp_path) == ["part"]


def test_a_child_dies_with_its_supervisor(tmp_path: Path) -> None:
    """SIGKILL of the supervisor reaches its children through the kernel."""
    child = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    code = (
        "import subprocess, sys; from local.spawn import command_line; import signal;"
        f"subprocess.Popen(command_line([sys.executable, '-c', {child!r}], None, signal.SIGTERM)).wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(timeout=SOON.seconds)
    parent.stdout.close()
    eventually(lambda: not psutil.pid_exists(pid))


def test_a_child_whose_supervisor_is_gone_before_it_starts_does_not_start() -> None:
    """There is a moment between fork and prctl; it must not leave an orphan."""
    argv = command_line([sys.executable, "-c", "print('ran')"], None, signal.SIGTERM)
    argv[argv.index("--parent") + 1] = "1"
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SOON.seconds, check=False)
    assert done.returncode == 1
    assert "ran" not in done.stdout


def test_a_data_folder_has_one_supervisor(tmp_path: Path) -> None:
    """The lock is the kernel's, so it ends with its holder, however that dies."""
    assert holder(tmp_path) is None
    lock = acquire(tmp_path)
    try:
        with pytest.raises(AlreadyRunningError) as caught:
            acquire(tmp_path)
        assert caught.value.pid == os.getpid()
    finally:
        os.close(lock)
    assert holder(tmp_path) is None


def test_a_log_is_bounded_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    """A demo left running over a weekend does not fill the disk."""
    log = tmp_path / "part.log"
    with log.open("ab") as held_open_by_the_child:
        held_open_by_the_child.write(b"x" * (LOG_BYTES + 1))
        held_open_by_the_child.flush()
        bound(log)
        held_open_by_the_child.write(b"newest\n")
    assert log.read_bytes() == b"newest\n"
    assert log.with_suffix(".log.1").stat().st_size == LOG_BYTES + 1


def _probe(is_well: Callable[[], bool]) -> Probe:
    async def probe() -> None:
        if not is_well():
            raise NotReadyError("asked in vain")

    return probe


def _ignores_sigterm(pid: int | None) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored.split()[1], 16) & 1 << (signal.SIGTERM - 1))
