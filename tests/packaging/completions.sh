#!/bin/bash
# Completion in bash and zsh offers what the program understands.
# shellcheck source=tests/packaging/support.sh
. "$(dirname "$0")/support.sh"

dpkg-deb -x "$deb" "$work/deb"
export PATH=$work/deb/usr/bin:$PATH
readonly program=$work/deb/usr/bin/mqtt-stackd

flags() { "$program" "$@" --help | grep -oE '^  -[-a-z,V]+' | tr ', ' '\n\n' | grep '^--' | sort; }
middlewares() { "$program" list-middlewares | sed -nE 's/^  ([^ ]+) .*/\1/p' | sort; }
commands() { "$program" --help | sed -n '/^Subcommands:/,$p' | sed -nE 's/^  ([^ ]+) .*/\1/p' | sort; }
values() { "$program" --help | sed -nE "s/^  $1 [A-Z]+:\{(.*)\}.*/\1/p" | tr , '\n' | sort; }

# What bash offers for the last word.
in_bash() {  # in_bash WORD...
  bash -c '. "$1"; shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
    _mqtt_stackd
    printf "%s\n" "${COMPREPLY[@]}"' bash "$work/deb/usr/share/bash-completion/completions/mqtt-stackd" "$@" |
    sort
}

check "bash: commands" equal "$(commands)" in_bash mqtt-stackd ''
check "bash: flags" equal "$(flags)" in_bash mqtt-stackd --
check "bash: flags of check" equal "$(flags check)" in_bash mqtt-stackd check --
check "bash: flags of describe" equal "$(flags describe)" in_bash mqtt-stackd describe --
check "bash: names for describe" equal "$(middlewares)" in_bash mqtt-stackd describe ''
check "bash: a name that was begun" equal keep_alive in_bash mqtt-stackd describe kee
for flag in --log-level --log-format; do
  check "bash: values of $flag" equal "$(values $flag)" in_bash mqtt-stackd "$flag" ''
done
cd "$work" && touch my.toml my.txt
check "bash: configurations" equal my.toml in_bash mqtt-stackd check my

# What zsh lists when the tabulator is pressed behind a line, in a terminal of its own.
in_zsh() {  # in_zsh LINE
  zsh -f "$SOURCES/tests/packaging/complete.zsh" "$work/deb/usr/share/zsh/vendor-completions" "$1" | sort
}
check "zsh: commands" equal "$(commands)" in_zsh 'mqtt-stackd '
check "zsh: names for describe" equal "$(middlewares)" in_zsh 'mqtt-stackd describe '
for command in check describe; do
  check "zsh: flags of $command" equal "$({ flags && flags "$command"; } | grep -vE 'test|version' | sort -u)" \
    in_zsh "mqtt-stackd $command --"
done
for flag in --log-level --log-format; do
  check "zsh: values of $flag" equal "$(values $flag)" in_zsh "mqtt-stackd $flag "
done
