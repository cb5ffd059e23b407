"""Access: rules, certificates, leases, exports, and the review from end to end."""
