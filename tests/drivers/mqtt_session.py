"""Runs one MQTT 3.1.1 session over TLS with paho-mqtt: reads commands and prints results, one JSON document per line.

Connects to 127.0.0.1 only, where the tests' own brokers are.
"""
import json
import re
import ssl
import sys
import time

import paho.mqtt.client as mqtt

# In seconds, far longer than a test: no broker ends a session because this program waits for its next command.
KEEP_ALIVE = 3600


class ObservedSocket(ssl.SSLSocket):
    """Records how the connection ended, which paho-mqtt does not report: an error, or None for the end of the stream."""

    ends = []
    # In seconds, for an answer of the broker.
    limit = None

    def settimeout(self, limit):
        # paho-mqtt waits for the whole keep-alive interval during handshakes.
        super().settimeout(limit and min(limit, self.limit))

    def recv(self, *args):
        data = self.observed(super().recv, *args)
        if not data:
            self.ends.append(None)
        return data

    def send(self, *args):
        return self.observed(super().send, *args)

    def observed(self, call, *args):
        try:
            return call(*args)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.ends.append(error)
            raise


def broker_end(error):
    """Returns how the broker ended the connection, or None if something else did, such as a time-out."""
    match error:
        # OpenSSL names the alerts that it received in this way, and no error of its own.
        case ssl.SSLError(reason=str(reason)) if re.match("(SSLV3|TLSV1|TLSV13)_ALERT_", reason):
            return {"alert": reason}
        case None | ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ConnectionResetError() | BrokenPipeError():
            return "closed"


class Session:
    def __init__(self, options):
        ObservedSocket.limit = options["limit"]
        self.ended = None
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
        context = ssl.create_default_context(cafile=options["cafile"])
        context.sslsocket_class = ObservedSocket
        if options["certificate"]:
            context.load_cert_chain(options["certificate"], options["key"])
        self.client.tls_set_context(context)
        self.client.on_connect = self.on_connect
        self.client.on_publish = lambda _c, _u, mid, *_: self.acknowledged.add(mid)
        self.client.on_subscribe = self.on_subscribe
        self.client.on_message = lambda _c, _u, it: self.messages.append((it.topic, it.payload.decode()))

    def on_connect(self, _client, _userdata, _flags, reason, _properties):
        self.connack = reason

    def on_subscribe(self, _client, _userdata, mid, reasons, _properties):
        self.granted[mid] = not any(reason.is_failure for reason in reasons)

    def until(self, done, limit=None):
        deadline = time.monotonic() + (limit or ObservedSocket.limit)
        while not done() and not self.ended:
            if time.monotonic() > deadline:
                if limit:
                    return
                raise TimeoutError("the broker neither answers nor closes the connection")
            code = self.client.loop(timeout=0.05)
            # A CONNACK that refuses is an error for paho-mqtt, and an answer.
            if code != mqtt.MQTT_ERR_SUCCESS and not done():
                self.end(mqtt.error_string(code))

    def end(self, error):
        """Notes that the broker ended the connection; raises an error if it was not the broker."""
        ends = ObservedSocket.ends
        # The first one: further calls fail because of it.
        self.ended = broker_end(ends[0]) if ends else None
        if not self.ended:
            raise ConnectionError(f"not ended by the broker: {error!r}")

    def connect(self, port):
        try:
            self.client.connect("127.0.0.1", port, KEEP_ALIVE)
        except ConnectionRefusedError:
            # Nothing listens.
            raise
        except mqtt.WebsocketConnectionError as error:
            self.end(error)
        except OSError as error:
            # The handshake failed, which is not a call of `recv`.
            ObservedSocket.ends.append(error)
            self.end(error)
        self.until(lambda: self.connack is not None)
        if self.ended:
            return {"refused": self.ended}
        if self.connack.is_failure:
            return {"refused": {"connack": str(self.connack)}}
        return "connected"

    def publish(self, topic, payload):
        sent = self.client.publish(topic, payload, qos=1)
        self.until(lambda: sent.mid in self.acknowledged)
        return {"confirmed": sent.mid in self.acknowledged}

    def subscribe(self, topic, qos):
        _, mid = self.client.subscribe(topic, qos=qos)
        self.until(lambda: mid in self.granted)
        return {"confirmed": self.granted.get(mid, False)}

    def next(self, limit=None):
        self.until(lambda: self.messages, limit)
        if self.messages:
            return {"message": self.messages.pop(0)[1]}
        return {"ended": self.ended} if self.ended else "silence"


def answers():
    """Runs the session, and yields the result of each command."""
    options = json.loads(sys.stdin.readline())
    session = Session(options)
    yield session.connect(options["port"])
    for line in sys.stdin:
        command = json.loads(line)
        match command.pop("do"):
            case "publish":
                yield session.publish(**command)
            case "subscribe":
                yield session.subscribe(**command)
            case "next":
                yield session.next(**command)
    # Without a DISCONNECT, as when a device loses power.
    sock = session.client.socket()
    if sock is not None:
        sock.close()


def main():
    try:
        for answer in answers():
            print(json.dumps(answer), flush=True)
    except Exception as error:
        print(json.dumps({"failed": repr(error)}), flush=True)


main()
