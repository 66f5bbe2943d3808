"""What the layer computes; bitbake finds it by `addpylib` in conf/layer.conf."""

BBIMPORTS = ["release"]
