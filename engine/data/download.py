"""Fetching one text of the catalogue: HTTPS, bounded, checked, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import os
import socket
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from engine.data.catalogue import Download
from engine.data.errors import CorpusCancelledError, CorpusError
from engine.data.text_files import Cancelled, Progress, shown

TIMEOUT_S = 20.0
_CHUNK_BYTES = 64 << 10
_HEADERS = {"User-Agent": "trickster", "Accept-Encoding": "identity"}


def download_text(
    download: Download,
    folder: Path,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    timeout_s: float = TIMEOUT_S,
    allow_loopback_http: bool = False,
) -> Path:
    """Fetch ``download`` into ``folder`` and return the file's path.

    The file is written aside and gets its name only when size and SHA-256 are right. ``timeout_s``
    bounds every single wait for the network. ``allow_loopback_http`` lets tests use a server of
    their own on this machine. CorpusError is raised for whatever goes wrong, with a way out.
    """
    target = folder / download.file
    try:
        with _written_aside(target) as file:
            _stream(download, file, progress, cancelled, timeout_s, allow_loopback_http)
        return target
    except _DownloadError as problem:
        reason = str(problem)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"{_host(download)} answered {error.code} {' '.join(error.reason.split())}"
    except (OSError, http.client.HTTPException) as error:
        reason = _network_reason(download, error)
    raise CorpusError(
        f"{download.file} wasn't downloaded: {shown(reason)}; try again, or fetch {download.url} "
        f"by hand and save it as {target}"
    )


class _DownloadError(Exception):
    """Why a download is no good, where the network itself is not to blame."""


@contextlib.contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    """Tells the system's refusals to write from those of the network."""
    try:
        yield
    except OSError as error:
        raise _DownloadError(f"{folder} can't be written ({error.strerror or error})") from None


@contextlib.contextmanager
def _written_aside(target: Path) -> Iterator[IO[bytes]]:
    """A file that becomes ``target`` when the block ends well and is gone otherwise."""
    with _on_disk(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed before it is renamed)
            dir=target.parent, prefix=".part-", delete=False
        )
    part = Path(file.name)
    try:
        yield file
        with _on_disk(target.parent):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            part.replace(target)
    finally:
        # After a failed write, closing tries to write once more; the first failure is the news.
        with contextlib.suppress(OSError):
            file.close()
        part.unlink(missing_ok=True)


def _stream(
    download: Download,
    file: IO[bytes],
    progress: Progress | None,
    cancelled: Cancelled | None,
    timeout_s: float,
    allow_loopback_http: bool,
) -> None:
    _refuse_unsafe(download.url, allow_loopback_http)
    opener = urllib.request.build_opener(_SafeRedirects(allow_loopback_http))
    request = urllib.request.Request(download.url, headers=_HEADERS)  # noqa: S310 (checked above)
    folder = Path(file.name).parent
    digest, done = hashlib.sha256(), 0
    _stop_if(cancelled, download)
    with opener.open(request, timeout=timeout_s) as response:
        while chunk := response.read1(_CHUNK_BYTES):
            done += len(chunk)
            if done > download.size_bytes:
                raise _DownloadError(f"more than the {download.size_bytes:,} bytes expected came")
            with _on_disk(folder):
                file.write(chunk)
            digest.update(chunk)
            if progress is not None:
                progress(done, download.size_bytes)
            _stop_if(cancelled, download)
    if done < download.size_bytes:
        raise _DownloadError(
            f"the connection ended after {done:,} of {download.size_bytes:,} bytes"
        )
    if digest.hexdigest() != download.sha256:
        raise _DownloadError("what came is not the text expected (its SHA-256 differs)")


def _stop_if(cancelled: Cancelled | None, download: Download) -> None:
    if cancelled is not None and cancelled():
        raise CorpusCancelledError(f"the download of {download.file} was cancelled")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections only to where a download may come from."""

    def __init__(self, allow_loopback_http: bool) -> None:
        self._allow_loopback_http = allow_loopback_http

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _refuse_unsafe(newurl, self._allow_loopback_http)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_unsafe(url: str, allow_loopback_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return
    if parts.scheme == "http" and allow_loopback_http and _is_loopback(parts.hostname or ""):
        return
    raise _DownloadError(f"{url} is no https address")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(download: Download) -> str:
    return urlsplit(download.url).hostname or download.url


def _network_reason(download: Download, error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    host = _host(download)
    if isinstance(cause, ssl.SSLError):
        text = f"no secure connection to {host} ({cause.reason or cause})"
    elif isinstance(cause, socket.gaierror):
        text = f"{host} can't be found (is this machine online?)"
    elif isinstance(cause, TimeoutError):
        text = f"{host} doesn't answer"
    elif isinstance(cause, OSError):
        text = f"no connection to {host} ({cause.strerror or cause})"
    else:
        text = f"the connection to {host} failed ({type(cause).__name__})"
    proxy = urllib.request.getproxies().get("https")
    # A proxy's address may carry a password; what comes after it names the machine.
    return f"{text} (through the proxy {proxy.rpartition('@')[2]})" if proxy else text
