#!/bin/bash
# make_rootfs.sh demo|bench v1|v2|v3 TAR: one release of a real root file system.
#   v1  this machine's own Debian (or Ubuntu) as it was last released
#   v2  the same packages with all updates since then; demo: and one more package
#   v3  bench only: v2 with more packages and a changed configuration
# Needs mmdebstrap (bench/tools) on PATH. The same packages give the same tarball, byte by byte.
set -euo pipefail

usage="usage: make_rootfs.sh demo|bench v1|v2|v3 TAR"
recipe=${1:?$usage} release=${2:?$usage} tar=${3:?$usage}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1735689600}   # 2025-01-01: no file is younger
export PYTHONDONTWRITEBYTECODE=1   # else programs of the image leave byte code that names the time
umask 022

# shellcheck source=/dev/null
. /etc/os-release
case $ID in
debian) kernel=linux-image-cloud-amd64 ;;
*)      kernel=linux-image-virtual ;;
esac

case $recipe in
demo)   # small, and of what gets security updates again and again
    packages=ca-certificates,curl,nginx-light,openssl,python3,tzdata ;;
bench)  # a gateway
    packages=systemd-sysv,udev,dbus,kmod,iproute2,iputils-ping,openssh-server,python3,python3-requests
    packages+=,python3-cryptography,curl,ca-certificates,network-manager,wpasupplicant,bluez,nginx-light
    packages+=,sqlite3,mosquitto,chrony,nftables,e2fsprogs,less,nano,sudo,tzdata,locales,initramfs-tools,$kernel ;;
esac

# Hooks are read by the shell that mmdebstrap starts; $1 is the root folder there.
# shellcheck disable=SC2016
hooks=(
    --essential-hook='echo "locales locales/default_environment_locale select C.UTF-8" | chroot "$1" debconf-set-selections'
    --customize-hook='echo gateway > "$1/etc/hostname"'
    --customize-hook="echo VERSION=$release > \"\$1/etc/firmware-release\""
    # What differs from run to run, or from device to device.
    --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/* "$1"/var/cache/debconf/*-old'
    --customize-hook='rm -f "$1"/boot/initrd.img-* "$1"/etc/ssh/ssh_host_* "$1/etc/resolv.conf"'
    --customize-hook='rm -f "$1/etc/machine-id" "$1/var/lib/dbus/machine-id"'
)

suites=("$VERSION_CODENAME")
[ "$release" = v1 ] || suites+=("$VERSION_CODENAME-updates" "$VERSION_CODENAME-security")

case $recipe-$release in
demo-v1 | bench-v1 | bench-v2) ;;
demo-v2)
    packages+=,jq ;;
bench-v3)
    packages+=,jq,mosquitto-clients
    # shellcheck disable=SC2016
    hooks+=(
        --customize-hook='printf "server_tokens off;\nkeepalive_timeout 30;\n" > "$1/etc/nginx/conf.d/app.conf"'
        --customize-hook='sed -i "s/^#MaxAuthTries.*/MaxAuthTries 3/" "$1/etc/ssh/sshd_config"'
    ) ;;
*)  echo "$usage (there is no $recipe $release)" >&2; exit 1 ;;
esac

sources=$(python3 "$(dirname "$0")/../tools/archive.py" "${suites[@]}")
mmdebstrap --quiet --variant=minbase --format=tar --include="$packages" \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    "${hooks[@]}" "$VERSION_CODENAME" "$tar.part" - <<< "$sources"
mv "$tar.part" "$tar"
