SUMMARY = "Delta OTA updates for embedded Linux, compatible with SWUpdate"
DESCRIPTION = "The agent that installs updates on A/B devices; otakit-packager, and otakit-native: otapack, which builds them"
SECTION = "admin"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "libarchive librsync openssl python3-cffi-native zchunk"

# Layer and program are one repository and fit together, so the recipe takes the checkout that it stands in: nothing is
# fetched, and a task is run again when a file has changed. Another checkout: OTAKIT_SOURCE in local.conf.
OTAKIT_SOURCE ?= "${OTAKIT_LAYERDIR}/.."
FILESEXTRAPATHS:prepend := "${OTAKIT_SOURCE}:"
SRC_URI = "\
    file://LICENSE;subdir=${BP} \
    file://MANIFEST.in;subdir=${BP} \
    file://README.md;subdir=${BP} \
    file://boards;subdir=${BP} \
    file://handlers;subdir=${BP} \
    file://ota;subdir=${BP} \
    file://packager;subdir=${BP} \
    file://pyproject.toml;subdir=${BP} \
    file://setup.py;subdir=${BP} \
"

inherit python_setuptools_build_meta systemd update-rc.d

# What a checkout may hold that was made for its own machine.
do_configure:prepend() {
    find ${S} -name __pycache__ -prune -exec rm -rf {} +
    rm -f ${S}/ota/native/_*.c ${S}/ota/native/*.so
}

# `ota boot` after each start: a unit for systemd, an init script for sysvinit and busybox.
do_install:append:class-target() {
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -Dm 0644 ${S}/ota/system/otakit-boot.service ${D}${systemd_system_unitdir}/otakit-boot.service
    fi
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -Dm 0755 ${S}/ota/system/otakit ${D}${sysconfdir}/init.d/otakit
    fi
}

SYSTEMD_SERVICE:${PN} = "otakit-boot.service"
INITSCRIPT_NAME = "otakit"
INITSCRIPT_PARAMS = "defaults 99"

# The build side, and with it libzck, stays off devices.
PACKAGES =+ "${PN}-packager"
FILES:${PN}-packager += "\
    ${bindir}/otapack \
    ${PYTHON_SITEPACKAGES_DIR}/ota/native/_zck*.so \
    ${PYTHON_SITEPACKAGES_DIR}/packager \
"

# The split packages of Python's standard library that are imported, and pyproject.toml's dependencies.
RDEPENDS:${PN} += "\
    python3-asyncio \
    python3-cffi \
    python3-compression \
    python3-crypt \
    python3-ctypes \
    python3-email \
    python3-fcntl \
    python3-io \
    python3-json \
    python3-libconf \
    python3-logging \
    python3-lz4 \
    python3-math \
    python3-mmap \
    python3-netclient \
    python3-requests \
    python3-resource \
    python3-threading \
    python3-tomllib \
    python3-zstandard \
"

# Of the extra `build`: what a task runs; rich shows the progress of `otapack publish`. A native recipe has one package.
OTAPACK_RDEPENDS = "\
    python3-google-crc32c \
    python3-jinja2 \
    python3-jsonschema \
    python3-packageurl-python \
"
RDEPENDS:${PN}-packager += "${OTAPACK_RDEPENDS} ${PN} python3-modules"
RDEPENDS:${PN}:append:class-native = " ${OTAPACK_RDEPENDS}"

# fw_printenv and fw_setenv, where the boot loader is U-Boot; blkid, where packages come on a stick.
RRECOMMENDS:${PN} += "libubootenv-bin util-linux-blkid"
RRECOMMENDS:${PN}:class-native = ""

BBCLASSEXTEND = "native"
