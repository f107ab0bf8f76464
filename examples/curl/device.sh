#!/usr/bin/env bash
# An example device that uses curl, jq, openssl and mosquitto_pub.
# It generates its own key, which never leaves the device.
set -euo pipefail
umask 077 # Only the device can read its files.

directory=${IDENTITY_DIRECTORY:-identity}
mkdir -p "$directory"

# keep FILE: replaces FILE by FILE.new, atomically because the power can fail at any time.
keep() {
  sync "$directory/$1.new"
  mv "$directory/$1.new" "$directory/$1"
}

# request FILE ARGUMENT…: sends a request, and writes the response to FILE.new.
# curl obeys Retry-After. Tokens are passed on standard input because every user can see arguments.
request() {
  local response=$directory/$1.new
  shift
  # With --output, curl removes the response of a failed attempt before it retries.
  if ! curl --silent --show-error --fail-with-body --retry 5 --config - --output "$response" "$@"; then
    [ ! -e "$response" ] || cat "$response" >&2
    rm -f "$response"
    exit 1
  fi
}

if [ ! -e "$directory/device.json" ]; then
  echo "header = \"Thistle-Device-Enrollment-Token: $BIRTHCERT_ENROLLMENT_TOKEN\"" |
    request device.json --form "label=curl example" "$BIRTHCERT_API_URL/enroll"
  keep device.json
fi
if [ ! -e "$directory/key.pem" ]; then
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 >"$directory/key.pem.new"
  keep key.pem
fi
# root.pem is written last: without it, certify the stored key (again) with the stored token.
if [ ! -e "$directory/root.pem" ]; then
  # The API ignores the subject of the CSR.
  echo "header = \"Authorization: Bearer $(jq -r .device_token "$directory/device.json")\"" |
    request identity.json --header "Content-Type: application/pkcs10" "$BIRTHCERT_API_URL/identity" \
      --data-binary @<(openssl req -new -key "$directory/key.pem" -subj /CN=device)
  jq -er .certificate_chain_pem "$directory/identity.json.new" >"$directory/chain.pem.new"
  jq -er .ca_certificate_pem "$directory/identity.json.new" >"$directory/root.pem.new"
  rm "$directory/identity.json.new"
  keep chain.pem
  keep root.pem
fi

device=$(jq -r .device_id "$directory/device.json")
mosquitto_pub -h "${MQTT_HOST:-localhost}" -p "${MQTT_PORT:-8883}" -V mqttv5 -q 1 \
  --cafile "$directory/root.pem" --cert "$directory/chain.pem" --key "$directory/key.pem" \
  -t "devices/$device/status" --retain -m "hello from curl"
echo "$device: published"
