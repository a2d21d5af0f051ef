"""A program against the generated client: it starts a run and waits for it."""

import os

from flawless_client import Client
from flawless_client.api.runs import get_log, list_runs, start_run
from flawless_client.models import Problem, Started, StartRun, Status

client = Client(base_url=os.environ["FLAWLESS_URL"])

started = start_run.sync(client=client, wait=True, body=StartRun(module="hello", workflow="hello", input_={"name": "Ann"}))
assert isinstance(started, Started), started
assert started.run.status is Status.COMPLETED, started

unfit = start_run.sync(client=client, body=StartRun(module="hello", workflow="hello", input_=7))
assert isinstance(unfit, Problem) and unfit.status == 422 and unfit.code == "invalid" and unfit.errors, unfit

assert any(run.id == started.run.id for run in list_runs.sync(client=client, status=[Status.COMPLETED]).runs)
assert get_log.sync(started.run.id, client=client)[0].entries[0].start.module == "hello"
print("the Python client works")
