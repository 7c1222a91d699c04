"""Drive a page in a real browser: a script at the end of a copy of it says what it found."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium")


def drive(page: Path, script: str, scratch: Path) -> dict[str, Any]:
    """Open a page, run a script in it, and return what it has put into the object `found`; nothing may go wrong.

    Args:
        page: the page.
        script: the body of an asynchronous function with the variables `found` and `at`, which returns an element.
        scratch: an empty folder.
    """
    driver = (
        "(async () => { const found = {}, at = name => document.getElementById(name);\n"
        f"{script}\n"
        "const told = document.createElement('pre'); told.id = 'driven';\n"
        "told.textContent = JSON.stringify(found); document.body.append(told); })();"
    )
    # The policy of the page allows its own scripts alone, so that it must allow this one by its hash, too.
    allowed = base64.b64encode(hashlib.sha256(driver.encode()).digest()).decode()
    copy = scratch / "driven.html"
    text = page.read_text(encoding="utf-8").replace("script-src ", f"script-src 'sha256-{allowed}' ", 1)
    copy.write_text(text.replace("</body>", f"<script>{driver}</script></body>"), encoding="utf-8")
    assert BROWSER is not None
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    done = subprocess.run(
        [
            *(
                BROWSER,
                *words,
                f"--user-data-dir={scratch / 'browser'}",
                "--virtual-time-budget=5000",
                "--window-size=500,900",
            ),
            *("--dump-dom", "--enable-logging=stderr", copy.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    told = re.search(r'<pre id="driven">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told is not None, done.stdout[-2000:]
    found: dict[str, Any] = json.loads(unescape(told[1]))
    return found
