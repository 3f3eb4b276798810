# shellcheck shell=bash
# What the tests of the packages share; sourced by them. The environment has SOURCES, the source tree,
# and PACKAGES, the folder with what packaging/dev package has built.
set -euo pipefail
: "${SOURCES:?}" "${PACKAGES:?}"
export LC_ALL=C.UTF-8

deb=$(find "$PACKAGES" -maxdepth 1 -name 'mqtt-stackd_*.deb')
rpm=$(find "$PACKAGES" -maxdepth 1 -name 'mqtt-stackd-*.rpm')
readonly deb
# shellcheck disable=SC2034  # used by those who source this
readonly rpm
work=$(mktemp -d /var/tmp/mqtt-stackd-packaging.XXXXXX)

finish() {
  local status=$?
  if ((status != 0)); then
    [[ ! -s $work/output ]] || { echo "-- what the last command said" && tail -n 40 "$work/output"; } >&2
    [[ -z ${leader:-} ]] || { echo "-- the machine's journal" &&
      in_machine journalctl --no-pager -n 40 -o short-monotonic -u 'mqtt-stackd*'; } >&2
  fi
  stop_machine
  rm -rf --one-file-system "$work"
  exit "$status"
}
trap finish EXIT

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# Runs a command that has to succeed, and says in words what was looked at.
check() {  # check WHAT COMMAND...
  local what=$1
  shift
  "$@" >"$work/output" 2>&1 || fail "$what"
  printf 'ok  %s\n' "$what"
}

# A command that has to fail.
refused() { ! "$@"; }

equal() {  # equal EXPECTED COMMAND...
  local expected=$1 found
  shift
  found=$("$@")
  [[ $found == "$expected" ]] || { printf 'expected: %s\nfound: %s\n' "$expected" "$found" && false; }
}

# Whether a command, however it ends, says something that matches a pattern within ten seconds.
says() {  # says PATTERN COMMAND...
  local pattern=$1 deadline=$((SECONDS + 10)) said
  shift
  while said=$("$@" 2>&1) || true; ! grep -E -- "$pattern" <<<"$said"; do
    ((SECONDS < deadline)) || { printf 'nothing matches %s in:\n%s\n' "$pattern" "$said" && return 1; }
    sleep 0.1
  done
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

# The machine: a Debian in memory, booted by systemd-nspawn, with a network of its own.

# The folder's content is made once and kept as an archive outside of the source tree. It has what the
# package depends on, so that installing it needs no network.
machine_archive() {
  local cache=${MQTTSTACK_PACKAGING_CACHE:-${XDG_CACHE_HOME:-/var/cache}/mqtt-stackd-packaging}
  local suite mirror packages archive root
  # shellcheck source=/dev/null
  suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$suite" '$1 == suite { print $2; exit }')
  packages=systemd-sysv,dbus,rpm,mosquitto-clients,openssl,$(dpkg-deb -f "$deb" Depends |
    tr ',' '\n' | sed -E 's/^ *([^ |]+).*/\1/' | paste -sd,)
  archive=$cache/$suite-$(md5sum <<<"$packages" | cut -c 1-12).tar.zst
  if [[ ! -f $archive ]]; then
    mkdir -p "$cache"
    root=$work/debootstrap
    printf 'making %s\n' "$archive" >&2
    debootstrap --variant=minbase --include="$packages" "$suite" "$root" \
      "${mirror:-http://deb.debian.org/debian}" >"$work/output" 2>&1 || fail "no root for the machine"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    # A machine's name and identifier are given to it when it boots.
    rm -f "$root/etc/hostname" && : >"$root/etc/machine-id"
    tar -C "$root" --numeric-owner -c . | zstd -q -T0 -o "$archive.new"
    mv "$archive.new" "$archive"
    rm -rf --one-file-system "$root"
  fi
  printf '%s\n' "$archive"
}

# Unpacks the machine's files. Sets $machine, the folder.
unpack_machine() {
  local archive
  # Two machines would share one control group.
  exec {machine_lock}>/run/lock/mqtt-stackd-packaging
  flock "$machine_lock"
  archive=$(machine_archive)
  machine=$work/machine
  mkdir "$machine"
  mount -t tmpfs -o size=2g,mode=755 mqtt-stackd-packaging "$machine"
  tar -C "$machine" --numeric-owner -xf "$archive"
  echo '127.0.0.1 localhost' >"$machine/etc/hosts"
}

# Runs the first process in the machine's files, with a network of its own. Sets $leader.
start_first_process() {  # start_first_process ARGUMENT OF SYSTEMD-NSPAWN...
  local deadline=$((SECONDS + 60))
  systemd-nspawn --quiet --directory="$machine" --machine=mqtt-stackd-packaging --register=no \
    --keep-unit --private-network --console=pipe "$@" </dev/null >"$work/console" 2>&1 &
  nspawn=$!
  until leader=$(pgrep -P "$nspawn"); do
    ((SECONDS < deadline)) && kill -0 "$nspawn" || { cat "$work/console" >&2 && fail "nothing runs"; }
    sleep 0.05
  done
}

start_machine() {
  unpack_machine
  start_first_process --boot
  says 'running|degraded' in_machine systemctl is-system-running >/dev/null ||
    { cat "$work/console" >&2 && fail "the machine does not boot"; }
}

stop_machine() {
  [[ -n ${machine:-} ]] || return 0
  kill -KILL ${leader:+"$leader"} 2>/dev/null || true
  [[ -z ${nspawn:-} ]] || wait "$nspawn" || true
  umount "$machine" || true
  leader='' nspawn=''
}

in_machine() {
  nsenter --target "$leader" --all -- env -i LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

property() { in_machine systemctl show --value --property "$1" "${2:-mqtt-stackd.service}"; }

# The processes of the broker's user.
processes() { in_machine find /proc -maxdepth 1 -regex '/proc/[0-9]+' -user mqtt-stackd; }

journal() { in_machine journalctl --no-pager --output cat --unit "${1:-mqtt-stackd.service}" "${@:2}"; }

# Publishes and receives a message through the broker: a subscriber that is there, and one that comes
# later and gets what is retained.
messages_pass() {  # messages_pass [ARGUMENT OF A MOSQUITTO CLIENT...]
  local said=$work/subscriber subscriber deadline=$((SECONDS + 10))
  : >"$said"
  in_machine stdbuf -oL timeout 15 mosquitto_sub "$@" -d -q 1 -C 1 -t packaging/live >"$said" 2>&1 &
  subscriber=$!
  until grep -q '^Subscribed' "$said"; do
    ((SECONDS < deadline)) && kill -0 $subscriber || { cat "$said" && return 1; }
    sleep 0.05
  done
  in_machine timeout 10 mosquitto_pub "$@" -q 1 -t packaging/live -m alive || return 1
  wait $subscriber && grep -q '^alive$' "$said" || { cat "$said" && return 1; }
  in_machine timeout 10 mosquitto_pub "$@" -q 2 -r -t packaging/kept -m kept || return 1
  equal kept in_machine timeout 10 mosquitto_sub "$@" -C 1 -t packaging/kept
}
