"""Sessions and datasets: ingest, validation, labels, curation, snapshots, training."""
