# Shared part of the service scripts. Source it, set NAME, define install(), launch() and info(), then: main "$@"
#
#   NAME.sh install          fetch what the service needs into $QD_SERVICES_HOME
#   NAME.sh start [PORT]     install if needed, start on loopback, print one JSON object
#   NAME.sh status           print that JSON object again; exit 3 when stopped
#   NAME.sh stop             end the service's own processes, keep its data
#   NAME.sh wipe             stop, then delete the service's data and logs
#
# QD_SERVICES_HOME   cache, data, logs and pid files (default ~/.cache/quarterdeck-services)
# QD_INSTANCE        suffix that lets several copies of one service run side by side
#
# Needs bash, python3, setsid, flock and awk; nothing is installed on the machine itself.
set -euo pipefail
umask 022
QD_SERVICES_HOME=${QD_SERVICES_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/quarterdeck-services}
PYTHON=${QD_PYTHON:-python3}

say() { echo "$NAME: $*" >&2; }
die() { say "$*"; exit 1; }

free_port() {
  "$PYTHON" -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'
}

random_secret() { "$PYTHON" -c 'import secrets; print(secrets.token_hex(16))'; }

# json KEY VALUE ...
json() {
  "$PYTHON" -c 'import json,sys
a=sys.argv[1:]; print(json.dumps(dict(zip(a[::2],a[1::2]))))' "$@"
}

# venv REQUIREMENT ...  makes $VENV once; the stamp records what is in it
venv() {
  VENV=$QD_SERVICES_HOME/venv/$NAME
  local stamp="$*"
  [ "$(cat "$VENV/.stamp" 2>/dev/null)" = "$stamp" ] && return
  say "installing $stamp"
  rm -rf "$VENV"
  "$PYTHON" -m venv "$VENV"
  "$VENV/bin/python" -m pip install --disable-pip-version-check "$@" >"$VENV/pip.log" 2>&1 ||
    { tail -n 5 "$VENV/pip.log" >&2; die "pip could not install $stamp"; }
  echo "$stamp" >"$VENV/.stamp"
}

# debs PACKAGE ...  unpacks Debian packages under $DEB: no maintainer script runs, no daemon is started by apt
debs() {
  DEB=$QD_SERVICES_HOME/deb/$NAME
  local stamp="$*" pkg
  [ "$(cat "$DEB/.stamp" 2>/dev/null)" = "$stamp" ] && return
  command -v apt-get >/dev/null || die "needs apt-get to fetch $stamp"
  say "unpacking $stamp"
  rm -rf "$DEB"; mkdir -p "$DEB/.debs"
  for pkg in "$@"; do
    apt-cache show "$pkg" >/dev/null 2>&1 || { apt-get update -qq >&2; break; }
  done
  (cd "$DEB/.debs" && apt-get -o APT::Sandbox::User=root -qq download "$@" >&2)
  for pkg in "$DEB"/.debs/*.deb; do dpkg-deb -x "$pkg" "$DEB"; done
  rm -rf "$DEB/.debs"
  echo "$stamp" >"$DEB/.stamp"
}

# A pid counts as ours only while its start time is the one that was recorded.
_started() { awk '{sub(/.*\) /, ""); if ($1 != "Z") print $20}' "/proc/$1/stat" 2>/dev/null || true; }
_alive() { # PIDFILE
  local pid when
  read -r pid when <"$1" 2>/dev/null || return 1
  [ -n "$when" ] && [ "$(_started "$pid")" = "$when" ]
}

# spawn LABEL COMMAND ...  starts COMMAND as leader of its own process group
spawn() {
  local label=$1 pid; shift
  setsid "$@" >>"$RUN/$label.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(_started $pid)" >"$RUN/$label.pid"
}

fail_start() { tail -n 20 "$RUN/$1.log" >&2; stop; die "$1 $2"; }

# wait_for SECONDS LABEL COMMAND ...  until COMMAND succeeds; fails early if LABEL died
wait_for() {
  local until=$((SECONDS + $1)) label=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    _alive "$RUN/$label.pid" || fail_start "$label" "exited while starting"
    [ $SECONDS -lt $until ] || fail_start "$label" "did not answer in time"
    sleep 0.2
  done
}
wait_http() {
  wait_for "$1" "$2" "$PYTHON" -c 'import sys,urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5).read()' "$3"
}

running() {
  local f any=1
  for f in "$RUN"/*.pid; do
    [ -e "$f" ] || return 1
    _alive "$f" || return 1
    any=0
  done
  return $any
}

stop() {
  local f pid
  for f in "$RUN"/*.pid; do
    [ -e "$f" ] || continue
    if _alive "$f"; then
      read -r pid _ <"$f"
      kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null || true
      for _ in $(seq $((${STOP_GRACE:-10} * 10))); do _alive "$f" || break; sleep 0.1; done
      if _alive "$f"; then kill -KILL -- "-$pid" 2>/dev/null || true; fi
    fi
    rm -f "$f"
  done
  rm -f "$RUN/info.json"
}

main() {
  RUN=$QD_SERVICES_HOME/run/$NAME${QD_INSTANCE:+-$QD_INSTANCE}
  DATA=$RUN/data
  mkdir -p "$QD_SERVICES_HOME/run"
  [ "${1:-}" = status ] || mkdir -p "$RUN" "$DATA"
  case ${1:-} in
    install|start) exec 9>"$QD_SERVICES_HOME/run/.$NAME.lock"; flock 9; install; flock -u 9 ;;
  esac
  case ${1:-} in
    install) ;;
    start)
      if running && [ -s "$RUN/info.json" ]; then cat "$RUN/info.json"; return; fi
      stop
      PORT=${2:-$(free_port)}
      launch
      info >"$RUN/info.tmp"; chmod 600 "$RUN/info.tmp"; mv "$RUN/info.tmp" "$RUN/info.json"
      cat "$RUN/info.json" ;;
    status) if running; then cat "$RUN/info.json"; else echo '{"running": false}'; exit 3; fi ;;
    stop) stop ;;
    wipe) stop; rm -rf "$RUN" ;;
    *) echo "usage: $0 install|start [PORT]|status|stop|wipe" >&2; exit 2 ;;
  esac
}
