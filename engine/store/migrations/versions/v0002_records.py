"""The records of the patterns, where each changed, and the thread of causes."""

from __future__ import annotations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The text as it was when this version was made: a later change of the classes is a later version.
STATEMENTS = (
    "CREATE TABLE access_requests (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, sort VARCHAR NOT NULL, action VARCHAR NOT NULL, requester "
    "VARCHAR NOT NULL, employer VARCHAR NOT NULL, site VARCHAR NOT NULL, breakglass BOOLEAN NOT NULL, PRIMARY "
    "KEY (id))",
    "CREATE INDEX ix_access_requests_employer ON access_requests (employer)",
    "CREATE INDEX ix_access_requests_requester ON access_requests (requester)",
    "CREATE INDEX ix_access_requests_run ON access_requests (run)",
    "CREATE INDEX ix_access_requests_seq ON access_requests (seq)",
    "CREATE INDEX ix_access_requests_sort ON access_requests (sort)",
    "CREATE INDEX ix_access_requests_state ON access_requests (state)",
    "CREATE TABLE annotations (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, task VARCHAR NOT NULL, session VARCHAR NOT NULL, dataset "
    "VARCHAR NOT NULL, author VARCHAR NOT NULL, purpose VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_annotations_dataset ON annotations (dataset)",
    "CREATE INDEX ix_annotations_run ON annotations (run)",
    "CREATE INDEX ix_annotations_seq ON annotations (seq)",
    "CREATE INDEX ix_annotations_session ON annotations (session)",
    "CREATE INDEX ix_annotations_state ON annotations (state)",
    "CREATE INDEX ix_annotations_task ON annotations (task)",
    "CREATE TABLE artifacts (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, digest VARCHAR NOT NULL, line VARCHAR NOT NULL, version VARCHAR NOT "
    "NULL, candidate VARCHAR NOT NULL, content_of VARCHAR NOT NULL, expires_at FLOAT NOT NULL, PRIMARY KEY "
    "(id))",
    "CREATE INDEX ix_artifacts_candidate ON artifacts (candidate)",
    "CREATE INDEX ix_artifacts_digest ON artifacts (digest)",
    "CREATE INDEX ix_artifacts_expires_at ON artifacts (expires_at)",
    "CREATE INDEX ix_artifacts_line ON artifacts (line)",
    "CREATE INDEX ix_artifacts_run ON artifacts (run)",
    "CREATE INDEX ix_artifacts_seq ON artifacts (seq)",
    "CREATE INDEX ix_artifacts_state ON artifacts (state)",
    "CREATE INDEX ix_artifacts_version ON artifacts (version)",
    "CREATE TABLE candidates (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, line VARCHAR NOT NULL, version VARCHAR NOT NULL, model_digest "
    "VARCHAR NOT NULL, snapshot VARCHAR NOT NULL, training VARCHAR NOT NULL, pack VARCHAR NOT NULL, verdict "
    "VARCHAR NOT NULL, artifact VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_candidates_line ON candidates (line)",
    "CREATE INDEX ix_candidates_model_digest ON candidates (model_digest)",
    "CREATE INDEX ix_candidates_pack ON candidates (pack)",
    "CREATE INDEX ix_candidates_run ON candidates (run)",
    "CREATE INDEX ix_candidates_seq ON candidates (seq)",
    "CREATE INDEX ix_candidates_snapshot ON candidates (snapshot)",
    "CREATE INDEX ix_candidates_state ON candidates (state)",
    "CREATE INDEX ix_candidates_training ON candidates (training)",
    "CREATE INDEX ix_candidates_version ON candidates (version)",
    "CREATE TABLE cases (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR NOT "
    "NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT NOT "
    "NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq INTEGER "
    "NOT NULL, data BLOB NOT NULL, robot VARCHAR NOT NULL, site VARCHAR NOT NULL, variant VARCHAR NOT NULL, "
    "mode VARCHAR NOT NULL, component VARCHAR NOT NULL, cause VARCHAR NOT NULL, source VARCHAR NOT NULL, "
    "detector VARCHAR NOT NULL, queue VARCHAR NOT NULL, priority INTEGER NOT NULL, assignee VARCHAR NOT NULL, "
    "problem VARCHAR NOT NULL, external_ref VARCHAR NOT NULL, safety_related BOOLEAN NOT NULL, PRIMARY KEY "
    "(id))",
    "CREATE INDEX ix_cases_assignee ON cases (assignee)",
    "CREATE INDEX ix_cases_detector ON cases (detector)",
    "CREATE INDEX ix_cases_external_ref ON cases (external_ref)",
    "CREATE INDEX ix_cases_mode ON cases (mode)",
    "CREATE INDEX ix_cases_problem ON cases (problem)",
    "CREATE INDEX ix_cases_queue ON cases (queue)",
    "CREATE INDEX ix_cases_robot ON cases (robot)",
    "CREATE INDEX ix_cases_run ON cases (run)",
    "CREATE INDEX ix_cases_seq ON cases (seq)",
    "CREATE INDEX ix_cases_state ON cases (state)",
    "CREATE INDEX ix_cases_variant ON cases (variant)",
    "CREATE TABLE collections (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, dataset VARCHAR NOT NULL, snapshot VARCHAR NOT NULL, "
    "due_at FLOAT NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_collections_dataset ON collections (dataset)",
    "CREATE INDEX ix_collections_run ON collections (run)",
    "CREATE INDEX ix_collections_seq ON collections (seq)",
    "CREATE INDEX ix_collections_snapshot ON collections (snapshot)",
    "CREATE INDEX ix_collections_state ON collections (state)",
    "CREATE TABLE comparisons (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, candidate VARCHAR NOT NULL, pack VARCHAR NOT NULL, "
    "verdict VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_comparisons_candidate ON comparisons (candidate)",
    "CREATE INDEX ix_comparisons_run ON comparisons (run)",
    "CREATE INDEX ix_comparisons_seq ON comparisons (seq)",
    "CREATE INDEX ix_comparisons_state ON comparisons (state)",
    "CREATE TABLE control_leases (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, robot VARCHAR NOT NULL, holder VARCHAR NOT NULL, mode "
    "VARCHAR NOT NULL, expires_at FLOAT NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_control_leases_holder ON control_leases (holder)",
    "CREATE INDEX ix_control_leases_robot ON control_leases (robot)",
    "CREATE INDEX ix_control_leases_run ON control_leases (run)",
    "CREATE INDEX ix_control_leases_seq ON control_leases (seq)",
    "CREATE INDEX ix_control_leases_state ON control_leases (state)",
    "CREATE TABLE correction_clusters (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, "
    "title VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, cause VARCHAR NOT NULL, task VARCHAR NOT NULL, zone "
    'VARCHAR NOT NULL, n INTEGER NOT NULL, score FLOAT NOT NULL, "after" VARCHAR NOT NULL, PRIMARY KEY (id))',
    "CREATE INDEX ix_correction_clusters_cause ON correction_clusters (cause)",
    "CREATE INDEX ix_correction_clusters_run ON correction_clusters (run)",
    "CREATE INDEX ix_correction_clusters_seq ON correction_clusters (seq)",
    "CREATE INDEX ix_correction_clusters_state ON correction_clusters (state)",
    "CREATE INDEX ix_correction_clusters_task ON correction_clusters (task)",
    "CREATE TABLE corrections (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, session VARCHAR NOT NULL, robot VARCHAR NOT NULL, site "
    "VARCHAR NOT NULL, task VARCHAR NOT NULL, version VARCHAR NOT NULL, cause VARCHAR NOT NULL, cluster "
    "VARCHAR NOT NULL, route VARCHAR NOT NULL, use VARCHAR NOT NULL, snapshot VARCHAR NOT NULL, pack VARCHAR "
    "NOT NULL, t0 FLOAT NOT NULL, quality INTEGER NOT NULL, count INTEGER NOT NULL, double BOOLEAN NOT NULL, "
    "PRIMARY KEY (id))",
    "CREATE INDEX ix_corrections_cluster ON corrections (cluster)",
    "CREATE INDEX ix_corrections_robot ON corrections (robot)",
    "CREATE INDEX ix_corrections_route ON corrections (route)",
    "CREATE INDEX ix_corrections_run ON corrections (run)",
    "CREATE INDEX ix_corrections_seq ON corrections (seq)",
    "CREATE INDEX ix_corrections_session ON corrections (session)",
    "CREATE INDEX ix_corrections_site ON corrections (site)",
    "CREATE INDEX ix_corrections_state ON corrections (state)",
    "CREATE INDEX ix_corrections_t0 ON corrections (t0)",
    "CREATE INDEX ix_corrections_version ON corrections (version)",
    "CREATE TABLE dataset_snapshots (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, dataset VARCHAR NOT NULL, version INTEGER NOT NULL, line "
    "VARCHAR NOT NULL, root_digest VARCHAR NOT NULL, episodes INTEGER NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_dataset_snapshots_dataset ON dataset_snapshots (dataset)",
    "CREATE INDEX ix_dataset_snapshots_line ON dataset_snapshots (line)",
    "CREATE INDEX ix_dataset_snapshots_root_digest ON dataset_snapshots (root_digest)",
    "CREATE INDEX ix_dataset_snapshots_run ON dataset_snapshots (run)",
    "CREATE INDEX ix_dataset_snapshots_seq ON dataset_snapshots (seq)",
    "CREATE INDEX ix_dataset_snapshots_state ON dataset_snapshots (state)",
    "CREATE TABLE datasets (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, line VARCHAR NOT NULL, owner VARCHAR NOT NULL, newest VARCHAR NOT "
    "NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_datasets_line ON datasets (line)",
    "CREATE INDEX ix_datasets_run ON datasets (run)",
    "CREATE INDEX ix_datasets_seq ON datasets (seq)",
    "CREATE INDEX ix_datasets_state ON datasets (state)",
    "CREATE TABLE evaluation_packs (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, name VARCHAR NOT NULL, version INTEGER NOT NULL, line "
    "VARCHAR NOT NULL, digest VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_evaluation_packs_digest ON evaluation_packs (digest)",
    "CREATE INDEX ix_evaluation_packs_line ON evaluation_packs (line)",
    "CREATE INDEX ix_evaluation_packs_name ON evaluation_packs (name)",
    "CREATE INDEX ix_evaluation_packs_run ON evaluation_packs (run)",
    "CREATE INDEX ix_evaluation_packs_seq ON evaluation_packs (seq)",
    "CREATE INDEX ix_evaluation_packs_state ON evaluation_packs (state)",
    "CREATE TABLE event_fates (seq INTEGER NOT NULL, rule VARCHAR NOT NULL, event INTEGER NOT NULL, outcome "
    'VARCHAR NOT NULL, run VARCHAR NOT NULL, "key" VARCHAR NOT NULL, reason VARCHAR NOT NULL, at FLOAT NOT '
    "NULL, PRIMARY KEY (seq, rule)) WITHOUT ROWID",
    "CREATE INDEX event_fates_event ON event_fates (event)",
    'CREATE INDEX event_fates_key ON event_fates (rule, "key", at)',
    "CREATE INDEX event_fates_rule ON event_fates (rule, outcome, at)",
    "CREATE INDEX event_fates_run ON event_fates (run)",
    'CREATE TABLE event_threads (seq INTEGER NOT NULL, "key" VARCHAR NOT NULL, event VARCHAR NOT NULL, source '
    "VARCHAR NOT NULL, subject VARCHAR NOT NULL, at FLOAT NOT NULL, run VARCHAR NOT NULL, record VARCHAR NOT "
    "NULL, cause INTEGER NOT NULL, depth INTEGER NOT NULL, subject_n INTEGER NOT NULL, PRIMARY KEY (seq), "
    'UNIQUE ("key"))',
    "CREATE INDEX event_threads_cause ON event_threads (cause)",
    "CREATE INDEX event_threads_event ON event_threads (event, at)",
    "CREATE INDEX event_threads_record ON event_threads (record)",
    "CREATE INDEX event_threads_run ON event_threads (run)",
    "CREATE INDEX event_threads_subject ON event_threads (subject, seq)",
    "CREATE TABLE evidence (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, media VARCHAR NOT NULL, size_b INTEGER NOT NULL, name VARCHAR NOT "
    "NULL, retention_until FLOAT NOT NULL, legal_hold VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_evidence_run ON evidence (run)",
    "CREATE INDEX ix_evidence_seq ON evidence (seq)",
    "CREATE INDEX ix_evidence_state ON evidence (state)",
    "CREATE TABLE followups (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, incident VARCHAR NOT NULL, what VARCHAR NOT NULL, owner VARCHAR NOT "
    "NULL, robot VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_followups_incident ON followups (incident)",
    "CREATE INDEX ix_followups_run ON followups (run)",
    "CREATE INDEX ix_followups_seq ON followups (seq)",
    "CREATE INDEX ix_followups_state ON followups (state)",
    "CREATE TABLE grants (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR NOT "
    "NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT NOT "
    "NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq INTEGER "
    "NOT NULL, data BLOB NOT NULL, request VARCHAR NOT NULL, actor VARCHAR NOT NULL, sort VARCHAR NOT NULL, "
    "site VARCHAR NOT NULL, expires_at FLOAT NOT NULL, serial INTEGER NOT NULL, breakglass BOOLEAN NOT NULL, "
    "PRIMARY KEY (id))",
    "CREATE INDEX ix_grants_actor ON grants (actor)",
    "CREATE INDEX ix_grants_expires_at ON grants (expires_at)",
    "CREATE INDEX ix_grants_request ON grants (request)",
    "CREATE INDEX ix_grants_run ON grants (run)",
    "CREATE INDEX ix_grants_seq ON grants (seq)",
    "CREATE INDEX ix_grants_state ON grants (state)",
    "CREATE TABLE holds (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR NOT "
    "NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT NOT "
    "NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq INTEGER "
    "NOT NULL, data BLOB NOT NULL, robot VARCHAR NOT NULL, incident VARCHAR NOT NULL, purpose VARCHAR NOT "
    "NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_holds_incident ON holds (incident)",
    "CREATE INDEX ix_holds_robot ON holds (robot)",
    "CREATE INDEX ix_holds_run ON holds (run)",
    "CREATE INDEX ix_holds_seq ON holds (seq)",
    "CREATE INDEX ix_holds_state ON holds (state)",
    "CREATE TABLE incidents (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, sev INTEGER NOT NULL, version VARCHAR NOT NULL, line VARCHAR NOT "
    "NULL, digest VARCHAR NOT NULL, site VARCHAR NOT NULL, ic VARCHAR NOT NULL, phase VARCHAR NOT NULL, "
    "detector VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_incidents_run ON incidents (run)",
    "CREATE INDEX ix_incidents_seq ON incidents (seq)",
    "CREATE INDEX ix_incidents_sev ON incidents (sev)",
    "CREATE INDEX ix_incidents_state ON incidents (state)",
    "CREATE INDEX ix_incidents_version ON incidents (version)",
    "CREATE TABLE intervention_spikes (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, "
    "title VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, version VARCHAR NOT NULL, site VARCHAR NOT NULL, "
    "window_start FLOAT NOT NULL, k INTEGER NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_intervention_spikes_run ON intervention_spikes (run)",
    "CREATE INDEX ix_intervention_spikes_seq ON intervention_spikes (seq)",
    "CREATE INDEX ix_intervention_spikes_site ON intervention_spikes (site)",
    "CREATE INDEX ix_intervention_spikes_state ON intervention_spikes (state)",
    "CREATE INDEX ix_intervention_spikes_version ON intervention_spikes (version)",
    "CREATE TABLE label_tasks (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, session VARCHAR NOT NULL, dataset VARCHAR NOT NULL, "
    "snapshot VARCHAR NOT NULL, purpose VARCHAR NOT NULL, assignee VARCHAR NOT NULL, task VARCHAR NOT NULL, "
    "PRIMARY KEY (id))",
    "CREATE INDEX ix_label_tasks_assignee ON label_tasks (assignee)",
    "CREATE INDEX ix_label_tasks_dataset ON label_tasks (dataset)",
    "CREATE INDEX ix_label_tasks_run ON label_tasks (run)",
    "CREATE INDEX ix_label_tasks_seq ON label_tasks (seq)",
    "CREATE INDEX ix_label_tasks_session ON label_tasks (session)",
    "CREATE INDEX ix_label_tasks_snapshot ON label_tasks (snapshot)",
    "CREATE INDEX ix_label_tasks_state ON label_tasks (state)",
    "CREATE TABLE problems (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, variant VARCHAR NOT NULL, mode VARCHAR NOT NULL, fix_in VARCHAR NOT "
    "NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_problems_mode ON problems (mode)",
    "CREATE INDEX ix_problems_run ON problems (run)",
    "CREATE INDEX ix_problems_seq ON problems (seq)",
    "CREATE INDEX ix_problems_state ON problems (state)",
    "CREATE INDEX ix_problems_variant ON problems (variant)",
    "CREATE TABLE record_changes (kind VARCHAR NOT NULL, id VARCHAR NOT NULL, rev INTEGER NOT NULL, seq "
    "INTEGER NOT NULL, run VARCHAR NOT NULL, PRIMARY KEY (kind, id, rev)) WITHOUT ROWID",
    "CREATE INDEX record_changes_run ON record_changes (run) WHERE run != ''",
    "CREATE TABLE robot_records (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, serial VARCHAR NOT NULL, site VARCHAR NOT NULL, customer "
    "VARCHAR NOT NULL, variant VARCHAR NOT NULL, software VARCHAR NOT NULL, dispatchable BOOLEAN NOT NULL, "
    "lease VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_robot_records_run ON robot_records (run)",
    "CREATE INDEX ix_robot_records_seq ON robot_records (seq)",
    "CREATE INDEX ix_robot_records_serial ON robot_records (serial)",
    "CREATE INDEX ix_robot_records_site ON robot_records (site)",
    "CREATE INDEX ix_robot_records_state ON robot_records (state)",
    "CREATE TABLE run_groups (workflow VARCHAR NOT NULL, name VARCHAR NOT NULL, run VARCHAR NOT NULL, PRIMARY "
    "KEY (workflow, name, run)) WITHOUT ROWID",
    "CREATE TABLE run_threads (run VARCHAR NOT NULL, cause INTEGER NOT NULL, latest INTEGER NOT NULL, PRIMARY "
    "KEY (run)) WITHOUT ROWID",
    "CREATE INDEX run_threads_cause ON run_threads (cause)",
    "CREATE TABLE session_scores (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, session VARCHAR NOT NULL, site VARCHAR NOT NULL, version "
    "VARCHAR NOT NULL, task VARCHAR NOT NULL, start FLOAT NOT NULL, robot_h FLOAT NOT NULL, interventions "
    "INTEGER NOT NULL, flagged BOOLEAN NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_session_scores_run ON session_scores (run)",
    "CREATE INDEX ix_session_scores_seq ON session_scores (seq)",
    "CREATE INDEX ix_session_scores_session ON session_scores (session)",
    "CREATE INDEX ix_session_scores_site ON session_scores (site)",
    "CREATE INDEX ix_session_scores_start ON session_scores (start)",
    "CREATE INDEX ix_session_scores_state ON session_scores (state)",
    "CREATE INDEX ix_session_scores_task ON session_scores (task)",
    "CREATE INDEX ix_session_scores_version ON session_scores (version)",
    "CREATE TABLE sessions (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, uri VARCHAR NOT NULL, robot VARCHAR NOT NULL, site VARCHAR NOT "
    "NULL, task VARCHAR NOT NULL, digest VARCHAR NOT NULL, content VARCHAR NOT NULL, fingerprint VARCHAR NOT "
    "NULL, trajectory VARCHAR NOT NULL, container VARCHAR NOT NULL, episode INTEGER NOT NULL, format VARCHAR "
    "NOT NULL, start_ns INTEGER NOT NULL, duration_s FLOAT NOT NULL, bytes INTEGER NOT NULL, verdict VARCHAR "
    'NOT NULL, code VARCHAR NOT NULL, campaign VARCHAR NOT NULL, dataset VARCHAR NOT NULL, "group" VARCHAR NOT '
    "NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_sessions_campaign ON sessions (campaign)",
    "CREATE INDEX ix_sessions_container ON sessions (container)",
    "CREATE INDEX ix_sessions_content ON sessions (content)",
    "CREATE INDEX ix_sessions_dataset ON sessions (dataset)",
    "CREATE INDEX ix_sessions_digest ON sessions (digest)",
    "CREATE INDEX ix_sessions_fingerprint ON sessions (fingerprint)",
    "CREATE INDEX ix_sessions_robot ON sessions (robot)",
    "CREATE INDEX ix_sessions_run ON sessions (run)",
    "CREATE INDEX ix_sessions_seq ON sessions (seq)",
    "CREATE INDEX ix_sessions_state ON sessions (state)",
    "CREATE INDEX ix_sessions_trajectory ON sessions (trajectory)",
    "CREATE INDEX ix_sessions_uri ON sessions (uri)",
    "CREATE TABLE standing_rules (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title "
    "VARCHAR NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, "
    "updated_at FLOAT NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT "
    "NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, incident VARCHAR NOT NULL, version VARCHAR NOT NULL, "
    "PRIMARY KEY (id))",
    "CREATE INDEX ix_standing_rules_incident ON standing_rules (incident)",
    "CREATE INDEX ix_standing_rules_run ON standing_rules (run)",
    "CREATE INDEX ix_standing_rules_seq ON standing_rules (seq)",
    "CREATE INDEX ix_standing_rules_state ON standing_rules (state)",
    "CREATE INDEX ix_standing_rules_version ON standing_rules (version)",
    "CREATE TABLE trainings (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR "
    "NOT NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT "
    "NOT NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq "
    "INTEGER NOT NULL, data BLOB NOT NULL, snapshot VARCHAR NOT NULL, dataset VARCHAR NOT NULL, line VARCHAR "
    "NOT NULL, recipe_digest VARCHAR NOT NULL, seed INTEGER NOT NULL, spent_s FLOAT NOT NULL, PRIMARY KEY "
    "(id))",
    "CREATE INDEX ix_trainings_dataset ON trainings (dataset)",
    "CREATE INDEX ix_trainings_line ON trainings (line)",
    "CREATE INDEX ix_trainings_recipe_digest ON trainings (recipe_digest)",
    "CREATE INDEX ix_trainings_run ON trainings (run)",
    "CREATE INDEX ix_trainings_seq ON trainings (seq)",
    "CREATE INDEX ix_trainings_snapshot ON trainings (snapshot)",
    "CREATE INDEX ix_trainings_state ON trainings (state)",
    "CREATE TABLE trials (id VARCHAR NOT NULL, rev INTEGER NOT NULL, state VARCHAR NOT NULL, title VARCHAR NOT "
    "NULL, run VARCHAR NOT NULL, created_at FLOAT NOT NULL, created_by VARCHAR NOT NULL, updated_at FLOAT NOT "
    "NULL, region VARCHAR NOT NULL, source_system VARCHAR NOT NULL, observed_at FLOAT NOT NULL, seq INTEGER "
    "NOT NULL, data BLOB NOT NULL, candidate VARCHAR NOT NULL, task VARCHAR NOT NULL, arm VARCHAR NOT NULL, "
    "seed INTEGER NOT NULL, purpose VARCHAR NOT NULL, outcome VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE INDEX ix_trials_candidate ON trials (candidate)",
    "CREATE INDEX ix_trials_run ON trials (run)",
    "CREATE INDEX ix_trials_seq ON trials (seq)",
    "CREATE INDEX ix_trials_state ON trials (state)",
    "CREATE INDEX ix_trials_task ON trials (task)",
)


def upgrade() -> None:
    from alembic import op  # here: a new file takes the text alone (`schema.create`)

    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("history is not taken back: restore a copy from before")
