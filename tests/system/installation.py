"""One installation of ObservaStack in a folder of its own, driven the way a person drives it."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]


class Failed(Exception):
    """What a test expected did not happen."""


def expect(condition, text):
    if not condition:
        raise Failed(text)


def wait_until(what, seconds, condition, pause=0.1):
    """Ask again and again until `condition` gives something true; that is returned."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError, KeyError, Failed) as error:
            last = error
        time.sleep(pause)
    raise Failed(f"not within {seconds} s: {what} (last: {last!r})")


def processes_of(marks):
    """Pids of all processes whose command line, folder or environment names one of `marks`."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if pid == os.getpid():
            continue
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            text += os.readlink(folder / "cwd").encode()
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z" and any(mark.encode() in text for mark in marks):
            found.append(pid)
    return found


class Installation:
    def __init__(self, build, environment=None):
        # Short: the path is also where sockets may go, and those have 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="obs-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.state = os.path.join(self.folder, "s")
        self.build = build
        self.environment = {**os.environ, "STATE_DIR": self.state, "PORT": "0", **(environment or {})}
        subprocess.run([SOURCE / "scripts/stage", build], env=self.environment, check=True, cwd=SOURCE)

    def run(self, *words, timeout=150):
        return subprocess.run([os.path.join(self.state, "dist/bin/observa"), *words], env=self.environment,
                              capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def observa(self, *words):
        done = self.run(*words)
        expect(done.returncode == 0, f"observa {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self):
        began = time.monotonic()
        self.observa("up")
        self.where = dict(line.split("=", 1) for line in self.observa("where").splitlines())
        return time.monotonic() - began

    def down(self):
        self.observa("down")

    def remove(self):
        if os.path.exists(self.state):
            self.run("down")
        subprocess.run(["rm", "-rf", self.folder, getattr(self, "where", {}).get("run_dir", "/nonexistent")], check=False)

    def processes(self):
        return processes_of([self.folder, self.where["run_dir"]])

    def url(self, port, path):
        return f"http://127.0.0.1:{self.where['port.' + port]}{path}"

    def shop(self, path):
        return self.url("control", "/sut/solo" + path)

    def units(self):
        agents = json.loads(self.run("status", "--json").stdout)["agents"]
        return {(agent, unit["name"]): unit for agent, told in agents.items() for unit in told["units"]}

    def agent_pid(self, tenant):
        return json.loads(self.run("status", "--json").stdout)["agents"][tenant]["pid"]

    def is_well(self):
        told = json.loads(self.run("status", "--json").stdout)
        return told["running"] and told["ready"]

    def prometheus(self, query):
        text = urllib.parse.urlencode({"query": query})
        return http("GET", self.url("prometheus", "/api/v1/query?" + text)).json["data"]["result"]

    def order(self, key, product=7, headers=None):
        return http("POST", self.shop("/api/checkout"), {"user_id": "tester", "items": [{"product_id": product, "quantity": 1}]},
                    {"Idempotency-Key": key, **(headers or {})})


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def http(method, url, body=None, headers=None, timeout=10):
    """One request; any status is a reply. OSError when there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return Reply(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.headers, error.read())


def main(tests, environment, *things):
    """Run the tests in order on one installation, as TAP; each gets it and `things`. The exit status."""
    one = Installation(os.path.abspath(sys.argv[1]), environment)
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    try:
        for number, function in enumerate(tests, 1):
            began = time.monotonic()
            try:
                function(one, *things)
                verdict = "ok"
            except Exception as error:  # every failure is one line of TAP and its story
                verdict = "not ok"
                failed += 1
                for line in (str(error) + "\n" + traceback.format_exc()).splitlines():
                    print("# " + line)
            print(f"{verdict} {number} - {function.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)
    finally:
        one.remove()
    return 1 if failed else 0
