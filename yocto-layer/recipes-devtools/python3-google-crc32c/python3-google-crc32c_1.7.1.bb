SUMMARY = "CRC32C for Python"
DESCRIPTION = "The checksum of ext4's metadata, for `otapack lint`"
HOMEPAGE = "https://github.com/googleapis/python-crc32c"
BUGTRACKER = "https://github.com/googleapis/python-crc32c/issues"
SECTION = "devel/python"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

SRC_URI[sha256sum] = "2bff2305f98846f3e825dbeec9ee406f89da7962accdb29356e4eadc251bd472"

PYPI_PACKAGE = "google_crc32c"

inherit pypi setuptools3

# No layer has the C library; without it the module works, slower.
export CRC32C_PURE_PYTHON = "1"

BBCLASSEXTEND = "native nativesdk"
