"""A web server that keeps what is posted to it."""

from __future__ import annotations

import asyncio
import http.server
import threading


class Listener:
    """`with Listener() as l`: `l.url`; `await l.until(3)` gives (headers in lower case, body) of the first three and more."""

    def __enter__(self) -> Listener:
        seen: list[tuple[dict[str, str], bytes]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return None

        self._seen = seen
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    async def until(self, count: int, seconds: float = 10.0) -> list[tuple[dict[str, str], bytes]]:
        for _ in range(int(seconds / 0.1)):
            if len(self._seen) >= count:
                break
            await asyncio.sleep(0.1)
        return list(self._seen)
