#!/bin/bash
# docs/security.md, from its first command to its last, with config/secure.toml.
# shellcheck source=tests/docs/support.sh
. "$(dirname "$0")/support.sh"
readonly document=$SOURCES/docs/security.md

mqtt-stackd() { "$MQTT_STACKD" "$@"; }
openssl() { command openssl "$@" 2>>openssl.log; }

cp "$SOURCES/config/secure.toml" .
# The password is asked for at the terminal; here it is given.
eval "$(block user "$document")" <<<wonderland
[[ $(stat -c %a passwd) == 600 ]] || fail "everybody can read the password file"
eval "$(block rights "$document")"
eval "$(block certificate "$document")"

eval "$(block check "$document")" >check.log 2>&1 || fail "config/secure.toml is not right"
if grep -q warning check.log; then fail "config/secure.toml is warned of"; fi
start_broker secure.toml

eval "$(block subscribe "$document")" >subscriber.log 2>&1 &
await '^Subscribed' subscriber.log
eval "$(block publish "$document")"
await '^home/light on$' subscriber.log

refused() {  # refused WHAT ARGUMENT OF MOSQUITTO_PUB...
  local what=$1
  shift
  if mosquitto_pub -h localhost --cafile server.crt -t home/light -m off "$@" >refused.log 2>&1; then
    fail "$what was let in"
  fi
}
refused "a client without credentials"
refused "a wrong password" -u alice -P looking-glass
refused "an unknown user" -u bob -P wonderland
if command mosquitto_pub -h localhost -p "$port" -u alice -P wonderland -t x -m y >refused.log 2>&1; then
  fail "a client without TLS was let in"
fi
mosquitto_pub -h localhost --cafile server.crt -u alice -P wonderland -t elsewhere -m off -q 1
await 'alice.*elsewhere' broker.log

cp server.crt clients.crt
{ block certificates "$document" && sed '/^\[\[listener/,/^tls/d' secure.toml; } >certificates.toml
mqtt-stackd check --config certificates.toml >check.log 2>&1 || fail "client certificates: not right"
grep -q 'client certificates required' check.log || fail "client certificates are not asked for"
