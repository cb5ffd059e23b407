#!/bin/bash
# Ray: one head node with the Jobs REST API on the dashboard port.
NAME=ray
STOP_GRACE=1  # Ray drains for half a minute otherwise
source "$(dirname "$0")/lib.sh"

install() { venv 'ray[default]==2.60.0'; }

launch() {
  local tmp
  # Ray's sockets need a short path (107 bytes), so its session folder is under /tmp
  [ ! -s "$RUN/tmpdir" ] || rm -rf "$(cat "$RUN/tmpdir")"
  tmp=$(mktemp -d /tmp/qd-ray.XXXXXX); echo "$tmp" >"$RUN/tmpdir"
  # the last variable keeps every port on 127.0.0.1 (on Linux, Ray swaps that address for the machine's own);
  # the pid namespace takes Ray's daemons along when its first process ends
  export RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 PATH="$VENV/bin:$PATH" RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
  spawn head unshare --user --map-current-user --pid --fork --kill-child --mount-proc "$VENV/bin/ray" start --head --block \
    --node-ip-address 127.0.0.1 --port "$(free_port)" --dashboard-host 127.0.0.1 \
    --dashboard-port "$PORT" --dashboard-agent-listen-port "$(free_port)" --ray-client-server-port "$(free_port)" \
    --num-cpus 2 --object-store-memory 100000000 --temp-dir "$tmp" --disable-usage-stats
  wait_http 120 head "http://127.0.0.1:$PORT/api/version"
  wait_http 60 head "http://127.0.0.1:$PORT/api/jobs/"
}

info() { json url "http://127.0.0.1:$PORT" jobs_url "http://127.0.0.1:$PORT/api/jobs/"; }
if [ "${1:-}" = wipe ]; then # its session folder stands outside $RUN
  session=$(cat "$QD_SERVICES_HOME/run/$NAME${QD_INSTANCE:+-$QD_INSTANCE}/tmpdir" 2>/dev/null || true)
  main wipe
  [ -z "$session" ] || rm -rf "$session"
else
  main "$@"
fi
