#!/bin/bash
# A policy server with OPA's REST shape over a real Rego evaluator (regopy, that is rego-cpp): the OPA server itself is in no
# package registry. It wants the bearer token it prints the file of.
NAME=opa
source "$(dirname "$0")/lib.sh"

install() { venv regopy==1.5.2; }

launch() {
  local here
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  [ -e "$DATA/token" ] || (umask 077; random_secret >"$DATA/token")
  spawn server "$VENV/bin/python" "$here/opa_server.py" "$PORT" "$DATA/token"
  wait_http 20 server "http://127.0.0.1:$PORT/health"
}

info() { json url "http://127.0.0.1:$PORT" token_file "$DATA/token"; }
main "$@"
