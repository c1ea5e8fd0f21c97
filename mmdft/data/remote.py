"""Images given by a web address, for sources with `allow_remote`: fetched once, kept in a cache."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from mmdft.errors import DataError
from mmdft.files import write_bytes

MAX_BYTES = 50_000_000
SECONDS = 30
# Waits between attempts, where trying again may help.
_PAUSES = (1, 4)


def fetched(address: str) -> Path:
    """The file that an address holds; downloaded at the first call, then taken from the cache.

    The cache is `mmdft/images` in `$XDG_CACHE_HOME`, by default `~/.cache`. What an address holds
    later is not looked at again: the data of a run should not change under it.

    Raises:
        DataError: the address is not http or https, does not answer, or holds more than MAX_BYTES.
    """
    _check_scheme(address, address)
    path = _cache() / sha256(address.encode()).hexdigest()
    if not path.is_file():
        write_bytes(path, _download(address))
    return path


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmdft" / "images"


def _check_scheme(address: str, given: str) -> None:
    if urlsplit(address).scheme.lower() not in ("http", "https"):
        raise DataError(
            f"image {given!r} is not at an http or https address; download it and give its path"
        )


def _download(address: str) -> bytes:
    for pause in (*_PAUSES, None):
        try:
            return _read(address)
        except HTTPError as error:
            # The server will say the same again, unless it is too busy.
            if pause is None or (error.code < 500 and error.code != 429):
                raise _unreachable(address, f"HTTP {error.code} {error.reason}") from error
        except (OSError, HTTPException, ValueError) as error:
            if pause is None or isinstance(error, ValueError):
                raise _unreachable(address, str(error)) from error
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _read(address: str) -> bytes:
    # Some servers refuse callers that do not name themselves.
    request = Request(address, headers={"User-Agent": "mmdft"})
    with urlopen(request, timeout=SECONDS) as answer:
        _check_scheme(answer.geturl(), address)
        content: bytes = answer.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"image {address!r} is over {MAX_BYTES:,} bytes; scale it down")
        if answer.length:
            raise OSError(f"{answer.length:,} bytes are missing at its end")
        return content


def _unreachable(address: str, reason: str) -> DataError:
    return DataError(
        f"image {address!r} could not be fetched ({reason}); run again later, or leave the row out"
    )
