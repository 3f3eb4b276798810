#!/bin/bash
# What the packages consist of, without installing them.
# shellcheck source=tests/packaging/support.sh
. "$(dirname "$0")/support.sh"

check "lintian finds nothing, down to pedantic things" lintian --allow-root \
  --display-info --pedantic --fail-on error,warning,info,pedantic "$PACKAGES"/*.changes
rpmlint_finds_nothing() {
  rpmlint -c "$SOURCES/packaging/rpm/rpmlint.toml" "$rpm" | tee "$work/rpmlint" &&
    grep -q ' 0 errors, 0 warnings' "$work/rpmlint"
}
check "rpmlint finds nothing" rpmlint_finds_nothing

dpkg-deb -x "$deb" "$work/deb"
mkdir "$work/rpm"
rpm2cpio "$rpm" | (cd "$work/rpm" && cpio --quiet -idm)

# The libraries that other distributions have under the same names.
readonly libraries='^(libc|libm|libgcc_s|libstdc\+\+|libargon2|libcrypt|libcrypto|libcurl|libsqlite3|libssl|ld-linux[a-z0-9-]*)\.so\.'
only_common_libraries() {
  local foreign
  foreign=$(grep '\.so\.' "$work/requires" | grep -vE "$libraries") || return 0
  printf 'not every distribution has\n%s\n' "$foreign" && false
}
rpm -qp --requires "$rpm" >"$work/requires"
check "the rpm says which libraries it needs" grep '^libssl.so.3()' "$work/requires"
check "the rpm needs no library that only Debian calls so" only_common_libraries
check "nor a version of a symbol that only Debian has" refused grep -E 'CURL_|DEBIAN' "$work/requires"
check "the rpm runs on distributions since 2022" refused grep -E '(GLIBC_2\.(3[6-9]|[4-9][0-9])|GLIBCXX_3\.4\.(3[1-9]|[4-9][0-9]))\)' \
  "$work/requires"
check "both packages have the same program" cmp "$work/deb/usr/bin/mqtt-stackd" "$work/rpm/usr/bin/mqtt-stackd"
check "the program says nothing of where it was built" refused grep -qF "$SOURCES" "$work/deb/usr/bin/mqtt-stackd"
check "the configuration is a conffile" grep -x /etc/mqtt-stackd/mqtt-stackd.toml <(dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles)
check "the rpm keeps an edited configuration" equal /etc/mqtt-stackd/mqtt-stackd.toml rpm -qp --configfiles "$rpm"
check "the packaged configuration is the one of the sources" cmp "$SOURCES/config/mqtt-stackd.toml" "$work/deb/etc/mqtt-stackd/mqtt-stackd.toml"

# shellcheck disable=SC2069
warnings_of() { man --warnings -E UTF-8 -l -Tutf8 -Z "$1" 2>&1 >/dev/null; }
for page in man8/mqtt-stackd.8 man5/mqtt-stackd.toml.5; do
  page=$work/deb/usr/share/man/$page.gz
  check "${page##*/} is sound" equal '' warnings_of "$page"
done
manual=$(zcat "$work/deb/usr/share/man/man8/mqtt-stackd.8.gz" | sed 's/\\//g')
program() { "$work/deb/usr/bin/mqtt-stackd" "$@"; }
manual_has_every_flag() {
  local command word
  for command in '' $(program --help | sed -n '/^Subcommands:/,$s/^  \([^ ]*\) .*/\1/p'); do
    # shellcheck disable=SC2086
    for word in $(program $command --help | grep -oE '^  -[-a-zA-Z,]+' | tr -d ' ' | tr , '\n') $command; do
      grep -qE -- "(^|[^a-z-])$word([^a-z-]|$)" <<<"$manual" || { echo "mqtt-stackd(8) does not have $word" && return 1; }
    done
  done
}
check "mqtt-stackd(8) has every command and flag" manual_has_every_flag
exit_codes() { sed -nE 's/^ +[a-zA-Z]+ = ([0-9]+),.*/\1/p' "$SOURCES/app/exit_codes.hpp"; }
manual_has_every_code() {
  local code
  for code in $(exit_codes); do grep -qx ".B $code" <<<"$manual" || { echo "no $code" && return 1; }; done
}
check "mqtt-stackd(8) has every exit code" manual_has_every_code

# Units, as systemd sees them.
readonly units=$work/deb/lib/systemd/system
for unit in mqtt-stackd.service mqtt-stackd@.service; do
  exposure=$(systemd-analyze security --offline=true "$units/$unit" | sed -nE 's/.*exposure level.*: ([0-9.]+) .*/\1/p')
  check "$unit: exposure is $exposure, at most 1.5" awk "BEGIN { exit !($exposure <= 1.5) }"
done
sandboxes_agree() {
  diff <(grep -vE '^(#|Description|ExecStart|StateDirectory)' "$units/mqtt-stackd.service" | grep .) \
    <(grep -vE '^(#|Description|ExecStart|StateDirectory)' "$units/mqtt-stackd@.service" | grep .)
}
check "the template runs as the service does" sandboxes_agree

check "the scripts are sound" shellcheck -x --severity=warning "$SOURCES"/packaging/{dev,changelog,debian/mqtt-stackd.p*} \
  "$SOURCES"/tests/packaging/{run,*.sh}
