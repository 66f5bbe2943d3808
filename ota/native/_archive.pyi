# What cffi generates: C types have no Python spelling, hence Any.
from typing import Any

ffi: Any
lib: Any
