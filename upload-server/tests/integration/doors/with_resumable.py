"""Uploads a file with resumable-upload, which checks each request by SHA-1: address, file and how."""

import sys

from resumable_upload import TusClient

address, path, *words = sys.argv[1:]
client = TusClient(
    address,
    chunk_size=1 << 20,
    checksum="sha256" if "sha256" in words else True,
    max_retries=40,
    retry_delay=0.25,
    override_patch_method="override" in words,
)
metadata = {"filename": "a b.bin"}
if "deferred" in words:
    url = client.create_deferred_upload(metadata)
    with open(path, "rb") as file:
        uploader = client.create_uploader(file_stream=file, upload_url=url)
        uploader.upload()
else:
    url = client.upload_file(path, metadata=metadata)
print(url)
