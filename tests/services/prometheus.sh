#!/bin/bash
# Prometheus: scrape targets come from a file that is read again every second.
NAME=prometheus
source "$(dirname "$0")/lib.sh"

install() { debs prometheus; }

launch() {
  [ -e "$DATA/targets.json" ] || echo '[]' >"$DATA/targets.json"
  cat >"$DATA/prometheus.yml" <<YML
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: robots
    honor_labels: true
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
YML
  spawn prometheus "$DEB/usr/bin/prometheus" --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/tsdb" \
    --web.listen-address="127.0.0.1:$PORT" --web.external-url="http://127.0.0.1:$PORT"
  wait_http 30 prometheus "http://127.0.0.1:$PORT/-/ready"
}

info() { json url "http://127.0.0.1:$PORT" targets_file "$DATA/targets.json" log "$RUN/prometheus.log"; }
main "$@"
