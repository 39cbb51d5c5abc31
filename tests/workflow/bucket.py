"""A stand-in for object storage on this machine: as much of the S3 protocol as Snakemake's storage plugin speaks.

Snakemake, the plugin and boto3 are the real ones. Objects are files of a folder; multipart uploads (of files
above 8 MB) are not understood.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve the folders in `folder` as buckets; give the address."""

    class Handler(_Handler):
        root = folder

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    root: Path
    protocol_version = "HTTP/1.1"
    # an answer is sent in two parts: the second would wait 40 ms until the first is acknowledged
    disable_nagle_algorithm = True

    def do_HEAD(self) -> None:
        self._give()

    def do_GET(self) -> None:
        if self._is_bucket(self._path()):
            self._list()
        else:
            self._give()

    def do_PUT(self) -> None:
        path, content = self._path(), self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            self._answer(501)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self._answer(200)

    def do_DELETE(self) -> None:
        if self._is_bucket(self._path()):
            self._answer(409)  # the plugin removes a bucket that it thinks empty: one of a test never is
            return
        self._path().unlink(missing_ok=True)
        self._answer(204)

    def log_message(self, *message: object) -> None:
        """Keep quiet."""

    def _path(self) -> Path:
        return self.root / unquote(urlsplit(self.path).path).lstrip("/")

    def _is_bucket(self, path: Path) -> bool:
        return path.parent == self.root and path.is_dir()

    def _give(self) -> None:
        path = self._path()
        if path.is_file():
            self._answer(200, path.read_bytes(), path.stat().st_mtime)
        else:
            self._answer(200 if self._is_bucket(path) else 404)

    def _list(self) -> None:
        bucket = self._path()
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        files = sorted(path for path in bucket.rglob("*") if path.is_file())
        keys = {str(path.relative_to(bucket)): path.stat() for path in files}
        entries = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><Size>{stat.st_size}</Size>"
            f"<LastModified>{_timestamp(stat.st_mtime)}</LastModified></Contents>"
            for key, stat in keys.items()
            if key.startswith(prefix)
        )
        how = "<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
        self._answer(200, f"<ListBucketResult>{how}{entries}</ListBucketResult>".encode())

    def _answer(self, status: int, content: bytes = b"", changed: float = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", formatdate(changed, usegmt=True))
        self.send_header("ETag", '"0"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
