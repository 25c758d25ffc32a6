"""Events reach a real MQTT broker, also one that is stopped and started again."""

from __future__ import annotations

import getpass
import json
import queue
import shutil
import socket
import subprocess
import time

import pytest

from auricle.core.errors import AuricleError
from auricle.inference.live.events import EventChange

paho = pytest.importorskip("paho.mqtt.client", reason="the [mqtt] extra is not installed")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="the broker mosquitto is not installed")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Broker:
    def __init__(self, folder):
        self.port, self.config = free_port(), folder / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nuser {getpass.getuser()}\n"
        )
        self.process = None

    def start(self):
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the broker does not start")

    def stop(self):
        self.process.terminate()  # it keeps who listens to what
        self.process.wait()


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def listener(port: int, name: str = "") -> tuple[paho.Client, queue.Queue]:
    """A client that hears everything, and connects again by itself."""
    heard: queue.Queue = queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=not name)
    ready = queue.Queue()
    client.on_connect = lambda c, *_: c.subscribe("#", 1)
    client.on_subscribe = lambda *_: ready.put(True)
    client.on_message = lambda c, u, m: heard.put((m.topic, m.payload.decode(), m.retain))
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.get(timeout=20)
    return client, heard


def until(heard: queue.Queue, wanted: int, topic: str) -> list[str]:
    found = []
    while len(found) < wanted:
        name, payload, _ = heard.get(timeout=30)
        if name == topic:
            found.append(payload)
    return found


def change(kind: str, number: int) -> EventChange:
    return EventChange(kind, "Dog, bark", number, number + 1.0, 0.9, number + 0.5)


def test_no_event_is_lost_when_the_broker_is_stopped_and_started_in_the_middle(broker):
    from auricle.inference.live.sinks.mqtt import MQTT

    client, heard = listener(broker.port, "listener")
    sink = MQTT(f"mqtt://127.0.0.1:{broker.port}/house", ["Dog, bark"])
    for number in range(3):
        sink.take(change("opened", number), "")
        sink.take(change("closed", number), "")
    before = until(heard, 6, "house/event")
    broker.stop()
    for number in range(3, 6):
        sink.take(change("opened", number), "")
        sink.take(change("updated", number), "")
        sink.take(change("closed", number), "")
    broker.start()
    sink.take(change("opened", 6), "")
    sink.patience = 30.0
    assert sink.close() == ()
    after = [("", -1)]
    while after[-1] != ("opened", 6):
        (text,) = until(heard, 1, "house/event")
        after.append((json.loads(text)["kind"], json.loads(text)["start"]))
    retained, again = listener(broker.port)
    state = until(again, 1, "house/dog-bark/state")
    for one in (client, retained):
        one.disconnect()
        one.loop_stop()
    assert [json.loads(text)["start"] for text in before] == [0, 0, 1, 1, 2, 2]
    order = [event for event in dict.fromkeys(after) if event[1] >= 3]  # what is delivered twice counts once
    assert order == [*((kind, n) for n in (3, 4, 5) for kind in ("opened", "closed")), ("opened", 6)]
    assert state == ["ON"]
    assert sink.confirmed == sink.sent + sink.announced


def test_home_assistant_finds_a_sensor_for_each_label(broker):
    from auricle.inference.live.sinks.mqtt import MQTT

    client, heard = listener(broker.port)
    sink = MQTT(f"mqtt://127.0.0.1:{broker.port}/house", ["Dog, bark"])
    (text,) = until(heard, 1, "homeassistant/binary_sensor/house_dog_bark/config")
    found = json.loads(text)
    # required of a binary sensor over MQTT: state_topic; unique_id and device make it editable; origin is advised
    assert found["state_topic"] == "house/dog-bark/state"
    assert (found["payload_on"], found["payload_off"], found["availability_topic"]) == ("ON", "OFF", "house/status")
    assert found["unique_id"] == "house_dog_bark"
    assert found["device"]["identifiers"] == ["house"]
    assert found["origin"]["name"] == "auricle"
    sink.take(change("opened", 0), "")
    assert until(heard, 1, "house/event")
    sink.take(change("closed", 0), "")
    assert sink.close() == ()
    client.disconnect()
    client.loop_stop()


def test_an_address_that_is_none_is_refused_and_a_broker_that_is_gone_is_told():
    from auricle.inference.live.sinks.mqtt import MQTT

    with pytest.raises(AuricleError, match="mqtt://host"):
        MQTT("http://house", [])
    sink = MQTT("mqtt://127.0.0.1:9/house", ["a"], patience=0.1)
    assert sink.close() == ("2 messages did not reach the MQTT broker 127.0.0.1",)
