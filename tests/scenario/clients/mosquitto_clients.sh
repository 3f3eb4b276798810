#!/bin/bash
# mosquitto_sub and mosquitto_pub against the daemon: one feature at one version of the protocol.
#   mosquitto_clients.sh VERSION FEATURE [TRANSPORT]       VERSION: 31, 311 or 5; TRANSPORT: tcp, tls
# Run by run_with_daemon.py, which sets the MQTT_* variables.
set -euo pipefail

readonly version=$1 feature=$2
readonly patience=15
work=$(mktemp -d)
readonly work
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

plain=(-h localhost -p "$MQTT_PORT" -V "mqttv$version")
tls=(-h localhost -p "$MQTT_TLS_PORT" -V "mqttv$version" --cafile "$MQTT_CERTIFICATES/ca.crt")
mutual=(-h localhost -p "$MQTT_MUTUAL_TLS_PORT" -V "mqttv$version" --cafile "$MQTT_CERTIFICATES/ca.crt")
certificate=(--cert "$MQTT_CERTIFICATES/client.crt" --key "$MQTT_CERTIFICATES/client.key")
[[ ${3:-tcp} == tcp ]] || plain=("${tls[@]}")
[[ $version == 5 ]] && expiry=(-x 60) || expiry=()

fail() {
  echo "FAILED ($feature, MQTT $version): $*" >&2
  exit 1
}

expect() {  # expect WANTED FILE
  local got
  got=$(cat "$2")
  [[ $got == "$1" ]] || fail "expected '$1', received '$got'"
}

# Subscribes in the background as process $subscriber, writes what comes to FILE, and returns once subscribed.
subscribe() {  # subscribe FILE COUNT ARGUMENT...
  local file=$1 count=$2
  shift 2
  : >"$file.debug"
  stdbuf -oL mosquitto_sub "$@" -d -C "$count" -W "$patience" -F 'MESSAGE %r %q %t %p' >"$file.debug" 2>&1 &
  subscriber=$!
  await_subscribed "$file.debug"
}

await_subscribed() {  # await_subscribed DEBUG_OUTPUT
  local deadline=$((SECONDS + patience))
  until grep -q '^Subscribed' "$1"; do
    ((SECONDS < deadline)) || fail "not subscribed: $(cat "$1")"
    sleep 0.02
  done
}

# Waits for $subscriber and leaves its messages in FILE: "RETAIN QOS TOPIC PAYLOAD".
collect() {  # collect FILE
  wait "$subscriber" || fail "no message: $(cat "$1.debug")"
  sed -n 's/^MESSAGE //p' "$1.debug" >"$1"
}

case $feature in
  qos0 | qos1 | qos2)
    qos=${feature#qos}
    subscribe "$work/out" 2 "${plain[@]}" -q "$qos" -t 'a/+'
    mosquitto_pub "${plain[@]}" -q "$qos" -t a/b -m one
    mosquitto_pub "${plain[@]}" -q "$qos" -t a/c -m two
    collect "$work/out"
    expect "0 $qos a/b one"$'\n'"0 $qos a/c two" "$work/out"
    ;;
  retained)
    mosquitto_pub "${plain[@]}" -r -q 1 -t kept -m value
    mosquitto_sub "${plain[@]}" -q 1 -t kept -C 1 -W "$patience" -F '%r %q %t %p' >"$work/out" || fail "no message"
    expect "1 1 kept value" "$work/out"
    mosquitto_pub "${plain[@]}" -r -q 1 -t kept -n
    code=0
    mosquitto_sub "${plain[@]}" -t kept -C 1 -W 1 >"$work/none" || code=$?
    [[ $code == 27 ]] || fail "the retained message is still there: $(cat "$work/none")"
    ;;
  will)
    subscribe "$work/out" 1 "${plain[@]}" -q 1 -t will
    stdbuf -oL mosquitto_sub "${plain[@]}" -d -t other --will-topic will --will-payload gone --will-qos 1 >"$work/mortal" 2>&1 &
    mortal=$!
    await_subscribed "$work/mortal"
    kill -KILL "$mortal"
    collect "$work/out"
    expect "0 1 will gone" "$work/out"
    ;;
  session)
    mosquitto_sub "${plain[@]}" "${expiry[@]}" -c -i kept -q 1 -t t -E
    for i in 1 2 3; do mosquitto_pub "${plain[@]}" -q 1 -t t -m "$i"; done
    mosquitto_sub "${plain[@]}" "${expiry[@]}" -c -i kept -q 1 -t t -C 3 -W "$patience" >"$work/out" || fail "the queued messages did not come"
    expect $'1\n2\n3' "$work/out"
    ;;
  shared)
    subscribe "$work/a" 30 "${plain[@]}" -q 1 -t "\$share/group/t" -t end
    first=$subscriber
    subscribe "$work/b" 30 "${plain[@]}" -q 1 -t "\$share/group/t" -t end
    second=$subscriber
    seq 1 20 | mosquitto_pub "${plain[@]}" -q 1 -t t -l
    for _ in $(seq 30); do mosquitto_pub "${plain[@]}" -q 1 -t end -m x; done
    wait "$first" "$second" || fail "messages are missing"
    sed -n 's/^MESSAGE 0 1 t //p' "$work"/{a,b}.debug | sort -n >"$work/out"
    expect "$(seq 1 20)" "$work/out"
    ;;
  request)
    # The request names the topic for its answer and what the answer is to repeat; MQTT 3 has agreed
    # on the topic.
    stdbuf -oL mosquitto_sub "${plain[@]}" -d -q 1 -t request -C 1 -W "$patience" -F 'REQUEST %R %D %p' >"$work/request" 2>&1 &
    server=$!
    await_subscribed "$work/request"
    mosquitto_rr "${plain[@]}" -q 1 -t request -e answers -m question -W "$patience" \
      $([[ $version == 5 ]] && echo -D publish correlation-data seven) >"$work/out" 2>"$work/errors" &
    asker=$!
    wait "$server" || fail "no request: $(cat "$work/request")"
    answer=(-t answers)
    if [[ $version == 5 ]]; then
      read -r _ topic correlation payload < <(grep '^REQUEST' "$work/request")
      [[ "$topic $correlation $payload" == "answers seven question" ]] || fail "the request was '$topic $correlation $payload'"
      answer=(-t "$topic" -D publish correlation-data "$correlation")
    fi
    mosquitto_pub "${plain[@]}" -q 1 "${answer[@]}" -m answer
    wait "$asker" || fail "no answer: $(cat "$work/errors")"
    expect answer "$work/out"
    ;;
  large)
    head -c 200000 /dev/zero | tr '\0' z >"$work/large"
    subscribe "$work/out" 1 "${plain[@]}" -q 2 -t large
    mosquitto_pub "${plain[@]}" -q 2 -t large -f "$work/large"
    collect "$work/out"
    [[ $(wc -c <"$work/out") == $((200000 + ${#feature} + 6)) ]] || fail "the payload differs in length"
    ;;
  mutual_tls)
    if mosquitto_pub "${mutual[@]}" -q 1 -t t -m secret 2>"$work/refused"; then
      fail "let in without a certificate"
    fi
    subscribe "$work/out" 1 "${mutual[@]}" "${certificate[@]}" -q 1 -t t
    mosquitto_pub "${mutual[@]}" "${certificate[@]}" -q 1 -t t -m secret
    collect "$work/out"
    expect "0 1 t secret" "$work/out"
    ;;
  *) fail "no such feature" ;;
esac
