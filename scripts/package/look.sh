#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Looks at what the package has installed: files and their modes, user, man pages, completion, examples, units.
# Usage: look.sh     where it has just been installed
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# Mode, owner and path of each file that somebody may rely on.
FILES='755 root /usr/bin/synproxy
755 root /etc/synproxy
644 root UNITS/synproxy@.service
644 root UNITS/synproxy-bypass@.service
644 root /usr/lib/sysusers.d/synproxy.conf
644 root /usr/share/bash-completion/completions/synproxy
644 root /usr/share/doc/synproxy/examples/web.conf
644 root /usr/share/doc/synproxy/examples/drop-in-afxdp.conf
644 root /usr/share/doc/synproxy/examples/drop-in-nic.conf
644 root /usr/share/dpdk/telemetry-endpoints/synproxy.py'
PAGES=(man5/synproxy.conf.5.gz man8/synproxy.8.gz)

list=$(dpkg -L synproxy)
unit=$(grep '/synproxy@\.service$' <<<"$list") || die "no synproxy@.service"
while read -r mode owner path; do
  path=${path/UNITS/${unit%/*}}
  grep -qxF "$path" <<<"$list" || die "$path is not in the package"
  [[ $(stat -c '%a %U %G' "$path") == "$mode $owner $owner" ]] || die "$path: $(stat -c '%a %U %G' "$path")"
done <<<"$FILES"
[[ -z $(xargs -d '\n' -I @ find @ -maxdepth 0 -perm /6022 ! -type l <<<"$list") ]] || die "files that others may write, or that give rights"

[[ $(synproxy --version) == "synproxy "* ]] || die "--version: $(synproxy --version)"
IFS=: read -r _ _ uid _ _ _ shell <<<"$(getent passwd synproxy)"
((uid > 0 && uid < 1000)) || die "uid of the user synproxy: $uid"
[[ $shell == */nologin ]] || die "shell of the user synproxy: $shell"
[[ $(getent shadow synproxy | cut -d: -f2) == '!'* ]] || die "the user synproxy has a password"

for page in "${PAGES[@]}"; do
  grep -qxF "/usr/share/man/$page" <<<"$list" || die "$page is not in the package"
  # A minimal system of Debian leaves man pages out when it installs packages.
  [[ -e /usr/share/man/$page ]] || { echo "look: $page is excluded by this system's dpkg"; continue; }
  warnings=$(man --warnings -E UTF-8 -l -Tutf8 -Z "/usr/share/man/$page" 2>&1 >/dev/null)
  [[ -z $warnings ]] || die "$page: $warnings"
done

completed=$(bash -c 'source /usr/share/bash-completion/completions/synproxy
  COMP_WORDS=(synproxy --client-p) COMP_CWORD=1 COMP_LINE="synproxy --client-p" COMP_POINT=19
  $(complete -p synproxy | sed "s/.*-F \([^ ]*\) .*/\1/") synproxy --client-p synproxy
  echo "${COMPREPLY[@]}"')
[[ $completed == *--client-port* ]] || die "completion of --client-p: $completed"

# The example is right as it is, where the interfaces are called so.
ip link add eth1 type veth peer name eth1-end
ip link add eth2 type veth peer name eth2-end
for port in eth1 eth2 eth1-end eth2-end; do ip link set "$port" up; done
synproxy check --config /usr/share/doc/synproxy/examples/web.conf >/dev/null || die "the example web.conf is wrong"
ip link del eth1
ip link del eth2

"$ROOT/scripts/check_unit.sh" "$unit" /usr/bin/synproxy
echo "look: OK"
