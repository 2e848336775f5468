#!/bin/bash
# run.sh DIR POOL SERIAL PORT [OPTION OF QEMU...]: becomes the QEMU that runs the machine of build.sh; its sshd is at 127.0.0.1:PORT.
# A saved memory can go on only on a machine of exactly these parts. The disk of the pool is a raw file and written
# through to the host's memory: when QEMU is killed, all is there that the machine had written until then.
# One processor, and an old one: an emulated one pays for each lock between two, and most for the wide registers of a new one. Logins,
# hashes and forks cost half to a quarter of what they do with `-cpu max -smp 2`, where Linux 6.12 also dies of QEMU 7.2's cmpxchg16b.
# Programs at the same addresses each time (norandmaps): QEMU finds what it has translated before, and starting one costs a quarter.
set -eu
dir=$1 pool=$2 serial=$3 port=$4; shift 4
exec qemu-system-x86_64 -accel tcg -M q35 -cpu Nehalem,-cx16 -smp 1 -m 1024 -nodefaults -no-user-config -display none -no-reboot \
  -kernel "$dir/vmlinuz" -initrd "$dir/initrd.img" -append 'console=ttyS0 root=/dev/vda ro init=/usr/sbin/zfs-machine-init panic=-1 mitigations=off norandmaps quiet' \
  -drive "file=$dir/root.img,format=raw,if=virtio,readonly=on" -drive "file=$pool,format=raw,if=virtio,cache=unsafe,discard=unmap" \
  -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net -device virtio-rng-pci -serial "file:$serial" "$@"
