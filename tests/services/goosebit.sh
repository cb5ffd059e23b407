#!/bin/bash
# gooseBit: OTA update server (hawkBit DDI for devices, its own REST API for operators), SQLite.
NAME=goosebit
source "$(dirname "$0")/lib.sh"

install() { venv goosebit==0.2.12; }

launch() {
  [ -s "$DATA/password" ] || random_secret >"$DATA/password"
  [ -s "$DATA/key" ] || random_secret >"$DATA/key"
  chmod 600 "$DATA/password" "$DATA/key"
  cd "$DATA"
  export GOOSEBIT_DB_URI="sqlite://$DATA/db.sqlite3" GOOSEBIT_ARTIFACTS_DIR="$DATA/artifacts" \
    GOOSEBIT_SECRET_KEY="$(cat "$DATA/key")" GOOSEBIT_POLL_TIME="${GOOSEBIT_POLL_TIME:-00:00:05}"
  "$VENV/bin/python" - <<'PY' >>"$RUN/server.log" 2>&1
import asyncio, os, goosebit.db
from aerich import Command
from goosebit.db.config import TORTOISE_CONF
from goosebit.db.models import Hardware
async def migrate():
    path = os.path.join(os.path.dirname(goosebit.db.__file__), "migrations")
    async with Command(TORTOISE_CONF, app="models", location=path) as command:
        await command.init()
        await command.upgrade()
        # devices that first poll at the same moment would each insert this row, and two of them break the server
        await Hardware.get_or_create(model="default", revision="default")
asyncio.run(migrate())
PY
  spawn server "$VENV/bin/python" -m uvicorn goosebit:app --host 127.0.0.1 --port "$PORT"
  wait_http 60 server "http://127.0.0.1:$PORT/openapi.json"
  # the first user of an empty database becomes the administrator; the password goes by standard input
  "$PYTHON" -c 'import sys,urllib.parse,urllib.request
form = {"username": "admin@quarterdeck.test", "password": sys.stdin.read().strip()}
urllib.request.urlopen(sys.argv[1], urllib.parse.urlencode(form).encode(), timeout=20).read()' \
    "http://127.0.0.1:$PORT/setup" <"$DATA/password"
}

info() {
  json url "http://127.0.0.1:$PORT" ddi_url "http://127.0.0.1:$PORT/DEFAULT/controller/v1" \
    username admin@quarterdeck.test password_file "$DATA/password" log "$RUN/server.log"
}
main "$@"
