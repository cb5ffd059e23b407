"""Telling people through the channels they use; a notice links, it never approves."""
