"""Ask a server whether it is well: one small question over its own protocol."""

import asyncio
import struct
from pathlib import Path

import httpx
from psycopg import pq

from local.child import NotReadyError, Probe
from recovery.lanes.holders import holder_of

ANSWER_WITHIN_SECONDS = 2.0

# ApiVersions v0, correlation id 1, no client id: the one request that every
# broker answers, and only once its listener really serves.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


async def _ask(port: int, question: bytes, answer_bytes: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(question)
        return await reader.readexactly(answer_bytes)
    finally:
        writer.close()


async def _answer(port: int, question: bytes, answer_bytes: int) -> bytes:
    try:
        return await asyncio.wait_for(_ask(port, question, answer_bytes), ANSWER_WITHIN_SECONDS)
    except (OSError, EOFError, TimeoutError) as error:
        raise NotReadyError(f"no answer on port {port}: {type(error).__name__}") from error


def kafka(port: int) -> Probe:
    async def probe() -> None:
        length_and_correlation = await _answer(port, _API_VERSIONS, 8)
        if length_and_correlation[4:] != b"\0\0\0\1":
            raise NotReadyError(f"port {port} does not speak Kafka")

    return probe


def holding(store: Path) -> Probe:
    """Whether some process has a recovery store."""

    async def probe() -> None:
        if holder_of(store) is None:
            raise NotReadyError(f"nobody has {store.name}: it starts, or waits for its turn")

    return probe


def redis(port: int) -> Probe:
    async def probe() -> None:
        answer = await _answer(port, b"PING\r\n", 7)
        if answer != b"+PONG\r\n":  # -LOADING while it reads its append-only file
            raise NotReadyError(f"port {port} answers {answer!r}")

    return probe


def postgres(port: int) -> Probe:
    question = f"host=127.0.0.1 port={port} connect_timeout=2".encode()

    async def probe() -> None:
        ping = await asyncio.to_thread(pq.PGconn.ping, question)
        if ping != pq.Ping.OK:  # REJECT while it recovers after a crash
            raise NotReadyError(f"pg_isready says {pq.Ping(ping).name}")

    return probe


def http(url: str) -> Probe:
    # `trust_env`: a proxy in the environment is not for loopback.
    # `Connection: close`: nobody closes the client of a probe, so it must keep no socket.
    client = httpx.AsyncClient(
        timeout=ANSWER_WITHIN_SECONDS, trust_env=False, headers={"Connection": "close"}
    )

    async def probe() -> None:
        try:
            answer = await client.get(url)
        except httpx.HTTPError as error:
            raise NotReadyError(f"{url}: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise NotReadyError(f"{url} answers {answer.status_code}: {answer.text[:200]}")

    return probe
