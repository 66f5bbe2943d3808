# The image type "otakit": a signed package that updates devices to this image, and what is to be published with it.
# In a machine's or distribution's configuration, or in an image recipe:
#
#   IMAGE_CLASSES += "image_types_otakit"
#   IMAGE_FSTYPES += "otakit"
#
# ${IMAGE_LINK_NAME}.otakit in the deploy folder is then what `otapack build -o` leaves. docs/yocto.md has the variables.

OTAKIT_NAME ?= ""
OTAKIT_VERSION ?= "${@d.getVar('DISTRO_VERSION').replace('+', '-')}"
OTAKIT_IMAGE ?= "rootfs"
OTAKIT_FSTYPE ?= "ext4"
OTAKIT_TYPE ?= "delta"
OTAKIT_METHODS ?= ""
OTAKIT_BASES ?= ""

# What the signature states as its time; an image's SOURCE_DATE_EPOCH is a constant of openembedded-core, in 2011.
OTAKIT_TIME ?= "${@d.getVar('REPRODUCIBLE_TIMESTAMP_ROOTFS') or d.getVar('SOURCE_DATE_EPOCH')}"

# Not IMAGE_NAME: when only this task runs again, the image is an earlier run's.
OTAKIT_IMAGE_FILE ?= "${IMGDEPLOYDIR}/${IMAGE_LINK_NAME}.${OTAKIT_FSTYPE}"
OTAKIT_WORKDIR = "${WORKDIR}/otakit"

IMAGE_TYPEDEP:otakit = "${OTAKIT_FSTYPE}"
IMAGE_CMD:otakit = "\
    SOURCE_DATE_EPOCH=${OTAKIT_TIME} \
    otapack build ${OTAKIT_WORKDIR}/release.toml -o ${IMGDEPLOYDIR}/${IMAGE_NAME}.otakit \
"

do_image_otakit[depends] += "otakit-native:do_populate_sysroot"
do_image_otakit[prefuncs] += "otakit_write_release"
do_image_otakit[vardeps] += "${@' '.join(otakit.release.VARIABLES)}"
do_image_otakit[file-checksums] += "${@otakit.release.checksums(d.getVar)}"

python otakit_write_release () {
    from pathlib import Path
    more = d.getVar("OTAKIT_MORE")
    text = otakit.release.render(d.getVar, d.expand(Path(more).read_text()) if more else "")
    Path(d.getVar("OTAKIT_WORKDIR"), "release.toml").write_text(text)
}
# Not of the task, whose folders are cleaned when its prefuncs have run.
otakit_write_release[cleandirs] = "${OTAKIT_WORKDIR}"
otakit_write_release[doc] = "Writes the release file that otapack builds from"
otakit_write_release[vardepsexclude] += "OTAKIT_WORKDIR"

python () {
    if "otakit" in d.getVar("IMAGE_FSTYPES").split():
        missing = otakit.release.missing(d.getVar)
        if missing:
            raise bb.parse.SkipRecipe("IMAGE_FSTYPES has otakit, and there is no %s" % ", ".join(missing))
}

# Two releases share the more, the less of an image depends on when it was built. An ext4's UUID is in the checksum of
# each of its metadata blocks, and its hash seed orders the folders. OTAKIT_EXT4 = "" leaves both to mke2fs.
OTAKIT_UUID ?= "${@otakit.release.identifier(d.getVar('IMAGE_LINK_NAME') or d.getVar('PN'))}"
OTAKIT_EXT4 ?= "-U ${OTAKIT_UUID} -E hash_seed=${OTAKIT_UUID}"
OTAKIT_EROFS ?= "-U ${OTAKIT_UUID} -T ${SOURCE_DATE_EPOCH}"
EXTRA_IMAGECMD:append:ext4 = " ${OTAKIT_EXT4}"
EXTRA_IMAGECMD:append:erofs = " ${OTAKIT_EROFS}"
EXTRA_IMAGECMD:append:erofs-lz4 = " ${OTAKIT_EROFS}"
EXTRA_IMAGECMD:append:erofs-lz4hc = " ${OTAKIT_EROFS}"

# Where openembedded-core sets a hash seed itself, it has to be the same: of two -E options mke2fs takes the last.
REPRODUCIBLE_EXT234_HASH_SEED = "${OTAKIT_UUID}"

# Else mke2fs writes the time of day.
export E2FSPROGS_FAKE_TIME = "${SOURCE_DATE_EPOCH}"
E2FSPROGS_FAKE_TIME[vardepsexclude] += "SOURCE_DATE_EPOCH"
