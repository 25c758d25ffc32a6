"""Events reach a real MQTT broker, also one that is killed and started again, and Home Assistant finds what it needs."""

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
from helpers.patience import PATIENCE

paho = pytest.importorskip("paho.mqtt.client", reason="the [mqtt] extra is not installed")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="the broker mosquitto is not installed")
LABEL = "Dog, bark"
CONFIG = "homeassistant/binary_sensor/house_dog_bark/config"


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Broker:
    """mosquitto. With ``persistence`` it writes each change to disk at once; without it forgets everything when it stops."""

    def __init__(self, folder, persistence: bool):
        self.port, self.config = free_port(), folder / "mosquitto.conf"
        disk = "autosave_on_changes true\nautosave_interval 1\n" if persistence else ""
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence {str(persistence).lower()}\n{disk}"
            f"persistence_location {folder}/\nuser {getpass.getuser()}\n"
        )
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        for _ in range(round(PATIENCE / 0.05)):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the broker does not start")

    def kill(self):
        self.process.kill()  # SIGKILL: it has no time to say or to save anything
        self.process.wait()


@pytest.fixture
def broker(tmp_path, request):
    broker = Broker(tmp_path, persistence=request.param)
    yield broker
    broker.kill()


@pytest.fixture
def listen():
    """Make clients that hear everything, and connect again by themselves; a named one is kept in mind by the broker."""
    clients = []

    def make(port: int, name: str = "") -> queue.Queue:
        heard, ready = queue.Queue(), queue.Queue()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=not name)
        client.on_connect = lambda c, *_: c.subscribe("#", 1)
        client.on_subscribe = lambda *_: ready.put(True)
        client.on_message = lambda c, u, m: heard.put((m.topic, m.payload.decode(), m.retain))
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", port)
        client.loop_start()
        clients.append(client)
        ready.get(timeout=PATIENCE)
        return heard

    yield make
    for client in clients:
        client.disconnect()
        client.loop_stop()


def until(heard: queue.Queue, topic: str, payload: str = "") -> str:
    """Return the next message of a topic, or the next one that holds this."""
    while True:
        name, text, _ = heard.get(timeout=PATIENCE)
        if name == topic and payload in text:
            return text


def change(kind: str, number: int) -> EventChange:
    return EventChange(kind, LABEL, number, number + 1.0, 0.9, number + 0.5)


@pytest.mark.parametrize("broker", [True], indirect=True)
def test_no_event_is_lost_when_the_broker_is_killed_and_started_again_while_events_are_sent(broker, listen):
    from auricle.inference.live.sinks.mqtt import MQTT

    heard = listen(broker.port, "listener")
    sink = MQTT(f"mqtt://127.0.0.1:{broker.port}/house", [LABEL], patience=60.0)
    until(heard, "house/status", "online")
    sent = [(kind, number) for number in range(60) for kind in ("opened", "closed")]
    for place, (kind, number) in enumerate(sent):
        if place == 40:
            broker.kill()  # some of those before are not confirmed
        if place == 100:
            broker.start()
        sink.take(change(kind, number), "")
        sink.take(change("updated", number), "")
        time.sleep(0.005)
    assert sink.close() == ()
    assert sink.confirmed == sink.sent
    got = [json.loads(until(heard, "house/event"))]
    while got[-1]["id"] != f"{sink.ids.run}-{len(sent)}":
        got.append(json.loads(until(heard, "house/event")))
    once = {message["id"]: (message["kind"], message["start"]) for message in got}  # one may come twice, with its id
    assert list(once.values()) == sent
    assert list(once) == [f"{sink.ids.run}-{i + 1}" for i in range(len(sent))]


@pytest.mark.parametrize("broker", [False], indirect=True)
def test_a_broker_that_forgets_everything_is_told_sensors_and_states_again(broker, listen):
    from auricle.inference.live.sinks.mqtt import MQTT

    sink = MQTT(f"mqtt://127.0.0.1:{broker.port}/house", [LABEL, "Rain"])
    heard = listen(broker.port)
    sink.take(change("opened", 0), "")
    until(heard, "house/dog-bark/state", "ON")
    broker.kill()
    broker.start()
    late = listen(broker.port)  # comes when all has been told, or while it is
    kept, wanted = {}, {CONFIG, CONFIG.replace("dog_bark", "rain"), "house/rain/state", "house/dog-bark/state"}
    while not wanted <= set(kept) or kept.get("house/status") != "online":
        topic, text, _ = late.get(timeout=PATIENCE)
        kept[topic] = text
    assert (kept["house/dog-bark/state"], kept["house/rain/state"]) == ("ON", "OFF")
    sink.take(change("closed", 0), "")
    assert until(late, "house/dog-bark/state", "OFF")
    assert sink.close() == ()
    assert until(late, "house/status") == "offline"


@pytest.mark.parametrize("broker", [False], indirect=True)
def test_the_broker_says_offline_for_a_stream_that_is_cut_off_and_online_when_it_is_back(broker, listen):
    from auricle.inference.live.sinks.mqtt import MQTT

    heard = listen(broker.port)
    sink = MQTT(f"mqtt://127.0.0.1:{broker.port}/house", [LABEL])
    until(heard, "house/status", "online")
    sink.client.socket().shutdown(socket.SHUT_RDWR)  # no farewell: the last will speaks
    assert until(heard, "house/status") == "offline"
    assert until(heard, "house/status") == "online"
    assert sink.close() == ()


# of Home Assistant's binary sensor over MQTT (home-assistant.io/integrations/binary_sensor.mqtt): what it must and may hold
REQUIRED = {"state_topic"}
FOR_A_DEVICE = {"unique_id", "device"}  # without them the sensor cannot be changed or moved in the interface
OPTIONAL = {
    "name", "payload_on", "payload_off", "device_class", "availability_topic", "payload_available", "payload_not_available",
    "origin", "availability", "expire_after", "icon", "json_attributes_topic", "qos", "value_template", "off_delay",
}  # fmt: skip
DEVICE = {"identifiers", "connections", "name", "sw_version", "manufacturer", "model"}
CLASSES = {"sound", "motion", "occupancy", "problem", "vibration"}  # some of its device classes


@pytest.mark.parametrize("broker", [False], indirect=True)
def test_home_assistant_finds_a_sensor_for_each_label(broker, listen):
    from auricle.inference.live.sinks.mqtt import MQTT

    heard = listen(broker.port)
    sink = MQTT(f"mqtt://127.0.0.1:{broker.port}/house", [LABEL, "Rain"])
    told = {}
    while "house/status" not in told:
        topic, text, _ = heard.get(timeout=PATIENCE)
        told[topic] = text
    found, other = (json.loads(told[topic]) for topic in (CONFIG, CONFIG.replace("dog_bark", "rain")))
    for config in (found, other):
        assert set(config) >= REQUIRED | FOR_A_DEVICE
        assert set(config) <= REQUIRED | FOR_A_DEVICE | OPTIONAL
        assert config["device_class"] in CLASSES
        assert config["device"]["identifiers"] == ["house"]
        assert set(config["device"]) <= DEVICE
        assert set(config["origin"]) <= {"name", "sw_version", "support_url"}
        assert not set(config["state_topic"] + config["availability_topic"]) & set("#+ ")
    assert found["unique_id"] != other["unique_id"]
    states, status = (found["payload_on"], found["payload_off"]), found["availability_topic"]
    assert told[found["state_topic"]] == states[1]  # what the sensor is told fits its configuration
    assert told[status] == found["payload_available"]
    sink.take(change("opened", 0), "")
    assert until(heard, found["state_topic"]) == states[0]
    sink.take(change("closed", 0), "")
    assert until(heard, found["state_topic"]) == states[1]
    assert sink.close() == ()
    assert until(heard, status) == found["payload_not_available"]


def test_an_address_that_is_none_is_refused_and_a_broker_that_is_gone_is_told(monkeypatch):
    from auricle.inference.live.sinks import mqtt

    with pytest.raises(AuricleError, match="mqtt://host"):
        mqtt.MQTT("http://house", [])
    monkeypatch.setattr(mqtt, "MOST_WAITING", 3)
    sink = mqtt.MQTT("mqtt://127.0.0.1:9/house", [LABEL], patience=0.1)
    for number in range(4):  # an event and a state each: three wait, the others are dropped
        sink.take(change("opened", number), "")
        sink.take(change("closed", number), "")
    assert sink.refused == 4 * 4 - 3
    assert sink.close() == ("17 messages did not reach the MQTT broker 127.0.0.1",)
