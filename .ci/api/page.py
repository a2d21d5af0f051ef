"""Runs the code of docs/guide/applications.md against the server, as a reader would. TestGuide in client/ts runs the TypeScript."""

import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

root, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
url = os.environ["FLAWLESS_URL"]
os.environ["PORT"] = url.rsplit(":", 1)[1]


def post(path, value):
    request = urllib.request.Request(f"{url}/api/v1{path}", json.dumps(value).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


# The run that the example of a message goes to.
post("/runs", {"id": "order-5", "module": "shop", "workflow": "shop", "input": {"name": "Ann"}})
post("/runs/order-5/pause", {})

go = root / "bin" / "api" / "_page"
go.mkdir(parents=True, exist_ok=True)
ways = {
    "sh": (work / "page.sh", f"bash -e {work}/page.sh"),
    "go": (go / "main.go", f"cd {root} && go run bin/api/_page/main.go"),
    "python": (work / "page.py", f"python -W error {work}/page.py"),
}
seen = set()
for lang, code in re.findall(r"```(\w+)\n(.*?)```", (root / "docs" / "guide" / "applications.md").read_text(), re.S):
    if lang in ("rust", "ts"):
        continue  # tested elsewhere
    file, command = ways[lang]
    file.write_text(code)
    out = subprocess.run(["bash", "-c", command], text=True, capture_output=True, timeout=120)
    if out.returncode != 0 or not ("Hello, Ann!" in out.stdout or "/messages" in code):
        sys.exit(f"the {lang} of docs/guide/applications.md: {out.returncode}\n{code}\n{out.stdout}{out.stderr}")
    seen.add(lang)
if seen != set(ways):
    sys.exit(f"docs/guide/applications.md has code in {seen} only")
print("the code of docs/guide/applications.md works")
