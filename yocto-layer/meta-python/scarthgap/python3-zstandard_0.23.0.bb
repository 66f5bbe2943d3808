SUMMARY = "Python bindings for the Zstandard compression library"
DESCRIPTION = "What python3-zstandard of later releases of meta-python is, and on the build host, too"
HOMEPAGE = "https://github.com/indygreg/python-zstandard"
BUGTRACKER = "https://github.com/indygreg/python-zstandard/issues"
SECTION = "devel/python"
LICENSE = "BSD-3-Clause"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3ae87c50fd64b6f0942823686871e758"

SRC_URI[sha256sum] = "b2d8c62d08e7255f68f7a740bae85b3c9b8e5466baa9cbf7f57f1cde0ac6bc09"

# Not python_setuptools_build_meta: the release asks for a setuptools older than scarthgap's.
inherit pypi setuptools3

DEPENDS += "python3-cffi-native"

BBCLASSEXTEND = "native nativesdk"
