#!/bin/bash
# make_images.sh demo|bench [RELEASE]: the images in build/images/demo (v1 and v2; ext4) or build/images/bench
# (v1, v2 and v3; ext4, squashfs and erofs). Each is made once; the same packages give the same image.
# KINDS="ext4" makes fewer kinds of the latter. Fetches the programs it needs (bench/tools); two releases are
# made at a time.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
build=$(realpath "$here/../..")/build
recipe=${1:?usage: make_images.sh demo|bench [RELEASE]}
dir=$build/images/$recipe

case $recipe in
demo)
    releases=(v1 v2) kinds=(ext4) size=256M
    tools=(mmdebstrap mke2fs) ;;
bench)
    releases=(v1 v2 v3) size=512M
    read -ra kinds <<< "${KINDS:-ext4 squashfs erofs}"
    tools=(mmdebstrap mke2fs mksquashfs mkfs.erofs) ;;
*)  echo "make_images.sh: no recipe '$recipe'" >&2; exit 1 ;;
esac

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1735689600} TZ=UTC
export LC_ALL=C.UTF-8   # under C, libarchive refuses the names of some certificates
export PATH=$build/tools/bin:$PATH
uuid=6f6d0f6e-7a1b-4c39-9d55-0123456789ab
hash_seed=0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9

# make_KIND TAR IMAGE
make_ext4() {
    truncate -s "$size" "$2"
    mke2fs -q -t ext4 -b 4096 -m 0 -I 256 -U "$uuid" -O ^metadata_csum_seed,^orphan_file \
        -E "hash_seed=$hash_seed,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" -d "$1" "$2"
}

make_squashfs() {   # takes its times from SOURCE_DATE_EPOCH
    in_tree "$1" mksquashfs . "$2" -noappend -quiet -no-progress -comp zstd -Xcompression-level 15 \
        -b 128K -processors 2 -xattrs
}

make_erofs() {
    in_tree "$1" mkfs.erofs --quiet -zlz4hc,9 -C65536 "-T$SOURCE_DATE_EPOCH" "-U$uuid" "$2" . > /dev/null
}

# in_tree TAR COMMAND...: in a folder with what is in the tarball.
in_tree() {
    local tree=${1%.tar}.tree
    if [ ! -d "$tree" ]; then
        mkdir -p "$tree.part"
        as_root tar --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' -xpf "$1" -C "$tree.part"
        mv "$tree.part" "$tree"
    fi
    (cd "$tree" && as_root "${@:2}")
}

# as_root COMMAND...: so that files can have any owner.
as_root() { if [ "$EUID" -eq 0 ]; then "$@"; else unshare --map-root-user --map-auto "$@"; fi; }

# make RELEASE
make() {
    local tar=$dir/$1.tar kind missing=()
    for kind in "${kinds[@]}"; do
        [ -s "$dir/$1.$kind" ] || missing+=("$kind")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "images: $recipe $1 (${missing[*]})"
    mkdir -p "$dir"
    [ -s "$tar" ] || "$here/make_rootfs.sh" "$recipe" "$1" "$tar"
    for kind in "${missing[@]}"; do
        rm -f "$dir/$1.$kind.part"
        "make_$kind" "$tar" "$dir/$1.$kind.part"
        mv "$dir/$1.$kind.part" "$dir/$1.$kind"
    done
    as_root rm -rf "$tar" "$dir/$1.tree"
}

if [ $# -gt 1 ]; then
    make "$2"
else
    [ "$EUID" -eq 0 ] || command -v newuidmap > /dev/null || {
        echo "make_images.sh: the package uidmap is needed, except by root" >&2
        exit 1
    }
    python3 "$here/../tools/get.py" "${tools[@]}"
    printf '%s\n' "${releases[@]}" | xargs -P 2 -I RELEASE "$0" "$recipe" RELEASE
fi
