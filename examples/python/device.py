"""An example device that uses paho-mqtt and cryptography.

It generates its own key, which never leaves the device.
"""

import json
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DIRECTORY = Path(os.environ.get("IDENTITY_DIRECTORY", "identity"))


def store(name, text):
    """Writes a file for the device only, atomically because the power can fail at any time."""
    new = DIRECTORY / f"{name}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(DIRECTORY / name)


def request(path, headers, body):
    """Sends a request and returns the response. Retries while the API is unavailable."""
    url = os.environ["BIRTHCERT_API_URL"] + path
    for attempt in range(5):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, body, headers), timeout=30
            ) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code != 503 or attempt == 4:
                raise SystemExit(f"{path}: {error.code} {error.read().decode()}") from None
            time.sleep(int(error.headers.get("Retry-After", 2 ** (attempt + 1))))


def enrolled():
    file = DIRECTORY / "device.json"
    if not file.exists():
        token = os.environ["BIRTHCERT_ENROLLMENT_TOKEN"]
        headers = {"Thistle-Device-Enrollment-Token": token}
        form = urllib.parse.urlencode({"label": "Python example"}).encode()
        store("device.json", json.dumps(request("/enroll", headers, form)))
    return json.loads(file.read_text())


def private_key():
    file = DIRECTORY / "key.pem"
    if not file.exists():
        new = ec.generate_private_key(ec.SECP256R1())
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        store("key.pem", new.private_bytes(encoding, form, serialization.NoEncryption()).decode())
    return serialization.load_pem_private_key(file.read_bytes(), None)


def ensure_identity(device):
    # root.pem is written last: without it, certify the stored key (again) with the stored token.
    if not (DIRECTORY / "root.pem").exists():
        # The API ignores the subject of the CSR.
        csr = x509.CertificateSigningRequestBuilder(x509.Name([]))
        csr = csr.sign(private_key(), hashes.SHA256())
        headers = {
            "Authorization": f"Bearer {device['device_token']}",
            "Content-Type": "application/pkcs10",
        }
        body = csr.public_bytes(serialization.Encoding.DER)
        identity = request("/identity", headers, body)
        store("chain.pem", identity["certificate_chain_pem"])
        store("root.pem", identity["ca_certificate_pem"])


def publish(device):
    context = ssl.create_default_context(cafile=DIRECTORY / "root.pem")
    context.load_cert_chain(DIRECTORY / "chain.pem", DIRECTORY / "key.pem")
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=device["device_id"], protocol=mqtt.MQTTv5
    )
    client.tls_set_context(context)
    client.connect(os.environ.get("MQTT_HOST", "localhost"), int(os.environ.get("MQTT_PORT", 8883)))
    client.loop_start()
    topic = f"devices/{device['device_id']}/status"
    message = client.publish(topic, "hello from Python", qos=1, retain=True)
    message.wait_for_publish(timeout=30)
    client.disconnect()
    client.loop_stop()
    if not message.is_published():
        raise SystemExit("the broker did not acknowledge the message")


DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
device = enrolled()
ensure_identity(device)
publish(device)
print(f"{device['device_id']}: published")
