#!/usr/bin/env bash
# An example device that uses curl, jq, openssl and mosquitto_pub.
# It generates its own key, which never leaves the device.
set -euo pipefail
umask 077 # Only the device can read its files.

directory=${IDENTITY_DIRECTORY:-identity}
mkdir -p "$directory"

# Writes standard input to a file, atomically because the power can fail at any time.
store() {
  cat >"$directory/$1.new"
  sync "$directory/$1.new"
  mv "$directory/$1.new" "$directory/$1"
}

# curl obeys Retry-After. Tokens are passed on standard input because every user can see arguments.
request() {
  curl --silent --show-error --fail-with-body --retry 5 --config - "$@"
}

if [ ! -e "$directory/device.json" ]; then
  echo "header = \"Thistle-Device-Enrollment-Token: $BIRTHCERT_ENROLLMENT_TOKEN\"" |
    request --form "label=curl example" "$BIRTHCERT_API_URL/enroll" | store device.json
fi
if [ ! -e "$directory/key.pem" ]; then
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | store key.pem
fi
# root.pem is written last: without it, certify the stored key (again) with the stored token.
if [ ! -e "$directory/root.pem" ]; then
  # The API ignores the subject of the CSR.
  identity=$(echo "header = \"Authorization: Bearer $(jq -r .device_token "$directory/device.json")\"" |
    request --header "Content-Type: application/pkcs10" "$BIRTHCERT_API_URL/identity" \
      --data-binary @<(openssl req -new -key "$directory/key.pem" -subj /CN=device))
  jq -r .certificate_chain_pem <<<"$identity" | store chain.pem
  jq -r .ca_certificate_pem <<<"$identity" | store root.pem
fi

device=$(jq -r .device_id "$directory/device.json")
mosquitto_pub -h "${MQTT_HOST:-localhost}" -p "${MQTT_PORT:-8883}" -V mqttv5 -q 1 \
  --cafile "$directory/root.pem" --cert "$directory/chain.pem" --key "$directory/key.pem" \
  -t "devices/$device/status" --retain -m "hello from curl"
echo "$device: published"
