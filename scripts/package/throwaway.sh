#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Runs a command on a copy of this system that is thrown away: what it installs, writes or starts is gone afterwards.
#
# usage: throwaway.sh COMMAND...     as root
#
# The copy has this system's files (an overlay in memory), namespaces of its own for processes, mounts, names and the
# network (so it reaches nobody), and a systemd of its own as process 1, which starts no service of this system.
# The tree and its build directory are where they are outside; what is written there stays. Exit code 3: this machine
# lets nobody do that, and the last line says why.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

readonly REFUSED=3
# What a unit of this system would do to the kernel that both share, to devices, or to old files in /tmp.
readonly MASKED=(systemd-tmpfiles-setup systemd-tmpfiles-clean systemd-sysctl systemd-modules-load systemd-udevd
  systemd-udev-trigger systemd-random-seed systemd-hwdb-update systemd-binfmt systemd-update-utmp systemd-timesyncd systemd-pcrphase-sysinit systemd-networkd)

# --- in the namespaces ------------------------------------------------------------------------------

# lay_out NEW: mounts of the copy.
lay_out() {
  local new=$1 upper unit device
  upper=$(dirname "$new")
  mkdir "$upper/files" "$upper/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$upper/files,workdir=$upper/work" "$new"
  mount -t proc proc "$new/proc"
  mount -t sysfs -o ro sysfs "$new/sys"
  mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$new/dev"
  for device in null zero full random urandom tty net/tun; do
    [[ -e /dev/$device ]] || continue
    mkdir -p "$(dirname "$new/dev/$device")"
    touch "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
  done
  mkdir "$new/dev/pts" "$new/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
  ln -s pts/ptmx "$new/dev/ptmx"
  ln -s /proc/self/fd "$new/dev/fd"
  mount -t tmpfs -o mode=755 tmpfs "$new/run"
  mkdir -m 1777 "$new/run/lock"
  mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
  for device in "$ROOT" "$BUILD"; do
    mkdir -p "$new$device"
    mount --bind "$device" "$new$device"
  done
  # No service, mount or timer of this system.
  : >"$new/etc/fstab"
  rm -rf "$new/etc/systemd/system" "$new/var/log/journal"
  mkdir "$new/etc/systemd/system"
  for unit in "${MASKED[@]}"; do ln -s /dev/null "$new/etc/systemd/system/$unit.service"; done
  rm -f "$new/usr/sbin/policy-rc.d"
}

# boot PLACE: becomes the copy's process 1.
boot() {
  local place=$1
  mount -t tmpfs tmpfs "$place"
  mkdir "$place/new"
  lay_out "$place/new"
  ip link set lo up
  exec chroot "$place/new" /usr/bin/env -i container=throwaway PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=sysinit.target --log-target=journal --log-level=warning --show-status=no
}

# --- outside of them --------------------------------------------------------------------------------

# make_cgroup: systemd writes only below the group that it begins in.
make_cgroup() {
  local mounted=$WORK/cgroup
  mkdir "$mounted"
  mount -t cgroup2 cgroup2 "$mounted" || die "no cgroup2 can be mounted" "$REFUSED"
  CGROUP=$mounted/synproxy-throwaway-$$
  mkdir "$CGROUP" || die "no cgroup can be made" "$REFUSED"
}

finish() {
  local status=$? try
  trap - EXIT
  exec 2>/dev/null  # the shell reports whom it has to kill
  # Its child is the first process of its namespace, so nobody in there outlives it.
  [[ -z $UNSHARED ]] || kill -KILL "$UNSHARED" 2>/dev/null || true
  wait 2>/dev/null || true
  for ((try = 0; try < 50; try++)); do
    find "$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [[ -d $CGROUP ]] || break
    sleep 0.1
  done
  umount "$WORK/cgroup" 2>/dev/null || true
  rm -rf --one-file-system "$WORK"
  exit "$status"
}

# is_up: by what it has made, because before that its root is still this system's.
is_up() {
  INIT=$(pgrep -P "$UNSHARED") && [[ $(cat "/proc/$INIT/comm") == systemd && -S /proc/$INIT/root/run/systemd/private ]] &&
    timeout 10 nsenter --target "$INIT" --all --root --wd systemctl is-active --quiet sysinit.target
}

inside() { nsenter --target "$INIT" --all --root --wd "$@"; }

if [[ ${SYNPROXY_THROWAWAY-} == boot ]]; then
  unset SYNPROXY_THROWAWAY
  boot "$1"
fi
(($# > 0)) || die "usage: throwaway.sh COMMAND..." 2
need_root "it makes namespaces"
[[ -x /lib/systemd/systemd ]] || die "no systemd is installed" "$REFUSED"
if [[ ${SYNPROXY_THROWAWAY-} != mounts ]]; then
  # Its mounts are nobody else's.
  SYNPROXY_THROWAWAY=mounts exec unshare --mount "${BASH_SOURCE[0]}" "$@"
fi

WORK=$(mktemp -d)
INIT='' UNSHARED='' CGROUP=''
mkdir "$WORK/system"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
make_cgroup
(
  echo "$BASHPID" >"$CGROUP/cgroup.procs"
  SYNPROXY_THROWAWAY=boot exec setpriv --pdeathsig KILL unshare --mount --pid --ipc --uts --net --cgroup --fork \
    --kill-child --wd / "$(realpath "${BASH_SOURCE[0]}")" "$WORK/system"
) </dev/null >"$WORK/console" 2>&1 &
UNSHARED=$!
for ((try = 0; try < 600; try++)); do
  ! is_up 2>/dev/null || break
  kill -0 "$UNSHARED" 2>/dev/null || {
    tail -n 5 "$WORK/console" >&2
    die "no systemd can be started in namespaces here" "$REFUSED"
  }
  sleep 0.1
done
is_up || { tail -n 5 "$WORK/console" >&2; die "systemd does not come up"; }
inside env HOME=/root LANG=C.UTF-8 "SYNPROXY_BUILD=$BUILD" "$@"
