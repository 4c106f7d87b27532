"""A backend that knows its visitors by a session cookie, and says so to the upload server.

Arguments: a directory, in which a file of a session's name ends that session. The first line that is printed
is the port; each further one is a question, as JSON.
"""

import json
import pathlib
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SESSIONS = {
    "of-alice": {"owner": "alice", "slots": ["resumable"], "max_file_size": 8 << 20},
    "of-bob": {"owner": "bob"},
}
ENDED = pathlib.Path(sys.argv[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("app_session")
        session = cookie.value if cookie else ""
        visitor = SESSIONS.get(session)
        if visitor and (ENDED / session).exists():
            visitor = None
        names = ["x-upload-stage", "x-upload-slot", "x-forwarded-for", "x-forwarded-host", "x-forwarded-uri"]
        seen = {name: self.headers.get(name) for name in names}
        print(json.dumps({"owner": visitor and visitor["owner"], **seen}), flush=True)
        body = json.dumps(visitor).encode() if visitor else b""
        self.send_response(200 if visitor else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
