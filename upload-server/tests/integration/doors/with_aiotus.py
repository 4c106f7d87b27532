"""Uploads a file with aiotus: address and file."""

import asyncio
import sys

import aiotus


async def main(address, path):
    config = aiotus.RetryConfiguration(retry_attempts=60, max_retry_period_seconds=1)
    with open(path, "rb") as file:
        metadata = {"filename": b"a b.bin", "note": "ä".encode()}
        return await aiotus.upload(address, file, metadata, config=config, chunksize=1 << 20)


url = asyncio.run(main(*sys.argv[1:]))
if url is None:
    sys.exit("error: nothing was stored")
print(url)
