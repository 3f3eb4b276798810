#!/bin/bash
# The first publish and subscribe of the README, with the configuration that it starts.
# shellcheck source=tests/docs/support.sh
. "$(dirname "$0")/support.sh"
readonly readme=$SOURCES/README.md

block pipeline "$readme" >pipeline.toml
"$MQTT_STACKD" check --config pipeline.toml >check.log 2>&1 || fail "the pipeline is not right"

sed 's/"keep_alive"/"keep_alife"/' pipeline.toml >mqtt-stackd.toml
{ "$MQTT_STACKD" check --config mqtt-stackd.toml 2>&1 || true; } >check.log
block mistake "$readme" | tail -n +2 | diff - check.log || fail "a mistake is told in other words"

cp "$SOURCES/config/mqtt-stackd.toml" .
start_broker mqtt-stackd.toml

eval "$(block subscribe "$readme")" >subscriber.log 2>&1 &
await '^Subscribed' subscriber.log
eval "$(block publish "$readme")"
await "^$(block received "$readme")\$" subscriber.log
