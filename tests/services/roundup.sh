#!/bin/bash
# Roundup: issue tracker with a REST API (classic template, SQLite).
# data/tracker/webhook.json {"url", "secret"}: where a detector posts each new or changed issue (default: nowhere)
# QD_RATE_LIMIT    REST calls a minute for each user, then 429 (default: no limit)
NAME=roundup
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$(dirname "$0")/lib.sh"

# It refuses to run as root: then it runs on the caller's own files under an ordinary user's id
UNROOT=()
[ "$(id -u)" != 0 ] || UNROOT=(unshare --user --map-user=65534 --map-group=65534)

install() { venv roundup==2.6.0; }

launch() {
  local home=$DATA/tracker url="http://127.0.0.1:$PORT/qd/"
  [ -s "$DATA/password" ] || random_secret >"$DATA/password"
  chmod 600 "$DATA/password"
  if [ ! -e "$DATA/made" ]; then
    rm -rf "$home"
    "$VENV/bin/roundup-admin" -i "$home" install classic sqlite \
      "admin_email=admin@quarterdeck.test,tracker_web=$url,mail_domain=quarterdeck.test,mail_host=localhost,mail_debug=$DATA/mail.txt" >&2
    # every call proves its password anew, at 250,000 rounds of PBKDF2: 0.2 s that test nothing of ours
    sed -i 's/^#* *password_pbkdf2_default_rounds = .*/password_pbkdf2_default_rounds = 1000/' "$home/config.ini"
    cp "$HERE/roundup_webhook.py" "$home/detectors/webhook.py"
    "$VENV/bin/roundup-admin" -i "$home" initialise "$(cat "$DATA/password")" >&2
    touch "$DATA/made"
  fi
  sed -i "s#^web = .*#web = $url#; s/^api_calls_per_interval = .*/api_calls_per_interval = ${QD_RATE_LIMIT:-0}/; s/^api_interval_in_sec = .*/api_interval_in_sec = 60/" "$home/config.ini"
  spawn server ${UNROOT[@]+"${UNROOT[@]}"} "$VENV/bin/roundup-server" -n 127.0.0.1 -p "$PORT" -t thread "qd=$home"
  wait_http 30 server "$url"
}

info() {
  json url "http://127.0.0.1:$PORT/qd/" rest_url "http://127.0.0.1:$PORT/qd/rest" username admin password_file "$DATA/password" tracker "$DATA/tracker"
}
main "$@"
