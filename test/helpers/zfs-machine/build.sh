#!/bin/bash
# Makes a machine with real OpenZFS, from Debian's packages, for computers whose own kernel has none; prints its folder.
#   build.sh         builds it unless it is there: about six minutes, a gigabyte, root (itself or by sudo)
#   build.sh --path  prints where it is or would be; exit code 1 when it is not there
# The folder is outside of any checkout and named after what it is built from. It is made aside and renamed when it is
# complete; one build runs at a time. It holds: vmlinuz, initrd.img, root.img (read-only for all machines that run),
# pool.img and state (disk and memory of a machine that has just started), id (an SSH key), known_host.
set -euo pipefail
export LC_ALL=C
here=$(dirname "$(realpath "$0")")
# Newer suites have other OpenZFS releases: trixie has 2.3. A saved memory fits only the QEMU that saved it.
suite=trixie
inputs=$(cat "$here"/{build.sh,init,run.sh}; qemu-system-x86_64 --version | head -n 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/opennebula-backup-drivers
dir=$cache/zfs-machine-$(sha256sum <<<"$inputs" | cut -c 1-12)

if [ "${1:-}" = --path ]; then echo "$dir"; [ -d "$dir" ]; exit; fi
if [ -d "$dir" ]; then echo "$dir"; exit; fi
if [ "${1:-}" != --locked ]; then
  mkdir -p "$cache"
  exec flock "$cache/zfs-machine.lock" bash "$here/build.sh" --locked
fi

as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); "${as_root[@]}" true; fi
rm -rf "$cache"/zfs-machine-*.part 2>/dev/null || "${as_root[@]}" rm -rf "$cache"/zfs-machine-*.part
part=$dir.part
mkdir "$part"
log=$part/build.log
fail() { { echo "zfs-machine: $1"; tail -n 20 "$log"; } >&2 || true; "${as_root[@]}" rm -rf "$part"; exit 1; }
trap 'fail "the build was stopped"' HUP INT TERM

# The mirror is the one that this computer has its own packages from.
mirrors() {
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' | grep -v security |
    sed -nE 's/ Debian$//p; s,^(.*/debian/?) $,\1,p' | head -n 1
}
mirror=$(mirrors)
[ -n "$mirror" ] || { "${as_root[@]}" apt-get -qq update >>"$log" 2>&1 || true; mirror=$(mirrors); }
[ -n "$mirror" ] || fail 'there is no mirror of Debian in the configuration of apt'
keys=/usr/share/keyrings/debian-archive-keyring
for type in gpg pgp; do [ ! -e $keys.$type ] || keyring=$keys.$type; done
[ -n "${keyring:-}" ] || fail 'the package debian-archive-keyring is missing'

ssh-keygen -q -t ed25519 -N '' -C zfs-machine -f "$part/id"
ssh-keygen -q -t ed25519 -N '' -C zfs-machine -f "$part/host_key"
echo "$(cut -d ' ' -f 1,2 "$part/host_key.pub")" >"$part/known_host"

# What root does. Its mounts are its own: they end with it, however that is.
install='
set -eu
part=$1 suite=$2 mirror=$3 keyring=$4 here=$5
root=$part/root
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
debootstrap --variant=minbase --components=main,contrib --keyring="$keyring" "$suite" "$root" "$mirror"
printf "#!/bin/sh\nexit 101\n" >"$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
printf "path-exclude=/usr/share/%s/*\n" doc man locale info >"$root/etc/dpkg/dpkg.cfg.d/small"
mount -t proc proc "$root/proc"
run() { chroot "$root" "$@"; }
run apt-get update
mkdir -p "$root/etc/initramfs-tools/conf.d"
add() { run apt-get -o Dpkg::Options::=--force-unsafe-io install -y --no-install-recommends "$@"; }
echo MODULES=list >"$root/etc/initramfs-tools/conf.d/few-modules"
add initramfs-tools busybox zstd udev kmod iproute2 openssh-server rsync qemu-utils sudo acl procps psmisc util-linux coreutils
printf "%s\n" virtio_pci virtio_blk ext4 overlay >>"$root/etc/initramfs-tools/modules"
add linux-image-cloud-amd64 linux-headers-cloud-amd64 dkms
add zfs-dkms zfsutils-linux
ls "$root"/lib/modules/*/updates/dkms/zfs.ko*
run useradd --create-home --uid 9869 --shell /bin/bash oneadmin
run usermod --password "*" oneadmin # locked otherwise, for sshd without PAM
for home in root home/oneadmin; do
  mkdir -p "$root/$home/.ssh"; cp "$part/id.pub" "$root/$home/.ssh/authorized_keys"; chmod 700 "$root/$home/.ssh"
done
run chown -R oneadmin: /home/oneadmin
rm -f "$root"/etc/ssh/ssh_host_*; cp "$part/host_key" "$root/etc/ssh/ssh_host_ed25519_key"; chmod 600 "$root/etc/ssh/ssh_host_ed25519_key"
printf "%s\n" "UseDNS no" "UsePAM no" "MaxStartups 100" "MaxSessions 100" "PrintLastLog no" "PrintMotd no" >"$root/etc/ssh/sshd_config.d/machine.conf"
printf "zfsm" >"$root/etc/hostid"
cp "$here/init" "$root/usr/sbin/zfs-machine-init"; chmod 755 "$root/usr/sbin/zfs-machine-init"
cp -L "$root"/boot/vmlinuz-* "$part/vmlinuz"; cp -L "$root"/boot/initrd.img-* "$part/initrd.img"
umount "$root/proc"
rm -rf "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/var/lib/dkms "$root"/usr/src "$root"/boot/* \
  "$root"/usr/lib/gcc "$root"/usr/libexec/gcc "$root"/usr/bin/*-linux-gnu-* "$root"/usr/share/doc "$root"/usr/share/perl
truncate -s 2G "$part/root.img"
mke2fs -q -F -t ext4 -m 0 -O ^has_journal -E lazy_itable_init=1 -d "$root" "$part/root.img"
rm -rf "$root"
'
# In a root that is no mount of its own, as chroot makes one, the propagation cannot be changed.
alone=(unshare --mount)
"${as_root[@]}" "${alone[@]}" true 2>/dev/null || alone+=(--propagation unchanged)
"${as_root[@]}" "${alone[@]}" sh -c "$install" install "$part" "$suite" "$mirror" "$keyring" "$here" >>"$log" 2>&1 ||
  fail 'the machine could not be built; the end of its log:'
[ "$(id -u)" = 0 ] || "${as_root[@]}" chown -R "$(id -u)" "$part"
rm "$part/host_key" "$part/host_key.pub"

# The machine is started once, and its memory saved as soon as it is ready.
truncate -s 8G "$part/pool.img"
mkfifo "$part/monitor"
bash "$here/run.sh" "$part" "$part/pool.img" "$part/serial.log" 0 -monitor stdio <"$part/monitor" >>"$log" 2>&1 &
qemu=$!
exec 3>"$part/monitor"
for ((n = 0; n < 600; n++)); do
  grep -q '^READY' "$part/serial.log" 2>/dev/null && break
  kill -0 $qemu 2>/dev/null || break
  sleep 0.5
done
cat "$part/serial.log" >>"$log"
grep -q '^READY' "$part/serial.log" || { kill -KILL $qemu 2>/dev/null || true; fail 'the machine does not start:'; }
printf '%s\n' "migrate \"exec:cat > '$part/state'\"" quit >&3
exec 3>&-
wait $qemu || fail 'QEMU did not save the memory of the machine:'
[ -s "$part/state" ] || fail 'QEMU did not save the memory of the machine:'
rm "$part/monitor"
mv -T "$part" "$dir"
# What older versions of these files have made is of no use to anyone but a checkout of that time, which makes it anew.
find "$cache" -maxdepth 1 -name 'zfs-machine-*' -type d ! -path "$dir" -mtime +30 -exec rm -rf {} + || true
echo "$dir"
