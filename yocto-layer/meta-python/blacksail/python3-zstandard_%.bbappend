# otapack runs on the build host.
BBCLASSEXTEND:append = " native"
