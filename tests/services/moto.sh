#!/bin/bash
# S3-compatible object store (moto server), in memory: stopping it forgets every bucket.
NAME=moto
source "$(dirname "$0")/lib.sh"

install() { venv 'moto[s3,server]==5.2.5'; }

launch() {
  # without any credentials it answers 200 to everything: it does not judge signatures, so tests of signing look elsewhere
  spawn server "$VENV/bin/moto_server" -H 127.0.0.1 -p "$PORT"
  wait_http 60 server "http://127.0.0.1:$PORT/moto-api/data.json"
}

info() {
  json url "http://127.0.0.1:$PORT" bucket recordings region us-east-1 access_key testing secret_key testing \
    reset_url "http://127.0.0.1:$PORT/moto-api/reset"
}
main "$@"
