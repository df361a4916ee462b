"""Is a port free, and if not, who has it."""

import errno
import random
import socket
from collections.abc import Iterable, Sequence

import psutil

from local.child import Child
from settings import PORT_OFFSETS

# Below the kernel's own range for outgoing connections (32768 and up), so
# that no client's socket sits on a server's port.
BASES = range(20_000, 32_000, 200)


class PortInUseError(RuntimeError):
    """A port of the stack is taken by somebody else."""

    def __init__(self, port: int, part: str, holder: str) -> None:
        super().__init__(
            f"port {port}, for {part}, is in use by {holder}. Stop that, or move the whole stack:"
            " TOUCHLINE_PORT_BASE=29000 ./dev up (any free base; the same for every command)."
        )
        self.port = port
        self.part = part
        self.holder = holder


def check_free(children: Iterable[Child]) -> None:
    """Raise PortInUseError for the first port of the children that is taken."""
    for child in children:
        for port in child.ports:
            if not is_free(port):
                raise PortInUseError(port, child.name, holder_of(port))


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do: a connection that was closed a moment ago is no holder.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def holder_of(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens_here = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens_here and connection.pid:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (pid {connection.pid}, user {process.username()})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return "a process of another user"


def free_base(choice: random.Random, among: Sequence[int] = BASES) -> int:
    """Choose a port base on which a whole stack of three brokers fits."""
    offsets = {*PORT_OFFSETS.values(), *range(92, 114)}
    for base in choice.sample(among, len(among)):
        if all(is_free(base + offset) for offset in offsets):
            return base
    raise RuntimeError(f"no free port base in {among}")
