#!/bin/busybox sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=dash
# The guest's first process. Brings the machine up, then takes commands: a command line comes in on a
# virtual serial port; "EXIT-CODE BYTES" and that many bytes of output go back.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
# DPDK loads no driver from a directory that everybody may write to.
chmod 755 /
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /tmp /run /var/run /dev/hugepages
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
# The NICs wait for the driver that a case names.
for device in /sys/bus/pci/devices/*; do
  read -r class <"$device/class"
  case $class in 0x0200*) echo none >"$device/driver_override" ;; esac
done
# In the order of their dependencies.
while read -r module; do insmod "$module" || echo "insmod $module failed"; done </modules
# The port appears some time after its driver, and its file some time before it can be opened.
until true <>/dev/vport0p1; do sleep 0.1; done 2>/tmp/.out
exec <>/dev/vport0p1 3>&0
echo up >&3
while read -r line <&3; do
  eval "$line" >/tmp/.out 2>&1 </dev/null
  code=$?
  echo "$code $(wc -c </tmp/.out)" >&3
  cat /tmp/.out >&3
done
