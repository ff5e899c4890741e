"""A daemon of docker that has every image, makes nothing, and keeps what clients want to create."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from support.stores.http_server import QuietHandler, serving

Json = dict[str, object]
API = "1.44"
"""The first version in which a container is created together with all of its networks."""


@contextmanager
def docker_stand_in() -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the value of DOCKER_HOST, and the bodies of the requests that created containers, by name."""
    containers: dict[str, Json] = {}
    networks: dict[str, Json] = {}

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, body: object, status: HTTPStatus = HTTPStatus.OK) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Api-Version", API)
            self.send_header("Ostype", "linux")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else data)

        def not_found(self, what: str) -> None:
            self.answer({"message": f"{what} not found"}, HTTPStatus.NOT_FOUND)

        def do_HEAD(self) -> None:
            self.answer({})

        def do_GET(self) -> None:
            path = re.sub(r"^/v[0-9.]+", "", urlsplit(self.path).path)
            if path == "/version":
                self.answer({"Version": "27.0.0", "ApiVersion": API, "MinAPIVersion": "1.24", "Os": "linux"})
            elif path == "/info":
                self.answer({"ServerVersion": "27.0.0", "OSType": "linux", "Architecture": "x86_64"})
            elif path == "/networks":
                self.answer([{"Name": name, "Id": name, **body} for name, body in networks.items()])
            elif path.startswith("/networks/"):
                name = path.removeprefix("/networks/")
                if name in networks:
                    self.answer({"Name": name, "Id": name, **networks[name]})
                else:
                    self.not_found(f"network {name}")
            elif re.fullmatch(r"/images/.*/json", path):
                self.answer({"Id": "sha256:1", "Os": "linux", "Architecture": "amd64", "Config": {}})
            elif re.fullmatch(r"/(containers|images)/json", path):
                self.answer([])
            elif made := re.fullmatch(r"/containers/(.*)/json", path):
                settings: Json = {"Config": {"Labels": {}}, "HostConfig": {}, "NetworkSettings": {"Networks": {}}}
                self.answer({"Id": made[1], "Name": made[1], "State": {"Status": "created"}, **settings})
            elif path == "/volumes":
                self.answer({"Volumes": []})
            elif path == "/_ping":
                self.answer("OK")
            else:
                self.not_found(path)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            address = urlsplit(self.path)
            if address.path.endswith("/containers/create"):
                name = parse_qs(address.query)["name"][0]
                containers[name] = body
                self.answer({"Id": name, "Warnings": []}, HTTPStatus.CREATED)
            elif address.path.endswith("/networks/create"):
                networks[body["Name"]] = {"Labels": body.get("Labels"), "Driver": "bridge", "Scope": "local"}
                self.answer({"Id": body["Name"]}, HTTPStatus.CREATED)
            else:
                self.answer({"Name": body.get("Name", "")}, HTTPStatus.CREATED)

    with serving(Handler) as port:
        yield f"tcp://127.0.0.1:{port}", containers
