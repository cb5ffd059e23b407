"""Roundup detector: POSTs each new or changed issue as JSON to QD_WEBHOOK_URL, in a thread, after the commit-time checks."""

import json
import os
import threading
import urllib.request


def post(payload):
    request = urllib.request.Request(
        os.environ["QD_WEBHOOK_URL"], json.dumps(payload, default=str).encode(), {"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=5).read()
    except OSError as e:
        print("webhook:", e)


def notify(db, cl, nodeid, oldvalues):
    node = db.issue.getnode(nodeid)
    payload = {
        "event": "issue.updated" if oldvalues else "issue.created",
        "issue": {"id": nodeid, "title": node.title, "status": node.status and db.status.get(node.status, "name")},
        "changed": sorted(k for k, v in (oldvalues or {}).items() if cl.get(nodeid, k) != v),
        "actor": db.user.get(db.getuid(), "username"),
    }
    threading.Thread(target=post, args=(payload,)).start()


def init(db):
    if os.environ.get("QD_WEBHOOK_URL"):
        db.issue.react("create", notify)
        db.issue.react("set", notify)
