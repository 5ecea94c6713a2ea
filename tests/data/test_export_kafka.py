"""Rows come to a topic at least once, each with its id as key, whatever the network does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from data.conftest import Databases
from data.test_draining import drain_of, drained
from data.test_export import filled
from headrace.data.draining import chain_name
from headrace.data.export.exporting import Export
from headrace.data.export.kafka import KafkaSink, Login
from headrace.data.export.sink import Undelivered
from headrace.errors import Setup
from headrace.platform.secrets import Secret
from support.kafka_front import Fault, KafkaFront, kafka_front
from support.kafka_process import TOPIC, KafkaProcess, kafka_process, messages

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
STRING = "Endpoint=sb://headrace.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey="


@pytest.fixture(scope="module")
def front_and_broker(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[KafkaFront, KafkaProcess]]:
    folder = tmp_path_factory.mktemp("kafka")
    with kafka_front(folder) as (front, _), kafka_process(folder, front.port) as broker:
        front.target = broker.port
        yield front, broker


@pytest.fixture
def front(front_and_broker: tuple[KafkaFront, KafkaProcess]) -> KafkaFront:
    """With a broker behind it whose topic is empty."""
    front, broker = front_and_broker
    broker.kill()
    broker.start()
    front.faults, front.always, front.produced = [], None, 0
    return front


def sink_to(server: str, timeout_s: float = 20.0, **more: Any) -> KafkaSink:
    settings = {"security": "PLAINTEXT", "ca": None, "login": None, "batch": 7} | more
    return KafkaSink([server], TOPIC, timeout_s=timeout_s, **settings)


def undelivered(export: Export, true: Callable[[str], bool]) -> str:
    """What a turn says that delivers nothing, once that is so: in the short time of the first this
    machine may not even have come to the broker."""
    for _ in range(20):
        with pytest.raises(Undelivered) as caught:
            export.turn()
        if true(str(caught.value)):
            return str(caught.value)
    raise AssertionError(str(caught.value))


def test_each_row_is_a_message_with_its_id_as_key(
    databases: Databases, tmp_path: Path, front: KafkaFront
) -> None:
    scribe = filled(databases, tmp_path)
    sink = sink_to(front.server)
    export = Export("k", sink, databases(), tmp_path, chain_name(tmp_path))
    assert [export.turn() for _ in range(4)] == [7, 7, 6, 0]
    told = messages(front.server, 20)
    assert {row["call"] for _, row in told} == {f"call-{n:04}" for n in range(20)}
    assert all(key == row["id"] for key, row in told)
    assert len(told) == 20
    scribe.whole("call-late")
    drained(drain_of(tmp_path, databases()))
    assert export.turn() == 1
    assert messages(front.server, 21)[-1][1]["input_tokens"] is not None
    sink.close()


@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "not_leader"])
def test_what_fails_once_is_sent_again_at_once(
    databases: Databases, tmp_path: Path, front: KafkaFront, fault: Fault
) -> None:
    """By the client itself: the batch is taken all the same, maybe twice."""
    filled(databases, tmp_path)
    front.faults = [fault]
    sink = sink_to(front.server)
    export = Export("k", sink, databases(), tmp_path, chain_name(tmp_path))
    assert [export.turn() for _ in range(4)] == [7, 7, 6, 0]
    told = messages(front.server, 20)
    assert {row["call"] for _, row in told} == {f"call-{n:04}" for n in range(20)}
    assert len({key for key, _ in told}) == 20
    if fault != "cut_before":
        assert len(told) > 20, "the broker had kept what was sent again"
    sink.close()


@pytest.mark.parametrize("fault", ["cut_before", "cut_after", "silent", "not_leader"])
def test_what_goes_on_failing_is_undelivered_until_it_is_over(
    databases: Databases, tmp_path: Path, front: KafkaFront, fault: Fault
) -> None:
    filled(databases, tmp_path)
    front.always = fault
    sink = sink_to(front.server, timeout_s=1.0)
    export = Export("k", sink, databases(), tmp_path, chain_name(tmp_path))
    assert "of 7 rows were taken" in undelivered(export, lambda _: front.produced >= 1)
    assert not (tmp_path / "export-k.cursor").exists()
    front.always = None
    patient = sink_to(front.server)
    again = Export("k", patient, databases(), tmp_path, chain_name(tmp_path))
    assert [again.turn() for _ in range(4)] == [7, 7, 6, 0]
    told = messages(front.server, 20)
    assert {row["call"] for _, row in told} == {f"call-{n:04}" for n in range(20)}
    for one in (sink, patient):
        one.close()


def test_a_broker_that_dies_and_comes_back(
    databases: Databases, tmp_path: Path, front_and_broker: tuple[KafkaFront, KafkaProcess],
    front: KafkaFront,
) -> None:  # fmt: skip
    filled(databases, tmp_path)
    _, broker = front_and_broker
    sink = sink_to(front.server, timeout_s=2.0)
    export = Export("k", sink, databases(), tmp_path, chain_name(tmp_path))
    while True:
        with contextlib.suppress(Undelivered):  # this machine may take longer for the first
            assert export.turn() == 7
            break
    broker.kill()
    with pytest.raises(Undelivered):
        export.turn()
    broker.start()
    while True:
        try:
            if not export.turn():
                break
        except Undelivered:
            continue  # it is slow to begin
    told = messages(front.server, 13)
    assert {row["call"] for _, row in told} == {f"call-{n:04}" for n in range(7, 20)}
    sink.close()


def test_nobody_there(databases: Databases, tmp_path: Path) -> None:
    filled(databases, tmp_path, 3)
    sink = sink_to("127.0.0.1:1", timeout_s=1.0)
    export = Export("k", sink, databases(), tmp_path, chain_name(tmp_path))
    said = undelivered(export, lambda said: "127.0.0.1:1" in said)
    assert "0 of 3 rows were taken: " in said
    sink.close()


def test_event_hubs_door(databases: Databases, tmp_path: Path) -> None:
    """TLS, a connection string as password, which is refused when wrong and taken when rotated."""
    filled(databases, tmp_path)
    now = Secret(STRING + "old0123456789=")
    with (
        kafka_front(tmp_path, ("$ConnectionString", now.reveal())) as (front, ca),
        kafka_process(tmp_path, front.port) as broker,
    ):
        front.target = broker.port
        held = [now]
        login = Login("PLAIN", "$ConnectionString", lambda: held[0])
        secure: dict[str, Any] = {"security": "SASL_SSL", "ca": str(ca), "login": login}
        sink = sink_to(front.server, **secure)
        export = Export("k", sink, databases(), tmp_path, chain_name(tmp_path))
        assert export.turn() == 7
        rotated = Secret(STRING + "new0123456789=")
        front.login = ("$ConnectionString", rotated.reveal())
        impatient = sink_to(front.server, 1.0, **secure)
        waiting = Export("w", impatient, databases(), tmp_path, chain_name(tmp_path))
        said = undelivered(waiting, lambda said: "uthentication" in said)
        assert "0123456789" not in said
        assert front.refused >= 1
        held[0] = rotated
        assert [export.turn(), export.turn(), export.turn()] == [7, 6, 0]
        reading = {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(ca),
            "sasl.mechanism": "PLAIN",
            "sasl.username": "$ConnectionString",
            "sasl.password": rotated.reveal(),
        }
        told = messages(front.server, 20, **reading)
        assert {row["call"] for _, row in told} == {f"call-{n:04}" for n in range(20)}
        strangers = sink_to(front.server, 1.0, **secure | {"ca": None})
        unsure = Export("s", strangers, databases(), tmp_path, chain_name(tmp_path))
        undelivered(unsure, lambda said: "certificate" in said)
        for one in (sink, impatient, strangers):
            one.close()


def test_settings_that_the_client_does_not_take_are_told_at_the_start(
    databases: Databases, tmp_path: Path
) -> None:
    with pytest.raises(Setup, match=r"export to Kafka cannot be used: .*ca"):
        sink_to("127.0.0.1:1", security="SSL", ca=str(tmp_path / "none.pem"))
