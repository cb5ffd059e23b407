"""The part of OPA's REST API that a policy client uses, over a real Rego engine (regopy, that is rego-cpp).

    python opa_server.py PORT TOKEN_FILE

PUT/GET/DELETE /v1/policies/ID, PUT/GET /v1/data/PATH, POST /v1/data/PATH {"input": ...}, GET /health. Everything but
/health wants the bearer token, as OPA does when it is started with `--authentication=token` and a policy for it. It is not
OPA: no bundles, decision logs, partial evaluation, metrics or PATCH.

For tests: PUT /faults {"mode": "slow" | "error" | "garbage" | "", "only": WORD} makes it misbehave at paths with that word; GET /asked says how often it was asked.
"""

import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from regopy import Interpreter, RegoError

POLICIES = {}
DATA = {}
LOCK = threading.Lock()
STATE = {"token": "", "mode": "", "only": "", "asked": 0}


class BadRequest(Exception):
    pass


def evaluate(path, value):
    """The result of a path as OPA gives it: no `result` at all when it is not defined."""
    query = "found = data" + "".join(f"[{json.dumps(part)}]" for part in path)
    engine = Interpreter()
    for name, text in POLICIES.items():
        engine.add_module(name, text)
    engine.add_data(DATA)
    if value is not None:
        engine.set_input(value)
    answer = str(engine.query(query))
    if answer == "undefined":
        return {}
    # bound to a name: asked for by itself, what is false reads as undefined
    bindings = json.loads(answer).get("bindings") or {}
    return {"result": bindings["found"]} if "found" in bindings else {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        head, *path = [part for part in self.path.split("?")[0].split("/") if part]
        kind = path.pop(0) if head == "v1" and path else head
        if kind != "health" and self.headers.get("Authorization") != f"Bearer {STATE['token']}":
            self.reply(401, {"code": "unauthorized", "message": "request rejected by administrative policy"})
            return
        if kind == "data" and self.command == "POST":
            STATE["asked"] += 1
            mode = STATE["mode"] if STATE["only"] in self.path else ""
            if mode == "slow":
                time.sleep(4)
            elif mode == "error":
                self.reply(500, {"code": "internal_error", "message": "evaluation failed"})
                return
            elif mode == "garbage":
                self.reply_bytes(200, b'{"result": tru')
                return
        try:
            with LOCK:
                self.reply(*self.dispatch(self.command, kind, path, body))
        except (BadRequest, ValueError) as error:
            self.reply(400, {"code": "invalid_parameter", "message": str(error)})
        except RegoError as error:
            said = {"code": "internal_error", "message": "error(s) occurred while evaluating query"}
            self.reply(500, {**said, "errors": [{"message": str(error)}]})

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def dispatch(self, method, kind, path, body):
        if kind == "health":
            return 200, {}
        if kind == "faults":
            STATE.update(json.loads(body))
            return 204, None
        if kind == "asked":
            return 200, {"asked": STATE["asked"]}
        if kind == "data" and method in ("GET", "POST"):
            request = json.loads(body) if body else {}
            return 200, {**evaluate(path, request.get("input")), "decision_id": str(uuid.uuid4())}
        if kind == "data" and method == "PUT":
            node = DATA
            for part in path[:-1]:
                node = node.setdefault(part, {})
            if path:
                node[path[-1]] = json.loads(body)
            else:
                DATA.clear()
                DATA.update(json.loads(body))
            return 204, None
        name = "/".join(path)
        if kind == "policies" and method == "PUT":
            try:
                Interpreter().add_module(name, body.decode())
            except RegoError as error:
                raise BadRequest(f"error(s) occurred while compiling module(s): {error}") from error
            POLICIES[name] = body.decode()
            return 200, {}
        if kind == "policies" and method == "GET":
            return 200, {"result": [{"id": key, "raw": text} for key, text in POLICIES.items()]}
        if kind == "policies" and method == "DELETE":
            gone = POLICIES.pop(name, None) is not None
            return (200, {}) if gone else (404, {"code": "resource_not_found", "message": "policy not found"})
        return 404, {"code": "resource_not_found", "message": "not found"}

    def reply(self, status, value):
        self.reply_bytes(status, b"" if value is None else json.dumps(value).encode())

    def reply_bytes(self, status, body):
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked did not wait

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    STATE["token"] = Path(sys.argv[2]).read_text("utf-8").strip()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
