#!/bin/bash
# The configurations of config/ are right and give no cause for a warning, also when the commented
# part of mqtt-stackd.toml is put to use. The files that they name are made as its comment says.
# shellcheck source=tests/docs/support.sh
. "$(dirname "$0")/support.sh"

check() {  # check CONFIG
  "$MQTT_STACKD" check --config "$1" >check.log 2>&1 || fail "${1##*/} is not right"
  if grep -q warning check.log; then fail "${1##*/} is warned of"; fi
}

check "$SOURCES/config/mqtt-stackd.toml"

echo "alice:$(openssl passwd -6 wonderland)" >> passwd && chmod 600 passwd
printf '%s\n' 'user alice' 'topic readwrite home/#' >> acl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
  -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
  -keyout server.key -out server.crt 2>openssl.log
sed -E 's/^#([^ ]|  +")/\1/' "$SOURCES/config/mqtt-stackd.toml" >opened.toml
grep -q '^bind *= *"0.0.0.0:8883"' opened.toml || fail "nothing was opened"
check "$work/opened.toml"
cp "$SOURCES/config/secure.toml" .
check "$work/secure.toml"
