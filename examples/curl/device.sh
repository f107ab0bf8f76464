#!/usr/bin/env bash
# A device made of curl, jq, openssl and mosquitto_pub. Its key is its own, and never leaves it.
set -euo pipefail
umask 077 # What is written here is the device's alone.

directory=${IDENTITY_DIRECTORY:-identity}
mkdir -p "$directory"

# Writes standard input to a file, whole or not at all: the power may go at any moment.
keep() {
  cat >"$directory/$1.new"
  sync "$directory/$1.new"
  mv "$directory/$1.new" "$directory/$1"
}

# curl waits as Retry-After says. Tokens come by standard input: arguments are everybody's to see.
request() {
  curl --silent --show-error --fail-with-body --retry 5 --config - "$@"
}

if [ ! -e "$directory/device.json" ]; then
  echo "header = \"Thistle-Device-Enrollment-Token: $BIRTHCERT_ENROLLMENT_TOKEN\"" |
    request --form "label=curl example" "$BIRTHCERT_API_URL/enroll" | keep device.json
fi
if [ ! -e "$directory/key.pem" ]; then
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | keep key.pem
fi
# Without root.pem, which is written last, the key is certified (again): key and token are kept.
if [ ! -e "$directory/root.pem" ]; then
  # What a request says of its subject does not matter.
  identity=$(echo "header = \"Authorization: Bearer $(jq -r .device_token "$directory/device.json")\"" |
    request --header "Content-Type: application/pkcs10" "$BIRTHCERT_API_URL/identity" \
      --data-binary @<(openssl req -new -key "$directory/key.pem" -subj /CN=device))
  jq -r .certificate_chain_pem <<<"$identity" | keep chain.pem
  jq -r .ca_certificate_pem <<<"$identity" | keep root.pem
fi

device=$(jq -r .device_id "$directory/device.json")
mosquitto_pub -h "${MQTT_HOST:-localhost}" -p "${MQTT_PORT:-8883}" -V mqttv5 -q 1 \
  --cafile "$directory/root.pem" --cert "$directory/chain.pem" --key "$directory/key.pem" \
  -t "devices/$device/status" --retain -m "hello from curl"
echo "$device: published"
