"""Events of a stream to an MQTT broker, by paho-mqtt ([mqtt] extra), as Home Assistant and other programs read them.

    BASE/status                 "online" as long as the stream runs, "offline" when it has ended or is gone
    BASE/event                  a JSON line for each event that is opened or closed
    BASE/LABEL/state            "ON" from the beginning of an event of this label to its end, else "OFF"; retained
    homeassistant/binary_sensor/BASE_LABEL/config
                                what Home Assistant's discovery needs to show each label as a sensor; retained

Messages wait in a queue while the broker is away, and are sent in order when it is back, each until the broker has confirmed it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import dumps
from auricle.inference.live.events import EventChange
from auricle.inference.live.sinks.files import json_line
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
        self.sent = self.refused = 0  # counted by this thread
        self.announced = self.confirmed = 0  # counted by the client's thread
        self.client = client(f"auricle-{self.base}", self._on_connect, self._on_publish)
        if parts.username:
            self.client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self.client.tls_set()
        self.client.will_set(f"{self.base}/status", "offline", CONFIRMED, retain=True)
        self.client.max_queued_messages_set(MOST_WAITING)
        self.client.reconnect_delay_set(1, LONGEST_WAIT)
        self.client.connect_async(self.host, parts.port or (SAFE_PORT if parts.scheme == "mqtts" else PORT))
        self.client.loop_start()
        for label in self.labels:
            self._send(f"{self.base}/{_topic(label)}/state", "OFF", retain=True)

    def add_audio(self, samples: np.ndarray, rate: int, start: float) -> None:
        """Take no notice of the sound."""

    def take(self, change: EventChange, clock: str) -> None:
        if change.kind == "updated":
            return
        self._send(f"{self.base}/event", json_line(change, clock).strip())
        before = self.open.get(change.label, 0)
        now = self.open[change.label] = before + (1 if change.kind == "opened" else -1)
        if (before > 0) != (now > 0):
            self._send(f"{self.base}/{_topic(change.label)}/state", "ON" if now > 0 else "OFF", retain=True)

    def close(self) -> tuple[str, ...]:
        self._send(f"{self.base}/status", "offline", retain=True)
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
        """Say at each connection that the stream is there, and which sensors it has: a broker may have forgotten."""
        self.announced += 1 + len(self.labels)
        client.publish(f"{self.base}/status", "online", CONFIRMED, retain=True)
        for label in self.labels:
            topic = f"{DISCOVERY}/binary_sensor/{_identifier(self.base)}_{_identifier(label)}/config"
            client.publish(topic, dumps(self.discovery(label)), CONFIRMED, retain=True)

    def _on_publish(self, *ignored: Any) -> None:
        self.confirmed += 1

    def _send(self, topic: str, text: str, *, retain: bool = False) -> None:
        if self.client.publish(topic, text, CONFIRMED, retain=retain).rc == QUEUE_FULL:
            self.refused += 1
        else:
            self.sent += 1

    def _waiting(self) -> int:
        """Messages that the broker has not confirmed."""
        return self.sent + self.announced - self.confirmed


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
