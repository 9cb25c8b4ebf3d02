"""Notes: GET /notes lists them, POST /notes adds one. They are in PostgreSQL; Redis counts the visits."""

import http.server
import json
import os
import socket
import subprocess

LISTENING = 3
"""The descriptor that systemd hands over: sd_listen_fds(3)."""
TABLE = "CREATE TABLE IF NOT EXISTS note (id bigserial PRIMARY KEY, text text NOT NULL);"


def sql(command: str, **values: str) -> list[str]:
    """The lines that a command of SQL gives; `:'NAME'` in it is a value."""
    arguments = [os.environ["PSQL"], "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "notes"]
    for name, value in values.items():
        arguments += ["-v", f"{name}={value}"]
    done = subprocess.run(arguments, input=command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.splitlines()


def count_visit() -> int:
    """How many there were, this one included."""
    with socket.create_connection(("127.0.0.1", 6379), timeout=5) as redis:
        redis.sendall(b"INCR visits\r\n")
        return int(redis.recv(100).strip(b":\r\n"))


class Notes(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """All notes."""
        self.answer({"notes": sql("SELECT text FROM note ORDER BY id;"), "visits": count_visit()})

    def do_POST(self) -> None:
        """One more."""
        text = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), 4096)).decode()
        sql("INSERT INTO note (text) VALUES (:'text');", text=text)
        self.answer({"added": text})

    def answer(self, document: object) -> None:
        """In JSON."""
        body = json.dumps(document).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """On the socket that is there already: it stays open while this program is restarted."""

    def __init__(self) -> None:
        """Neither bind nor listen: systemd has."""
        super().__init__(("127.0.0.1", 0), Notes, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=LISTENING)


if __name__ == "__main__":
    sql(TABLE)
    Server().serve_forever()
