"""A web server on this machine that hands out bytes, whole or cut, and zip archives to hand out."""

import hashlib
import io
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from routeret.downloads import PublicSet

MEMBERS = {
    "tiny/corpus.jsonl": '{"_id": "d1", "text": "eins"}\n{"_id": "d2", "title": "", "text": "zwei"}\n',
    "tiny/queries.jsonl": '{"_id": "q1", "text": "eins"}\n{"_id": "q2", "text": "zwei"}\n',
    "tiny/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n",
}


def zipped(members):
    """The bytes of a zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


class FileServer:
    """What a server hands out, by path, and what it was asked for."""

    def __init__(self, address):
        self.address = address
        self.files = {}
        self.asked = []

    def put(self, content, *, name="tiny", published=None, cut=0):
        """Hand out an archive; gives the public set that stands for it.

        Args:
            content: the bytes.
            name: of the set.
            published: the bytes whose size and sum are published, if others.
            cut: how many bytes of the end are held back.
        """
        self.files[f"/{name}.zip"] = (content, len(content) - cut)
        expected = content if published is None else published
        return PublicSet(
            name=name,
            url=f"{self.address}/{name}.zip",
            md5=hashlib.md5(expected, usedforsecurity=False).hexdigest(),
            n_bytes=len(expected),
        )


@contextmanager
def serving():
    """A server on a free port, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the library's name
            served.asked.append(self.path)
            if self.path not in served.files:
                self.send_error(404)
                return
            content, n_sent = served.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:n_sent])

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = FileServer(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
