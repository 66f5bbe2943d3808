SUMMARY = "What the agent of otakit is told on a device"
DESCRIPTION = "Board file, trusted certificate, device.toml (a bbappend replaces it) and /etc/hwrevision"
SECTION = "admin"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = "file://device.toml;subdir=${BP}"

# What devices trust: a root, or the certificate that signs.
OTAKIT_CA ?= "${OTAKIT_CERTIFICATE}"
# The two words of /etc/hwrevision: the board's name and its revision. "": the image has that file from elsewhere.
OTAKIT_HWREVISION ?= ""

inherit allarch

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -Dm 0644 ${S}/device.toml ${D}${sysconfdir}/otakit/device.toml
    install -Dm 0644 ${OTAKIT_BOARD} ${D}${sysconfdir}/otakit/board.toml
    install -Dm 0644 ${OTAKIT_CA} ${D}${sysconfdir}/otakit/ca.pem
    if [ -n "${OTAKIT_HWREVISION}" ]; then
        echo "${OTAKIT_HWREVISION}" > ${D}${sysconfdir}/hwrevision
    fi
    install -d ${D}${localstatedir}/lib/otakit
}
do_install[file-checksums] += "${@' '.join(f'{path}:True' for path in filter(None, (d.getVar('OTAKIT_BOARD'), d.getVar('OTAKIT_CA'))))}"

python () {
    for name in ("OTAKIT_BOARD", "OTAKIT_CA"):
        if not d.getVar(name):
            raise bb.parse.SkipRecipe(f"{name} is not set")
}

RDEPENDS:${PN} = "otakit"
