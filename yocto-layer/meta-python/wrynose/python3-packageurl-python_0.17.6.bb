require meta-python/python3-packageurl-python.inc
