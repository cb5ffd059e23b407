#!/bin/bash
# MLflow: tracking server and model registry, SQLite, artifacts served by the server itself. 3.18.0 can't be installed
# (its mlflow-skinny of the same version is not published).
NAME=mlflow
source "$(dirname "$0")/lib.sh"

install() { venv mlflow==3.17.2; }

launch() {
  cd "$DATA"
  [ -s key ] || "$VENV/bin/python" -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' >key
  # Webhooks to loopback over http are refused, and cached for a minute, unless these say otherwise. The job runner is
  # off: it takes ten processes and a gigabyte for nothing that is tested.
  export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true MLFLOW_WEBHOOK_CACHE_TTL=1 \
    MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY="$(cat key)"
  spawn server "$VENV/bin/mlflow" server --host 127.0.0.1 --port "$PORT" --workers 1 \
    --backend-store-uri "sqlite:///$DATA/mlflow.db" --artifacts-destination "$DATA/artifacts"
  wait_http 120 server "http://127.0.0.1:$PORT/health"
}

info() { json url "http://127.0.0.1:$PORT" api "http://127.0.0.1:$PORT/api/2.0/mlflow"; }
main "$@"
