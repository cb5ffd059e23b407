"""Candidate to Release: candidates, packs, trials, artifacts."""
