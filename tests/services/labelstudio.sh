#!/bin/bash
# Label Studio: annotation server, SQLite, one administrator with a REST token. The first start migrates its database,
# which takes most of a minute; its files are kept beside the installation, and later copies begin with them.
NAME=labelstudio
source "$(dirname "$0")/lib.sh"

install() { venv label-studio==1.23.2; }

launch() {
  local seed=$VENV/seed
  [ -n "$(ls -A "$DATA")" ] || [ ! -e "$seed/password" ] || cp -a "$seed/." "$DATA/"
  [ -s "$DATA/password" ] || random_secret >"$DATA/password"
  [ -s "$DATA/token" ] || random_secret >"$DATA/token"
  export LABEL_STUDIO_BASE_DATA_DIR="$DATA" DJANGO_DB=sqlite DEBUG=false LATEST_VERSION_CHECK=false \
    COLLECT_ANALYTICS=false FRONTEND_SENTRY_DSN= SENTRY_DSN= LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK=true \
    LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true SSRF_PROTECTION_ENABLED=false
  cd "$DATA"
  spawn server "$VENV/bin/label-studio" start --no-browser --internal-host 127.0.0.1 --host "http://127.0.0.1:$PORT" --port "$PORT" \
    --username admin@quarterdeck.test --password "$(cat "$DATA/password")" --user-token "$(cat "$DATA/token")"
  wait_http 240 server "http://127.0.0.1:$PORT/health"
  [ -e "$seed" ] || keep_seed "$seed"
}

# The database as it is after the migrations, taken through SQLite so that it is whole; nobody used it yet.
keep_seed() {
  local fresh="$1.$$"
  mkdir -p "$fresh"
  cp "$DATA/password" "$DATA/token" "$fresh/"
  [ ! -e "$DATA/.env" ] || cp "$DATA/.env" "$fresh/"
  "$PYTHON" -c 'import sqlite3,sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))' \
    "$DATA/label_studio.sqlite3" "$fresh/label_studio.sqlite3"
  mv "$fresh" "$1" 2>/dev/null || rm -rf "$fresh"
}

info() {
  json url "http://127.0.0.1:$PORT" username admin@quarterdeck.test password "$(cat "$DATA/password")" token "$(cat "$DATA/token")"
}
main "$@"
