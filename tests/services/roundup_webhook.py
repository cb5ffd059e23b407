"""Roundup detector: tells of each new or changed issue, where `webhook.json` of the tracker says (`{"url", "secret"}`).

It runs inside the tracker, before the change is committed: whoever is told may look too early.
"""

import json
import os
import threading
import time
import urllib.request


def post(url, secret, payload):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + secret}
    request = urllib.request.Request(url, json.dumps(payload, default=str).encode(), headers)
    try:
        urllib.request.urlopen(request, timeout=5).read()
    except OSError as error:
        print("webhook:", error)


def notify(db, cl, nodeid, oldvalues):
    file = os.path.join(db.config.TRACKER_HOME, "webhook.json")
    if not os.path.exists(file):
        return
    with open(file, encoding="utf-8") as stream:
        where = json.load(stream)
    node = db.issue.getnode(nodeid)
    payload = {
        "event": "issue.updated" if oldvalues else "issue.created",
        "issue": {"id": nodeid, "status": node.status and db.status.get(node.status, "name")},
        "delivery": f"{nodeid}/{time.time_ns()}",
    }
    threading.Thread(target=post, args=(where["url"], where["secret"], payload)).start()


def init(db):
    db.issue.react("create", notify)
    db.issue.react("set", notify)
