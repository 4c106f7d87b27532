"""Uploads a file with tuspy: address and file."""

import sys

from tusclient.client import TusClient

address, path = sys.argv[1:]
uploader = TusClient(address).uploader(
    path,
    chunk_size=1 << 20,
    retries=40,
    retry_delay=0.25,
    metadata={"filename": "a b.bin"},
)
uploader.upload()
print(uploader.url)
