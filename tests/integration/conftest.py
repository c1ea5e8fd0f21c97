"""A real browser in which a script acts as a reader would."""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

GIF = base64.b64decode("R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")

# Acts in the page as a reader would, and leaves what it saw in its own document. The image keeps
# the browser waiting until the page, which may unpack itself first, has been seen.
ACTIONS = """
<!doctype html><body><pre id="seen"></pre><img src="/hold">
<iframe id="page" width="WIDTH" height="800" src="HREF"></iframe>
<script>
const frame = document.getElementById("page");
const start = performance.now();
const timed = (action) => {
  const before = performance.now();
  action();
  frame.contentDocument.body.getBoundingClientRect();
  return performance.now() - before;
};
const loaded = (page) =>
  page && page.URL !== "about:blank" && page.readyState === "complete" && (READY);
async function act() {
  const seen = { milliseconds: {} };
  try {
    while (!loaded(frame.contentDocument)) {
      await new Promise((done) => setTimeout(done, 5));
    }
    seen.milliseconds.open = performance.now() - start;
    const page = frame.contentDocument, view = frame.contentWindow;
    const get = (id) => page.getElementById(id);
    ACT
    seen.injected = view.injected ?? null;
  } catch (error) {
    seen.error = String(error.stack);
  }
  document.getElementById("seen").textContent = JSON.stringify(seen);
  await fetch("/seen", { method: "POST" });
}
act();
</script>
"""


class Held(SimpleHTTPRequestHandler):
    """Files of a folder; GET /hold is answered once POST /seen has come."""

    seen = threading.Event()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path != "/hold":
            super().do_GET()
            return
        self.seen.wait(50)
        self.seen.clear()
        self._send(GIF, "image/gif")

    def do_POST(self) -> None:
        self.seen.set()
        self._send(b"", "text/plain")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def in_browser(browse: Callable[[str, Path], str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`in_browser(script, page)`: what the script saw in a page below `tmp_path`.

    The script has `page` (the document), `view` (its window), `get(id)` and `timed(action)`, and
    notes what it sees in `seen`. It begins when the page is there and `ready`, an expression, is
    true.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Held, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def run(
        script: str, page: Path, *, width: int = 1280, link: str = "", ready: str = "true"
    ) -> Any:
        href = html.escape(str(page.relative_to(tmp_path)) + link)
        document = ACTIONS.replace("WIDTH", str(width)).replace("HREF", href)
        document = document.replace("READY", ready).replace("ACT\n", script + "\n")
        (tmp_path / "actions.html").write_text(document)
        address = f"http://127.0.0.1:{server.server_port}/actions.html"
        found = re.search(
            r'<pre id="seen">(.*?)</pre>', browse(address, tmp_path / "profile"), re.DOTALL
        )
        assert found is not None
        seen = json.loads(html.unescape(found[1]))
        assert "error" not in seen, seen["error"]
        assert seen["injected"] is None
        return seen

    yield run
    server.shutdown()
    thread.join()
    server.server_close()
