#!/bin/bash
# Prometheus and Alertmanager: scrape targets come from a file that is read again every second; rules and Alertmanager's
# configuration are files that are read again on POST /-/reload.
#
# NAME.sh start [PORT]   PORT is Prometheus's; Alertmanager takes a free one
NAME=prometheus
source "$(dirname "$0")/lib.sh"

install() { debs prometheus prometheus-alertmanager; }

launch() {
  local am
  am=$(free_port)
  [ -e "$DATA/targets.json" ] || echo '[]' >"$DATA/targets.json"
  [ -e "$DATA/rules.yml" ] || cat >"$DATA/rules.yml" <<'YML'
groups:
  - name: robots
    rules:
      - alert: RobotBatteryLow
        expr: robot_battery_ratio < 0.2
        for: 1s
        labels: {severity: warning}
        annotations: {summary: "{{ $labels.robot }} battery at {{ $value | humanizePercentage }}"}
YML
  cat >"$DATA/prometheus.yml" <<YML
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:$am"]}]}]}
scrape_configs:
  - job_name: robots
    honor_labels: true
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
YML
  [ -e "$DATA/alertmanager.yml" ] || cat >"$DATA/alertmanager.yml" <<'YML'
route: {receiver: nobody, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: nobody}]
YML
  echo "$am" >"$RUN/alertmanager.port"
  # Debian's Alertmanager reads a template from a fixed place under /usr/share: where the package is not installed, show
  # it that folder in a mount namespace of its own.
  local ns=()
  [ -e /usr/share/prometheus/alertmanager/default.tmpl ] ||
    ns=(unshare --user --map-current-user --mount --keep-caps sh -c
      "mount -t overlay overlay -o lowerdir=$DEB/usr/share:/usr/share /usr/share && exec \"\$@\"" sh)
  spawn alertmanager ${ns[@]+"${ns[@]}"} "$DEB/usr/bin/prometheus-alertmanager" --config.file="$DATA/alertmanager.yml" \
    --storage.path="$DATA/alertmanager" --web.listen-address="127.0.0.1:$am" \
    --web.external-url="http://127.0.0.1:$am" --cluster.listen-address=
  spawn prometheus "$DEB/usr/bin/prometheus" --config.file="$DATA/prometheus.yml" --storage.tsdb.path="$DATA/tsdb" \
    --web.listen-address="127.0.0.1:$PORT" --web.external-url="http://127.0.0.1:$PORT" --web.enable-lifecycle
  wait_http 30 prometheus "http://127.0.0.1:$PORT/-/ready"
  wait_http 30 alertmanager "http://127.0.0.1:$am/-/ready"
}

info() {
  json url "http://127.0.0.1:$PORT" alertmanager_url "http://127.0.0.1:$(cat "$RUN/alertmanager.port")" \
    targets_file "$DATA/targets.json" rules_file "$DATA/rules.yml" alertmanager_file "$DATA/alertmanager.yml" \
    log "$RUN/prometheus.log"
}
main "$@"
