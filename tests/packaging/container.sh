#!/bin/bash
# packaging/Dockerfile without a container engine: the steps of its last stage are done in a Debian of
# its own, and what comes of it is run as the image says. The stage before that builds with
# packaging/dev, which is how the program was built that is copied here.
# shellcheck source=tests/packaging/support.sh
. "$(dirname "$0")/support.sh"
readonly recipe=$SOURCES/packaging/Dockerfile

# The instructions of a stage, one on each line.
stage() {  # stage NUMBER
  sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' "$recipe" |
    awk -v wanted="$1" '/^FROM / { stage++ } stage == wanted && /^[A-Z]/'
}
arguments() { stage 2 | sed -n "s/^$1 //p"; }

unpack_machine
# Packages cannot be had here; that those named, and what they depend on, are enough is looked at below.
cat >"$machine/usr/local/bin/apt-get" <<'END'
#!/bin/sh
[ "$1" = update ] || {
  shift 3
  dpkg-query --status "$@" >/dev/null &&
    apt-cache depends --recurse --installed --important "$@" | sed -n '/^[a-z]/p' >>/opt/packages
}
END
chmod +x "$machine/usr/local/bin/apt-get"

run_stage() {
  local keyword rest
  while read -r keyword rest; do
    case $keyword in
      RUN) chroot "$machine" sh -e -c "$rest" || return 1 ;;
      COPY)
        [[ $rest == '--from=build /image /' ]] || { echo "what is $rest?" && return 1; }
        DESTDIR=$work/image cmake --install "$SOURCES/build/release"
        # The last step of the first stage, with the image where it is here.
        sh -e -c "$(stage 1 | sed -n "\$s|^RUN \(.*\) /image|\1 $work/image|p")" || return 1
        cp -a "$work/image/." "$machine"
        ;;
      FROM | ENV | VOLUME | EXPOSE | USER | ENTRYPOINT) ;;
      *) echo "what is $keyword?" && return 1 ;;
    esac
  done < <(stage 2)
}
check "the steps succeed" run_stage

libraries_are_named() {
  local library
  # A program's libraries are in packages that are named, or that every Debian has.
  for library in $(chroot "$machine" ldd /usr/bin/mqtt-stackd | sed -nE 's/.* (\/[^ ]+) .*/\1/p'); do
    chroot "$machine" dpkg -S "$library" "/usr$library" 2>/dev/null | sed -n '1s/:.*//p' || true
  done | sort -u | while read -r package; do
    grep -qx "$package" "$machine/opt/packages" ||
      [[ $package =~ ^(libc6|libgcc-s1)$ ]] || { echo "$package is not installed by the recipe" && return 1; }
  done
}
check "its libraries are installed" libraries_are_named
check "no unit is in it" test ! -e "$work/image/usr/lib"
check "its user is no other than mqtt-stackd" equal "$(arguments USER)" \
  chroot "$machine" sh -c 'echo "$(id -u mqtt-stackd):$(id -g mqtt-stackd)"'

# As an engine runs it: the first process, as that user, the image read-only, the configuration mounted
# over its own.
mkdir "$work/mounted"
sed 's/127.0.0.1:1883/127.0.0.1:1885/' "$SOURCES/config/mqtt-stackd.toml" >"$work/mounted/mqtt-stackd.toml"
cp "$work/mounted/mqtt-stackd.toml" "$work/mounted/other.toml"
sed -i 's/127.0.0.1:1885/127.0.0.1:1886/' "$work/mounted/other.toml"
chmod 755 "$work" "$work/mounted" && chmod 644 "$work/mounted"/*
readarray -t environment < <(arguments ENV)
IFS=: read -r user group < <(arguments USER)
start_image() {  # start_image [ARGUMENT OF SYSTEMD-NSPAWN...]
  start_first_process --user=mqtt-stackd --read-only --bind-ro="$work/mounted:/etc/mqtt-stackd" \
    --tmpfs="/var/lib/mqtt-stackd:mode=700,uid=$user,gid=$group" "${environment[@]/#/--setenv=}" "$@" \
    "$(arguments ENTRYPOINT | tr -d '[]"')"
}
stop_image() {
  kill -TERM "$leader"
  wait "$nspawn"
}
start_image
check "it starts with what is mounted" says 'listening on 127.0.0.1:1885' cat "$work/console"
check "messages pass" messages_pass -p 1885
check "it runs without rights" equal mqtt-stackd in_machine stat -c %U /proc/1
check "it stops when it is told to" stop_image
check "and says so" grep -q stopped "$work/console"
start_image --setenv=MQTT_STACKD_CONFIG=/etc/mqtt-stackd/other.toml --setenv=MQTT_STACKD_LOG_FORMAT=json
check "the environment names the configuration" says 'listening on 127.0.0.1:1886' cat "$work/console"
check "the environment names the format of the log" grep '^{"time"' "$work/console"
