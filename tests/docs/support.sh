# shellcheck shell=bash
# What the tests of the documents share; sourced by them. They start in an empty directory of their
# own. The environment has MQTT_STACKD, the program, and SOURCES, the source tree.
set -euo pipefail
: "${MQTT_STACKD:?}" "${SOURCES:?}"

work=$(mktemp -d)
cd "$work"
export STATE_DIRECTORY=$work  # for brokers whose configuration names no file to keep things in

finish() {
  local status=$? processes
  processes=$(jobs -p)
  # shellcheck disable=SC2086
  [[ -z $processes ]] || kill $processes 2>/dev/null || true
  if ((status != 0)); then
    for each in "$work"/*.log; do
      [[ ! -f $each ]] || { echo "-- ${each##*/}" && cat "$each"; } >&2
    done
  fi
  cd / && rm -rf "$work"
}
trap finish EXIT

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# Prints the fenced block that follows <!-- run: NAME --> in FILE.
block() {  # block NAME FILE
  local text
  text=$(awk -v mark="<!-- run: $1 -->" '
    $0 == mark { found = 1; next }
    found && /^```/ { if (inside) exit; inside = 1; next }
    inside { print }' "$2")
  [[ -n $text ]] || fail "$2 has no block \"$1\""
  printf '%s\n' "$text"
}

# Waits until FILE has a line that matches PATTERN.
await() {  # await PATTERN FILE
  local deadline=$((SECONDS + 30))
  until grep -qE "$1" "$2" 2>/dev/null; do
    ((SECONDS < deadline)) || fail "nothing in ${2##*/} matches '$1'"
    sleep 0.02
  done
}

# Starts the broker with CONFIG, on a free port, and sets $port.
start_broker() {  # start_broker CONFIG
  sed -E 's/^(bind *= *"[^"]*:)[0-9]+"/\10"/' "$1" >"${1%.toml}-test.toml"
  "$MQTT_STACKD" --config "${1%.toml}-test.toml" >broker.log 2>&1 &
  await 'listening on [^ ]+:[0-9]+' broker.log
  port=$(sed -nE 's/.*listening on [^ ]+:([0-9]+).*/\1/p' broker.log | head -n 1)
}

# The clients, at the port of the broker under test in place of the one that the documents name.
without_port() {
  words=()
  while (($#)); do
    if [[ $1 == -p ]]; then shift 2; else words+=("$1") && shift; fi
  done
}
mosquitto_pub() { without_port "$@" && command mosquitto_pub -p "$port" "${words[@]}"; }
mosquitto_sub() {
  without_port "$@" && command stdbuf -oL mosquitto_sub -p "$port" -W 30 -d "${words[@]}"
}
