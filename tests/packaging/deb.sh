#!/bin/bash
# The deb in a machine: installed, used, disturbed, upgraded, purged.
# shellcheck source=tests/packaging/support.sh
. "$(dirname "$0")/support.sh"
readonly manual=$SOURCES/docs/operations.md config=/etc/mqtt-stackd/mqtt-stackd.toml

start_machine
cp "$deb" "$machine/opt/mqtt-stackd.deb"

# Installing.
install_deb() { in_machine apt-get install -y -q "$1" </dev/null; }
check "apt installs it without a network" install_deb /opt/mqtt-stackd.deb
check "it runs at once" equal active property ActiveState
check "it starts with the machine" equal enabled in_machine systemctl is-enabled mqtt-stackd.service
check "the socket is closed until somebody wants it" equal 'disabled inactive' \
  bash -c "echo \$(nsenter -t $leader -a systemctl is-enabled mqtt-stackd.socket) \$(nsenter -t $leader -a systemctl is-active mqtt-stackd.socket)"
check "it told that it is ready" says '0 clients connected' property StatusText
check "messages pass" messages_pass
check "status counts clients and messages" says 'messages received: .* [1-9][0-9]* in total' property StatusText

owner() { in_machine stat -c '%U:%G %a' "$@"; }
check "the directory of the configuration is the broker's to read" equal 'root:mqtt-stackd 2750' owner /etc/mqtt-stackd
check "so is the configuration" equal 'root:mqtt-stackd 640' owner "$config"
check "the state is the broker's alone" equal 'mqtt-stackd:mqtt-stackd 700' owner /var/lib/mqtt-stackd
check "its user has no shell" grep -E '^mqtt-stackd:.*:/var/lib/mqtt-stackd:/usr/sbin/nologin$' "$machine/etc/passwd"

process_has() {  # process_has FIELD VALUE
  equal "$2" in_machine awk -v field="$1:" '$1 == field { print $2 }' "/proc/$(property MainPID)/status"
}
check "it runs as its user" equal mqtt-stackd in_machine stat -c %U "/proc/$(property MainPID)"
check "it has no capabilities" process_has CapBnd 0000000000000000
check "it cannot gain privileges" process_has NoNewPrivs 1
check "its system calls are filtered" process_has Seccomp 2
check "it is to have a million open files" equal 1048576 property LimitNOFILE
check "root may not write in its file system, but for its state" equal 'ro rw' in_machine sh -c "
  awk '\$5 == \"/\" { root = \$6 } \$5 ~ \"^/var/lib/(private/)?mqtt-stackd\$\" { state = \$6 }
    END { print substr(root, 1, 2), substr(state, 1, 2) }' /proc/$(property MainPID)/mountinfo"

entry() { in_machine journalctl -u mqtt-stackd.service -o json --no-pager | grep -F "$1" | tail -n 1; }
check "the journal knows the levels" says '"PRIORITY":"6"' entry 'listening on'
check "the journal's lines begin with no time of their own" grep -F '"MESSAGE":"[listener] ' <(entry 'listening on')

# Changing the configuration.
edit() { in_machine sed -i -E "$@" "$config"; }
pid=$(property MainPID)
check "a reload takes over the level of the log" edit 's/^level = "info"/level = "debug"/'
check "systemctl reload" in_machine systemctl reload mqtt-stackd
check "the reload is told" says 'hangup signal: .*reloaded$' journal
check "it is the same process" equal "$pid" property MainPID
edit 's/^level = "debug"/level = "info"/; s/"keep_alive", "last_will"/"keep_alife", "last_will"/'
in_machine systemctl reload mqtt-stackd
check "a reload refuses a wrong configuration" says 'not reloaded, the broker goes on as it was' journal
check "and says so in the status" says 'Reload failed: .*keep_alife' property StatusText
check "messages pass as before" messages_pass
check "it is still the same process" equal "$pid" property MainPID

check "a start with a wrong configuration fails" refused in_machine systemctl restart mqtt-stackd
check "systemd calls it a matter of the configuration" equal 78 property ExecMainStatus
check "it is not tried again" equal 'failed 0' bash -c "echo $(property ActiveState) $(property NRestarts)"
last_own_line() {
  in_machine journalctl --no-pager -o cat -t mqtt-stackd _SYSTEMD_UNIT=mqtt-stackd.service -n 1
}
check "the reason is its last line" says "$(block said-mistake "$manual" | head -n 1 | sed 's/[][().*+?]/\\&/g')" last_own_line
edit 's/keep_alife/keep_alive/'
check "put right, it starts" in_machine systemctl restart mqtt-stackd
check "messages pass after a restart" messages_pass

# A port that is taken, and a second broker beside the first one.
in_machine install -m 640 -g mqtt-stackd "$config" /etc/mqtt-stackd/garden.toml
refuse_start() { refused in_machine systemctl start "$1"; }
check "a second broker on the same port does not start" refuse_start mqtt-stackd@garden
check "it says who has the port" says "$(block said-port "$manual" | sed -E 's/[][().*+?]/\\&/g; s/process [0-9]+/process [0-9]+/')" journal mqtt-stackd@garden
in_machine systemctl stop mqtt-stackd@garden
in_machine sed -i 's/127.0.0.1:1883/127.0.0.1:1884/' /etc/mqtt-stackd/garden.toml
check "on another port it starts" in_machine systemctl start mqtt-stackd@garden
check "messages pass through the second broker" messages_pass -p 1884
check "it has a state directory of its own" equal 'mqtt-stackd:mqtt-stackd 700' owner /var/lib/mqtt-stackd/garden

# A key that only root may read.
in_machine openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout /etc/ssl/private/server.key -out /etc/ssl/certs/server.crt 2>/dev/null
in_machine chmod 600 /etc/ssl/private/server.key
drop_in() {  # drop_in UNIT NAME, and its text on standard input
  mkdir -p "$machine/etc/systemd/system/$1.d"
  cat >"$machine/etc/systemd/system/$1.d/$2.conf"
  in_machine systemctl daemon-reload
}
block credential-unit "$manual" | drop_in mqtt-stackd.service credential
block credential-listener "$manual" >>"$machine$config"
check "it starts with a key that was handed over" in_machine systemctl restart mqtt-stackd
check "messages pass over TLS" messages_pass -h localhost -p 8883 --cafile /etc/ssl/certs/server.crt
check "check as root finds fault with a file that the broker cannot read" says \
  'user "mqtt-stackd" cannot read' in_machine sh -c "
    cd /etc/mqtt-stackd && install -m 600 /dev/null passwd && chgrp root passwd &&
    printf '%s\n' '[[listener]]' 'bind = \"127.0.0.1:1999\"' '[pipeline]' \
      'default = [\"connection\", \"authentication\", \"password_file\", \"memory_backend\", \"session_manager\", \"subscription_manager\", \"outbound_manager\"]' \
      '[middleware.password_file]' 'path = \"passwd\"' >other.toml && mqtt-stackd check other.toml; rm other.toml passwd"

# Sockets that systemd opens.
in_machine systemctl stop mqtt-stackd
check "the socket opens" in_machine systemctl start mqtt-stackd.socket
check "the broker starts with the first client" messages_pass
check "it did" equal active property ActiveState
# Clients come one after the other while the broker restarts. Some lose their connection; none is
# refused one.
in_machine sh -c 'until [ -e /run/enough ]; do mosquitto_pub -q 1 -t packaging/during -m x; echo came; done' \
  >"$work/during" 2>&1 &
clients=$!
for _ in 1 2 3; do
  came=$(wc -l <"$work/during")
  in_machine systemctl restart mqtt-stackd
  until (($(wc -l <"$work/during") > came)); do sleep 0.05; done
done
in_machine touch /run/enough && wait $clients
check "a restart refuses nobody" refused grep -i refused "$work/during"
drop_in mqtt-stackd.socket address <<'END'
[Socket]
ListenStream=
ListenStream=127.0.0.1:883
END
in_machine systemctl stop mqtt-stackd mqtt-stackd.socket
check "a port below 1024" in_machine systemctl start mqtt-stackd.socket mqtt-stackd
check "messages pass through it" messages_pass -p 883
in_machine systemctl stop mqtt-stackd.socket mqtt-stackd
rm -r "$machine/etc/systemd/system/mqtt-stackd.socket.d"

# A loop that is stuck.
check "the watchdog waits for 30 s" equal 30s property WatchdogUSec
drop_in mqtt-stackd.service watchdog <<'END'
[Service]
WatchdogSec=2s
RestartSec=100ms
END
in_machine systemctl restart mqtt-stackd
stuck=$(property MainPID)
sleep 3
check "a loop that turns is left alone" equal "$stuck 0" bash -c "echo $(property MainPID) $(property NRestarts)"
in_machine systemctl kill --kill-whom=main --signal=STOP mqtt-stackd
check "the watchdog notices a stuck one" says 'Watchdog timeout' journal
check "it is started again" says '^1$' property NRestarts
check "by another process" refused equal "$stuck" property MainPID
says active property ActiveState >/dev/null
check "messages pass again" messages_pass
rm "$machine/etc/systemd/system/mqtt-stackd.service.d/watchdog.conf"

# Upgrades: the same package again under higher versions, with another default configuration.
newer() {  # newer VERSION
  local folder=$work/$1
  dpkg-deb -R "$deb" "$folder"
  sed -i "s/^Version: .*/Version: $1/" "$folder/DEBIAN/control"
  echo "# as version $1 has it" >>"$folder/etc/mqtt-stackd/mqtt-stackd.toml"
  dpkg-deb --root-owner-group -b "$folder" "$machine/opt/mqtt-stackd-$1.deb" >/dev/null
  echo "/opt/mqtt-stackd-$1.deb"
}
check "the edited configuration is there" grep -q credential "$machine$config"
pid=$(property MainPID) second=$(property MainPID mqtt-stackd@garden)
before=$(md5sum <"$machine$config")
newest=$(newer 0.2.0)
upgrade_with_enter() { in_machine apt-get install -y -q "$newest" < <(yes ''); }
check "an upgrade with the answer that is offered" upgrade_with_enter
check "it keeps the edited configuration" equal "$before" md5sum <"$machine$config"
check "the new one lies beside it" grep -q 'as version 0.2.0 has it' "$machine$config.dpkg-dist"
check "owner and mode stay" equal 'root:mqtt-stackd 640' owner "$config"
check "the broker runs" equal active property ActiveState
check "it was restarted" refused equal "$pid" property MainPID
check "the second broker runs" equal active property ActiveState mqtt-stackd@garden
check "it was restarted as well" refused equal "$second" property MainPID mqtt-stackd@garden
check "messages pass after the upgrade" messages_pass

# The other way: who changed nothing gets the new configuration.
in_machine dpkg --purge mqtt-stackd >/dev/null 2>&1
rm -rf "$machine"/etc/mqtt-stackd "$machine"/etc/systemd/system/mqtt-stackd*
check "it is installed again" install_deb /opt/mqtt-stackd.deb
in_machine systemctl disable --quiet --now mqtt-stackd.service
check "an upgrade does not start what is disabled" install_deb "$(newer 0.3.0)"
check "it is not running" refused in_machine systemctl is-active mqtt-stackd
check "an untouched configuration is replaced" grep -q 'as version 0.3.0 has it' "$machine$config"
check "its mode stays" equal 'root:mqtt-stackd 640' owner "$config"
in_machine systemctl enable --now mqtt-stackd.service mqtt-stackd.socket >/dev/null 2>&1 || true

# Removing, purging.
touch "$machine/var/lib/mqtt-stackd/state" "$machine/etc/mqtt-stackd/passwd"
check "it is removed" in_machine apt-get remove -y -q mqtt-stackd
check "nothing of it runs" equal '' processes
check "no port is open" refused in_machine timeout 5 mosquitto_pub -t x -m y
check "configuration and state stay" test -f "$machine$config" -a -f "$machine/var/lib/mqtt-stackd/state"
check "it is purged" in_machine apt-get purge -y -q mqtt-stackd
check "state and configuration are gone" test ! -e "$machine$config" -a ! -e "$machine/var/lib/mqtt-stackd"
check "what the administrator made stays" test -f "$machine/etc/mqtt-stackd/passwd"
check "the user stays" in_machine id mqtt-stackd
check "nothing else is left" equal '' find "$machine"/{etc,usr,var/lib} -xdev -name '*mqtt-stackd*' \
  -not -path "$machine/etc/mqtt-stackd"
