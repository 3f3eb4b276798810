#!/bin/bash
# The rpm in a machine: installed, verified, run, upgraded, erased. Libraries come from the machine's
# own system, of which rpm knows nothing; hence --nodeps. content.sh looks at the dependencies.
# shellcheck source=tests/packaging/support.sh
. "$(dirname "$0")/support.sh"
readonly config=/etc/mqtt-stackd/mqtt-stackd.toml

start_machine
cp "$rpm" "$machine/opt/mqtt-stackd.rpm"
in_machine rpm --initdb

check "rpm installs it" equal '' in_machine rpm --nodeps -i /opt/mqtt-stackd.rpm
check "nothing differs from the package" equal '' in_machine rpm --nodeps -V mqtt-stackd
owner() { in_machine stat -c '%U:%G %a' "$@"; }
check "the directory of the configuration is the broker's to read" equal 'root:mqtt-stackd 2750' owner /etc/mqtt-stackd
check "so is the configuration" equal 'root:mqtt-stackd 640' owner "$config"
check "the state is the broker's alone" equal 'mqtt-stackd:mqtt-stackd 700' owner /var/lib/mqtt-stackd
check "it is not started by being installed" equal inactive property ActiveState
check "the socket is not enabled" equal disabled in_machine systemctl is-enabled mqtt-stackd.socket
check "it starts" in_machine systemctl enable --now mqtt-stackd.service
check "messages pass" messages_pass

check "the configuration is edited" in_machine sed -i 's/^level = "info"/level = "debug"/' "$config"
check "rpm notices" says '^S.5.*c /etc/mqtt-stackd/mqtt-stackd.toml' in_machine rpm --nodeps -V mqtt-stackd
# The same files under a higher version, with another default configuration.
newer() {
  local folder=$work/newer
  mkdir "$folder"
  rpm2cpio "$rpm" | (cd "$folder" && cpio --quiet -idm)
  echo '# as version 99 has it' >>"$folder$config"
  gunzip "$folder"/usr/share/man/man?/*.gz
  printf '#!/bin/sh\ncp -a %s/. "$DESTDIR"\n' "$folder" >"$work/cmake"
  chmod +x "$work/cmake"
  PATH=$work:$PATH rpmbuild -bb --quiet --define "_topdir $work/rpm" --define "_rpmdir $work" \
    --define '_rpmfilename newer.rpm' --define 'project_version 99' --define "build_folder $work" \
    --define "sysusers_file $SOURCES/packaging/systemd/mqtt-stackd.sysusers" \
    --define "changes $PACKAGES/rpm-changelog" "$SOURCES/packaging/rpm/mqtt-stackd.spec" &&
    cp "$work/newer.rpm" "$machine/opt"
}
check "a newer package is made" newer
pid=$(property MainPID)
check "it is upgraded" in_machine rpm --nodeps -U /opt/newer.rpm
check "the edited configuration is kept" grep -q '^level = "debug"' "$machine$config"
check "the new one lies beside it" grep -q 'as version 99 has it' "$machine$config.rpmnew"
check "the broker was restarted" refused equal "$pid" property MainPID
check "messages pass after the upgrade" messages_pass

touch "$machine/var/lib/mqtt-stackd/state"
check "it is erased" in_machine rpm -e mqtt-stackd
check "nothing of it runs" equal '' processes
check "the edited configuration is saved" grep -q '^level = "debug"' "$machine$config.rpmsave"
check "the state stays" test -f "$machine/var/lib/mqtt-stackd/state"
check "nothing else is left" equal '' find "$machine"/{etc,usr} -xdev -name '*mqtt-stackd*' \
  -not -path "$machine/etc/mqtt-stackd" -not -name '*.rpmsave' -not -name '*.rpmnew'
