"""Runs one MQTT 3.1.1 session over TLS with paho-mqtt: reads commands and prints results, one JSON document per line.

Connects to 127.0.0.1 only, where the tests' own brokers are.
"""
import json
import socket
import sys
import time

import paho.mqtt.client as mqtt

# In seconds: far more than a broker on this machine needs.
LIMIT = 20


class Session:
    def __init__(self, options):
        self.closed = False
        self.connack = None
        self.acknowledged = set()
        self.granted = {}
        self.messages = []
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=options["client_id"],
            clean_session=options["clean_session"],
            transport="websockets" if options["path"] else "tcp",
            protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        if options["path"]:
            self.client.ws_set_options(path=options["path"])
        self.client.tls_set(options["cafile"], options["certificate"], options["key"])
        self.client.on_connect = self.on_connect
        self.client.on_publish = lambda _c, _u, mid, *_: self.acknowledged.add(mid)
        self.client.on_subscribe = self.on_subscribe
        self.client.on_message = lambda _c, _u, it: self.messages.append((it.topic, it.payload.decode()))

    def on_connect(self, _client, _userdata, _flags, reason, _properties):
        self.connack = reason

    def on_subscribe(self, _client, _userdata, mid, reasons, _properties):
        self.granted[mid] = not any(reason.is_failure for reason in reasons)

    def until(self, done, limit=None):
        deadline = time.monotonic() + (limit or LIMIT)
        while not done() and not self.closed:
            if time.monotonic() > deadline:
                if limit:
                    return
                raise TimeoutError("the broker neither answers nor closes the connection")
            if self.client.loop(timeout=0.05) != mqtt.MQTT_ERR_SUCCESS:
                self.closed = True

    def connect(self, port):
        try:
            self.client.connect("127.0.0.1", port)
        except ConnectionRefusedError:
            raise
        except (OSError, mqtt.WebsocketConnectionError) as error:
            # The handshake failed.
            return {"refused": repr(error)}
        self.until(lambda: self.connack is not None)
        if self.connack is None:
            return {"refused": "closed"}
        if self.connack.is_failure:
            return {"refused": str(self.connack)}
        return {"connected": True}

    def publish(self, topic, payload):
        sent = self.client.publish(topic, payload, qos=1)
        self.until(lambda: sent.mid in self.acknowledged)
        return {"acknowledged": sent.mid in self.acknowledged}

    def subscribe(self, topic, qos):
        _, mid = self.client.subscribe(topic, qos=qos)
        self.until(lambda: mid in self.granted)
        return {"granted": self.granted.get(mid, False), "closed": self.closed}

    def next(self, limit=None):
        self.until(lambda: self.messages, limit)
        if not self.messages:
            return {"closed": self.closed}
        topic, payload = self.messages.pop(0)
        return {"topic": topic, "payload": payload}


def main():
    options = json.loads(sys.stdin.readline())
    session = Session(options)
    answer = session.connect(options["port"])
    while True:
        print(json.dumps(answer), flush=True)
        line = sys.stdin.readline()
        if not line:
            # Without a DISCONNECT, as when a device loses power.
            sock = session.client.socket()
            if sock is not None:
                sock.close()
            return
        command = json.loads(line)
        match command.pop("do"):
            case "publish":
                answer = session.publish(**command)
            case "subscribe":
                answer = session.subscribe(**command)
            case "next":
                answer = session.next(**command)


socket.setdefaulttimeout(LIMIT)
main()
