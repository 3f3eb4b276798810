#!/bin/bash
# What docs/operations.md quotes, the program says: each mistake is made, and each message awaited.
# shellcheck source=tests/packaging/support.sh
. "$(dirname "$0")/support.sh"
readonly manual=$SOURCES/docs/operations.md config=/etc/mqtt-stackd/mqtt-stackd.toml

start_machine
cp "$deb" "$machine/opt/mqtt-stackd.deb"
check "the package is installed" in_machine apt-get install -y -q /opt/mqtt-stackd.deb

# Whether a command says, word for word, each line that the document quotes.
says_quote() {  # says_quote NAME COMMAND...
  local line name=$1
  shift
  while IFS= read -r line; do
    says "$(sed -E 's/[][\\.*^$+?(){}|]/\\&/g' <<<"$line")" "$@" || return 1
  done < <(block "$name" "$manual")
}
refuses_to_start() {  # refuses_to_start NAME EXIT-CODE
  check "$1: the service does not start" refused in_machine systemctl restart mqtt-stackd
  check "$1: the reason is said as the document has it" says_quote "said-$1" journal
  check "$1: the exit code is $2" equal "$2" property ExecMainStatus
  in_machine systemctl stop --quiet mqtt-stackd 2>/dev/null
  in_machine install -m 640 /opt/original.toml "$config"
}
edit() { in_machine sed -i -E "$@" "$config"; }
in_machine cp "$config" /opt/original.toml

edit 's/"keep_alive", "last_will"/"keep_alife", "last_will"/'
refuses_to_start mistake 78
edit 's/^bind = "127.0.0.1:1883"/bind = "0.0.0.0:1883"/'
refuses_to_start open 78
in_machine install -m 640 "$config" /etc/mqtt-stackd/other.toml
in_machine systemctl start mqtt-stackd@other
refuses_to_start port 69
in_machine systemctl stop mqtt-stackd@other
edit 's/^bind = "127.0.0.1:1883"/bind = "127.0.0.1:883"/'
refuses_to_start low-port 77
edit 's/^bind = "127.0.0.1:1883"/bind = "192.0.2.7:1883"\nallow_anonymous = true/'
refuses_to_start address 69

in_machine systemctl start mqtt-stackd
edit 's/"keep_alive", "last_will"/"keep_alife", "last_will"/'
in_machine systemctl reload mqtt-stackd
check "reload: it is said as the document has it" says_quote said-reload journal

# A configuration for a network, with all that it names.
in_machine install -m 640 /usr/share/doc/mqtt-stackd/examples/secure.toml "$config"
in_machine cp "$config" /opt/original.toml
in_machine sh -c 'cd /etc/mqtt-stackd && cp /usr/share/doc/mqtt-stackd/examples/acl.example acl &&
  echo "alice:$(openssl passwd -6 wonderland)" >passwd && chmod 640 passwd acl &&
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout server.key -out server.crt 2>/dev/null'
check "check: it is said as the document has it" says_quote said-check in_machine mqtt-stackd check "$config"
refuses_to_start permission 77
check "what check says helps" in_machine sh -c "$(block said-check "$manual" | sed -n 's/^help: //p')"
check "it starts" in_machine systemctl restart mqtt-stackd
publish() { in_machine mosquitto_pub -h localhost -p 8883 --cafile /etc/mqtt-stackd/server.crt "$@"; }
check "who is known and has the right, publishes" publish -u alice -P wonderland -q 1 -t home/light -m on
check "who is unknown, does not" refused publish -t home/light -m on
check "nor who has a wrong password" refused publish -u alice -P looking-glass -t home/light -m on
check "password: it is said as the document has it" says_quote said-password journal
publish -u alice -P wonderland -q 1 -t elsewhere -m on
check "right: it is said as the document has it" says_quote said-right journal
in_machine systemctl kill -s USR1 mqtt-stackd
check "counters: they are said as the document has it" says_quote said-counters journal

in_machine systemctl stop mqtt-stackd
in_machine systemctl start mqtt-stackd.socket
refuses_to_start socket 78
in_machine systemctl stop mqtt-stackd.socket
in_machine sh -c 'cd /etc/mqtt-stackd && openssl genpkey -algorithm ED25519 -out server.key && chmod 640 server.key'
refuses_to_start pair 65
