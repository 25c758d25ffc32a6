"""Events of a stream to an MQTT broker, by paho-mqtt ([mqtt] extra), as Home Assistant and other programs read them.

    BASE/status                 "online" as long as the stream runs, "offline" when it has ended or is gone
    BASE/event                  a JSON line for each event that is opened or closed
    BASE/LABEL/state            "ON" from the beginning of an event of this label to its end, else "OFF"; retained
    homeassistant/binary_sensor/BASE_LABEL/config
                                what Home Assistant's discovery needs to show each label as a sensor; retained

While the broker is away messages wait in a queue in memory, and are sent in order when it is back, each until the broker has
confirmed it; one whose confirmation was lost comes twice, with the same ``id``. A broker that keeps nothing on disk forgets what
was retained when it stops, so status, discovery and states are published again at each connection.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import dumps
from auricle.inference.live.events import EventChange
from auricle.inference.live.sinks.files import MessageIds
from auricle.version import __version__

PORT, SAFE_PORT = 1883, 8883
MOST_WAITING = 10_000  # messages; later ones are dropped, which is said at the end
CONFIRMED = 1  # MQTT's quality of service: at least once
LONGEST_WAIT = 30  # seconds between attempts to connect again
PATIENCE = 10.0  # seconds at the end for what still waits
QUEUE_FULL = 15  # MQTT_ERR_QUEUE_SIZE of paho-mqtt
DISCOVERY = "homeassistant"


class MQTT:
    """Publishes the events of some labels.

    Args:
        address: mqtt://[user:password@]host[:port]/BASE, or mqtts:// for TLS; BASE is "auricle" unless given.
        labels: those that become sensors.
        patience: seconds that ``close`` waits for the broker.

    Raises:
        AuricleError: without paho-mqtt, and for another address.
    """

    def __init__(self, address: str, labels: Sequence[str], *, patience: float = PATIENCE):
        client = _client_class()
        parts = urlsplit(address)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise AuricleError(f"--mqtt {address}: expected mqtt://host/BASE or mqtts://user:password@host:port/BASE")
        self.host = parts.hostname
        self.base = _topic(unquote(parts.path)) or "auricle"
        self.labels, self.patience = tuple(labels), patience
        self.open: dict[str, int] = {}  # events of each label that are open; several heads may share a label
        self.ids, self.ended = MessageIds(), False
        self.sent = self.refused = 0
        self.confirmed = 0  # by the broker; counted by the client's thread alone
        self.lock = (
            threading.RLock()
        )  # the client's thread sends states too, and the last one sent must be the one that holds
        self.client = client(f"auricle-{self.base}", self._on_connect, self._on_publish)
        if parts.username:
            self.client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self.client.tls_set()
        self.client.will_set(f"{self.base}/status", "offline", CONFIRMED, retain=True)
        self.client.max_queued_messages_set(MOST_WAITING + 2 * len(self.labels) + 1)  # and what is told at a connection
        self.client.reconnect_delay_set(1, LONGEST_WAIT)
        self.client.connect_async(self.host, parts.port or (SAFE_PORT if parts.scheme == "mqtts" else PORT))
        self.client.loop_start()

    def add_audio(self, samples: np.ndarray, rate: int, start: float) -> None:
        """Take no notice of the sound."""

    def take(self, change: EventChange, clock: str) -> None:
        if change.kind == "updated":
            return
        with self.lock:
            self._send(f"{self.base}/event", self.ids.message(change, clock))
            before = self.open.get(change.label, 0)
            now = self.open[change.label] = before + (1 if change.kind == "opened" else -1)
            if (before > 0) != (now > 0):
                self._send_state(change.label)

    def close(self) -> tuple[str, ...]:
        with self.lock:
            self.ended = True
            self._send(f"{self.base}/status", "offline", retain=True, always=True)
        ends = time.monotonic() + self.patience
        while self._waiting() and time.monotonic() < ends:
            time.sleep(0.05)
        left = self._waiting() + self.refused
        self.client.disconnect()
        self.client.loop_stop()
        return (f"{left} messages did not reach the MQTT broker {self.host}",) if left else ()

    def discovery(self, label: str) -> dict[str, Any]:
        """Return what Home Assistant needs to know about the sensor of a label: its binary sensor over MQTT."""
        return {
            "name": label,
            "unique_id": f"{_identifier(self.base)}_{_identifier(label)}",
            "state_topic": f"{self.base}/{_topic(label)}/state",
            "payload_on": "ON",
            "payload_off": "OFF",
            "availability_topic": f"{self.base}/status",
            "payload_available": "online",
            "payload_not_available": "offline",
            "device_class": "sound",
            "device": {
                "identifiers": [_identifier(self.base)],
                "name": self.base,
                "sw_version": f"auricle {__version__}",
            },
            "origin": {"name": "auricle", "sw_version": __version__},
        }

    def _on_connect(self, client: Any, *ignored: Any) -> None:
        """Say at each connection that the stream is there, which sensors it has and how they stand: a broker may have forgotten."""
        with self.lock:
            for label in self.labels:
                topic = f"{DISCOVERY}/binary_sensor/{_identifier(self.base)}_{_identifier(label)}/config"
                self._send(topic, dumps(self.discovery(label)), retain=True, always=True)
                self._send_state(label, always=True)
            self._send(f"{self.base}/status", "offline" if self.ended else "online", retain=True, always=True)

    def _on_publish(self, *ignored: Any) -> None:
        self.confirmed += 1  # without the lock: the client holds one of its own here, which ``publish`` takes

    def _send_state(self, label: str, *, always: bool = False) -> None:
        state = "ON" if self.open.get(label, 0) > 0 else "OFF"
        self._send(f"{self.base}/{_topic(label)}/state", state, retain=True, always=always)

    def _send(self, topic: str, text: str, *, retain: bool = False, always: bool = False) -> None:
        full = not always and self._waiting() >= MOST_WAITING
        if full or self.client.publish(topic, text, CONFIRMED, retain=retain).rc == QUEUE_FULL:
            self.refused += 1
        else:
            self.sent += 1

    def _waiting(self) -> int:
        """Messages that the broker has not confirmed."""
        return self.sent - self.confirmed


def _client_class() -> Any:
    try:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise MissingExtra("an MQTT broker", "mqtt") from None

    def make(name: str, on_connect: Any, on_publish: Any) -> Any:
        # a lasting session: the broker keeps what it has begun to confirm
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        client.on_connect, client.on_publish = on_connect, on_publish
        return client

    return make


def _topic(text: str) -> str:
    """A level of a topic: without the characters that mean something there."""
    return re.sub(r"[^\w-]+", "-", text.strip("/")).strip("-").lower()


def _identifier(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "label"
