"""What headless Chromium learns of its own address from STUN servers: a page on localhost gathers candidates.

    chromium_candidates.py CHROMIUM URL [URL ...]

URL is an ICE server's, such as ``stun:192.0.2.1:1066``. Prints ``candidate ADDRESS PORT`` for each server-reflexive candidate.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Seconds until the page has told what it found.
PATIENCE = 60
# Neither a profile nor a network beyond the page and its ICE servers.
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--no-proxy-server")

PAGE = """<!doctype html><title>candidates</title><script>
const found = [];
const connection = new RTCPeerConnection({iceServers: [{urls: URLS}]});
let told = false;
function tell() {
    if (!told) fetch("/found", {method: "POST", body: found.join("\\n")});
    told = true;
}
connection.onicecandidate = (event) => event.candidate ? found.push(event.candidate.candidate) : tell();
connection.createDataChannel("any");
connection.createOffer().then((offer) => connection.setLocalDescription(offer));
setTimeout(tell, 15000);
</script>"""


class Site(BaseHTTPRequestHandler):
    urls: list[str] = []
    found = ""
    done = threading.Event()

    def do_GET(self) -> None:
        page = PAGE.replace("URLS", json.dumps(self.urls)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_POST(self) -> None:
        Site.found = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(204)
        self.end_headers()
        Site.done.set()

    def log_message(self, *_: object) -> None:
        pass


def main() -> int:
    chromium, *Site.urls = sys.argv[1:]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, tempfile.TemporaryFile("w+") as complaint:
        page = f"http://localhost:{server.server_port}/"
        command = [chromium, *FLAGS, f"--user-data-dir={profile}", page]
        browser = subprocess.Popen(command, stdout=complaint, stderr=complaint, start_new_session=True)
        told = Site.done.wait(PATIENCE)
        # The browser is many processes: all of its session end.
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        if not told:
            complaint.seek(0)
            print(f"the page told nothing in {PATIENCE} s:\n{complaint.read()}", file=sys.stderr)
            return 1
    for line in Site.found.splitlines():
        words = line.split()
        if words[7] == "srflx":
            print("candidate", words[4], words[5], flush=True)
    return 0


sys.exit(main())
