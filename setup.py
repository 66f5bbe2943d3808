"""Only what pyproject.toml cannot say: the native modules and their stable ABI."""

from setuptools import setup

setup(
    cffi_modules=[
        "ota/native/build_aes.py:builder",
        "ota/native/build_archive.py:builder",
        "ota/native/build_chunker.py:builder",
        "ota/native/build_crypto.py:builder",
        "ota/native/build_disk.py:builder",
        "ota/native/build_memory.py:builder",
        "ota/native/build_rsync.py:builder",
        "ota/native/build_zck.py:builder",
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
