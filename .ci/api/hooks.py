"""Has half of the random requests name things that exist, so that they come as far as the engine."""

import json
import os
import urllib.request

import schemathesis

URL = os.environ["FLAWLESS_URL"]


def ask(method, path, body=None):
    request = urllib.request.Request(URL + "/api/v1" + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read())


ask("POST", "/runs?wait=true", {"id": "ended", "module": "hello", "workflow": "hello", "input": {"name": "Ann"}})
ask("POST", "/runs", {"id": "open", "module": "hello", "workflow": "hello", "input": {"name": "Ann"}, "labels": {"a": "b"}})
ask("POST", "/runs/open/pause", {})
ask("PUT", "/schedules/daily", {"cron": "@daily", "module": "hello", "workflow": "hello", "input": {"name": "Ann"}})
ask("PUT", "/limits/api.example.com", {"rate": "10/s"})
ask("PATCH", "/hosts/api.example.com", {"retry_for_ms": 3600000})
ask("PUT", "/secrets/token", {"value": "a secret value", "hosts": ["api.example.com"]})

KNOWN = {
    "runs": {"id": ["ended", "open"], "other": ["ended"], "n": ["1", "2"]},
    "modules": {"name": ["hello"]},
    "schedules": {"name": ["daily"]},
    "limits": {"host": ["api.example.com"]},
    "hosts": {"host": ["api.example.com"]},
    "secrets": {"name": ["token"]},
}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    operation = context.operation
    known = KNOWN.get(operation.path.split("/")[3], {})
    for name, value in (path_parameters or {}).items():
        choice = sum(map(ord, str(value)))
        if name in known and choice % 2 and operation.method.lower() != "delete":
            path_parameters[name] = known[name][choice // 2 % len(known[name])]
    return path_parameters


@schemathesis.hook
def map_query(context, query):
    """Waits for no reply: nobody replies here, and a request may wait for one for as long as its client likes."""
    if query and context.operation.path.endswith("/messages"):
        query.pop("wait", None)
    return query
