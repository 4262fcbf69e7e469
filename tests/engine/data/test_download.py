"""A download arrives whole and checked, or leaves nothing but a message that says what to do."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest

from engine.data import download as download_module
from engine.data.catalogue import Download
from engine.data.download import download_text
from engine.data.errors import CorpusCancelledError, CorpusError

TEXT = b"All the world's a stage,\nand all the men and women merely players.\n" * 3000


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if name == "missing.txt":
            self.send_error(404)
        elif name == "moved.txt":
            self._redirect("/text.txt")
        elif name == "lured.txt":
            self._redirect("http://example.invalid/text.txt")
        elif name == "circle.txt":
            self._redirect("/circle.txt")
        elif name == "silent.txt":
            self.server.release.wait(30)  # type: ignore[attr-defined]
        elif name == "broken.txt":
            self._send(TEXT[:1000], len(TEXT))
        elif name == "unannounced.txt":
            self._send(TEXT[:1000], None)
        elif name == "longer.txt":
            self._send(TEXT + b"!", None)
        elif name == "other.txt":
            self._send(TEXT[:-1] + b"?", len(TEXT))
        elif name == "garbage.txt":
            self.wfile.write(b"\0\1\2 what is this\r\n\r\n")
        else:
            self._send(TEXT, len(TEXT))

    def _send(self, body: bytes, announced: int | None) -> None:
        self.send_response(200)
        if announced is not None:
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    release: threading.Event

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up early is part of these tests."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    running = _Server(("127.0.0.1", 0), _Handler)
    running.release = threading.Event()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.release.set()
    running.shutdown()
    running.server_close()
    thread.join()


def _wanted(server: str, name: str = "text.txt") -> Download:
    return Download(
        url=f"{server}/{name}",
        file="stage.txt",
        size_bytes=len(TEXT),
        sha256=hashlib.sha256(TEXT).hexdigest(),
    )


def _fetch(download: Download, folder: Path, **options: Any) -> Path:
    options.setdefault("timeout_s", 10.0)
    return download_text(download, folder, allow_loopback_http=True, **options)


def _assert_nothing_kept(folder: Path) -> None:
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["text.txt", "moved.txt"])
def test_arrives_whole_with_progress_up_to_its_size(server: str, tmp_path: Path, name: str) -> None:
    seen: list[tuple[int, int]] = []
    folder = tmp_path / "new" / "cache"
    path = _fetch(
        _wanted(server, name), folder, progress=lambda done, total: seen.append((done, total))
    )
    assert path == folder / "stage.txt"
    assert path.read_bytes() == TEXT
    assert list(folder.iterdir()) == [path]
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (len(TEXT), len(TEXT))
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.txt", "127.0.0.1 answered 404 Not Found"),
        ("circle.txt", "answered 302"),
        ("lured.txt", "http://example.invalid/text.txt is no https address"),
        ("broken.txt", r"the connection ended after 1,000 of 201,000 bytes"),
        ("unannounced.txt", "the connection ended after 1,000 of 201,000 bytes"),
        ("longer.txt", "more than the 201,000 bytes expected came"),
        ("other.txt", "not the text expected"),
        ("garbage.txt", "the connection to 127.0.0.1 failed"),
    ],
)
def test_failure_is_one_line_with_a_way_out_and_keeps_nothing(
    server: str, tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(CorpusError, match=reason) as caught:
        _fetch(_wanted(server, name), tmp_path / "cache")
    message = str(caught.value)
    assert "\n" not in message
    assert f"fetch {server}/{name} by hand and save it as {tmp_path}/cache/stage.txt" in message
    _assert_nothing_kept(tmp_path / "cache")


def test_a_failure_leaves_an_older_file_alone(server: str, tmp_path: Path) -> None:
    (tmp_path / "stage.txt").write_bytes(b"older")
    with pytest.raises(CorpusError):
        _fetch(_wanted(server, "other.txt"), tmp_path)
    assert (tmp_path / "stage.txt").read_bytes() == b"older"
    _fetch(_wanted(server), tmp_path)
    assert (tmp_path / "stage.txt").read_bytes() == TEXT


def test_a_server_that_never_answers_is_given_up(server: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"127\.0\.0\.1 doesn't answer"):
        _fetch(_wanted(server, "silent.txt"), tmp_path, timeout_s=0.1)
    _assert_nothing_kept(tmp_path)


def test_nobody_listening_is_said(server: str, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/text.txt"
        with pytest.raises(CorpusError, match=r"no connection to 127\.0\.0\.1 \("):
            _fetch(replace(_wanted(server), url=url), tmp_path)


@pytest.mark.parametrize("after_bytes", [0, 1])
def test_cancelling_keeps_nothing(server: str, tmp_path: Path, after_bytes: int) -> None:
    done_bytes = [0]

    def progress(done: int, _: int) -> None:
        done_bytes[0] = done

    with pytest.raises(CorpusCancelledError, match=r"the download of stage\.txt was cancelled"):
        _fetch(
            _wanted(server),
            tmp_path,
            progress=progress,
            cancelled=lambda: done_bytes[0] >= after_bytes,
        )
    assert done_bytes[0] < len(TEXT)
    _assert_nothing_kept(tmp_path)


@pytest.mark.parametrize(
    "url",
    ["http://example.invalid/a", "file:///etc/passwd", "ftp://example.invalid/a", "nonsense", ""],
)
@pytest.mark.parametrize("loopback", [True, False])
def test_only_https_is_spoken(tmp_path: Path, url: str, loopback: bool) -> None:
    wanted = Download(url, "stage.txt", 10, "0" * 64)
    with pytest.raises(CorpusError, match="is no https address"):
        download_text(wanted, tmp_path, allow_loopback_http=loopback)


def test_http_on_this_machine_needs_to_be_allowed(server: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is no https address"):
        download_text(_wanted(server), tmp_path)


def test_no_secure_connection_is_said(server: str, tmp_path: Path) -> None:
    url = server.replace("http://", "https://") + "/text.txt"
    with pytest.raises(CorpusError, match=r"no secure connection to 127\.0\.0\.1"):
        _fetch(replace(_wanted(server), url=url), tmp_path)


def test_a_name_that_nobody_knows_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    url = "https://corpora.invalid/text.txt"
    with pytest.raises(CorpusError, match=r"corpora\.invalid can't be found \(is this machine onl"):
        _fetch(replace(_wanted(server), url=url), tmp_path)


def test_the_proxy_is_named_without_its_password(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{port}")
        url = "https://corpora.invalid/text.txt"
        with pytest.raises(CorpusError) as caught:
            _fetch(replace(_wanted(server), url=url), tmp_path)
    assert f"(through the proxy 127.0.0.1:{port})" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_that_can_not_be_made_is_said(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CorpusError, match="can't be written"):
        _fetch(_wanted(server), tmp_path / "file" / "cache")


def test_a_full_disk_is_said_and_keeps_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = download_module.tempfile.NamedTemporaryFile

    class FullDisk:
        """Refuses every byte, and once more when it is closed with bytes still to write."""

        def __init__(self, file: IO[bytes]) -> None:
            self._file = file
            self.name = file.name

        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            self._file.close()
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        download_module.tempfile, "NamedTemporaryFile", lambda **options: FullDisk(real(**options))
    )
    with pytest.raises(CorpusError, match=r"can't be written \(No space left on device\)"):
        _fetch(_wanted(server), tmp_path)
    _assert_nothing_kept(tmp_path)
