SUMMARY = "An image with the agent, and the package of it"
DESCRIPTION = "What core-image-minimal has, the agent, and the package that updates devices to this image"
SECTION = "admin"
LICENSE = "Apache-2.0"

IMAGE_CLASSES += "image_types_otakit"
IMAGE_FSTYPES = "ext4 otakit"

inherit core-image

IMAGE_INSTALL += "otakit otakit-config"
