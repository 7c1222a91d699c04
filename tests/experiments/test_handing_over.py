"""Certificates of real runs, handed over: every method, no secrets, forgeries, keys, the commands and the page."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from runs import SharedRuns, rehash
from safetensors.numpy import load_file, save_file
from test_verify import SCENARIO as DESCENT
from test_verify_tokens import SCENARIO as TOKENS
from typer.testing import CliRunner

import rewindnet
from rewindnet.certificates import forget_digest
from rewindnet.certificates.handover.document import parse
from rewindnet.certificates.handover.outcomes import Outcomes
from rewindnet.certificates.handover.statement import statement
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.handover import export
from rewindnet.experiments.handover.export import export_certificate, release_index
from rewindnet.experiments.handover.files import HandoverError, read_certificate
from rewindnet.experiments.handover.signature import check_signature, make_keys, signed
from rewindnet.experiments.handover.verify import verify_certificate
from rewindnet.experiments.verify.verify import verify_folder

OTHERS: dict[str, Any] = {
    "name": "others",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 6, "order": "consensus-plus-gradient"},
    "model": {"kind": "logistic", "l2": 0.1},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [
        {"method": "newton", "view": "joint"},
        {"method": "langevin", "view": "joint"},
        {"method": "noisy-finetune"},
        {"method": "noisy-finetune", "clipping": "model", "model_radius": 3.0},
        {"method": "gossip-dp", "view": "transcript"},
        {"method": "noise-only"},
        {"method": "gradient-ascent"},
    ],
    "audit": {"draws": 200},
}
#: What is released in earnest: its noise comes from the operating system.
EARNEST: dict[str, Any] = {
    "name": "in-earnest",
    "data": {"source": "synthetic", "samples": 180, "dimensions": 4, "classes": 3},
    "partition": {"clients": 9},
    "topology": "ring",
    "learning": {"rounds": 6},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [{"method": "r2d", "view": "transcript:6", "placement": "rewind", "noise_source": "os"}, "retrain"],
    "audit": {"draws": 100},
}
RUNS = {"descent": DESCENT, "tokens": TOKENS, "others": OTHERS, "in-earnest": EARNEST}
RELEASES = [(name, index) for name, scenario in RUNS.items() for index in range(len(scenario["unlearning"]))]


@pytest.fixture(scope="module", autouse=True)
def verified_once() -> Iterator[None]:
    """Every run is verified before it is exported from; here once, because nothing changes in between."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "verify_folder", cache(verify_folder))
        yield


@pytest.fixture(scope="module")
def folders(run_once: SharedRuns) -> Callable[[str], RunFolder]:
    return cache(lambda name: run_once(RUNS[name]))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    private = tmp_path_factory.mktemp("keys") / "private.pem"
    return private, make_keys(private)[0]


@pytest.fixture
def document(folders: Callable[[str], RunFolder], keys: tuple[Path, Path]) -> dict[str, Any]:
    return export_certificate(folders("in-earnest").path, "r2d", key=keys[0])


def statuses(outcomes: Outcomes) -> dict[str, str]:
    return {outcome.what: outcome.status for outcome in outcomes}


# Every method


@pytest.mark.parametrize(("name", "index"), RELEASES)
def test_every_release_is_handed_over_and_checked(
    folders: Callable[[str], RunFolder], keys: tuple[Path, Path], name: str, index: int, tmp_path: Path
) -> None:
    folder, file = folders(name), tmp_path / "certificate.json"
    export_certificate(folder.path, index, key=keys[0], out=file)
    released = folder.path / folder.methods[index].place / "released.safetensors"
    kept = [released] if released.is_file() else []
    outcomes = verify_certificate(file, keys[1], kept)
    found, certificate = statuses(outcomes), folder.certified[index][0]
    assert outcomes.holds
    assert (found["signature"], found["statement"]) == ("holds", "holds")
    assert found["arithmetic"] == ("recorded" if certificate.data_dependent_noise and certificate.epsilon else "holds")
    assert found["models"] == ("holds" if kept else "unchecked")
    document = read_certificate(file)
    assert document["guarantee"]["epsilon"] == certificate.epsilon
    assert document["guarantee"]["view"] == str(certificate.view)
    seeded = certificate.release.noise_source == "seed" and certificate.release.sigma.any()
    simulation = seeded and certificate.epsilon is not None
    assert document["statement"]["limits"].startswith("SIMULATION ONLY") == simulation


def everything(content: Any) -> Iterator[tuple[str, Any]]:
    """Every name and value in plain data."""
    if isinstance(content, dict | list):
        for key, item in content.items() if isinstance(content, dict) else enumerate(content):
            yield str(key), item
            yield from everything(item)


@pytest.mark.parametrize(("name", "index"), RELEASES)
def test_no_secret_is_handed_over(folders: Callable[[str], RunFolder], name: str, index: int) -> None:
    folder = folders(name)
    document = export_certificate(folder.path, index)
    said = list(everything(document))
    numbers = {value for _, value in said if isinstance(value, float)} - {0.0}
    forbidden = ("seed", "salt", "indices", "command", "path", "folder", "scenario", "centre", "weights", "platform")
    # The token's trust region has a centre, which is one of three words.
    names = {key.lower() for key, value in said if key != "centre" or value not in (None, "reference", "noised")}
    assert [key for key in names if any(word in key for word in forbidden)] == []
    for file in folder.path.rglob("*.safetensors"):
        assert numbers.isdisjoint(load_file(file)["theta"].ravel().tolist()), file
    for positions in folder.learning["requests"][0]["forget"].values():
        assert all(item != positions for _, item in said)
    certificate, audit = folder.certified[index]
    measured = {*audit.divergence, audit.epsilon_empirical, *audit.shifts} - {certificate.epsilon}
    assert numbers.isdisjoint(measured)
    text = json.dumps(document)
    assert folder.scenario["name"] not in text
    assert str(folder.path) not in text
    request = folder.learning["requests"][0]
    assert request["forget_salt"] not in text
    assert document["request"]["forget_commitment"] == request["forget_commitment"]
    assert forget_digest({int(node): positions for node, positions in request["forget"].items()}) not in text


def test_a_node_checks_its_own_model_alone(
    document: dict[str, Any], folders: Callable[[str], RunFolder], tmp_path: Path
) -> None:
    theta = folders("in-earnest").weights("methods/0-r2d/released")
    assert theta is not None
    own, other = tmp_path / "own.safetensors", tmp_path / "other.safetensors"
    save_file({"mine": theta[3]}, own)
    save_file({"theta": theta[[3]] + 1e-9}, other)
    (good,) = (found for found in verify_certificate(document, models=[own]) if found.what == "models")
    assert (good.status, good.sentence) == ("holds", f"{own} has the released model of node 3")
    (bad,) = (found for found in verify_certificate(document, models=[other]) if found.what == "models")
    assert (bad.status, "of no node" in bad.sentence) == ("FAILS", True)
    save_file({"theta": theta[::-1].copy()}, other)
    (swapped,) = (found for found in verify_certificate(document, models=[other]) if found.what == "models")
    assert (swapped.status, "does not have the released models" in swapped.sentence) == ("FAILS", True)


# What is refused


def test_a_release_is_named_by_its_number_where_a_method_is_listed_twice(
    folders: Callable[[str], RunFolder],
) -> None:
    folder = folders("descent")
    assert [release_index(folder, method, None) for method in ("3", "warm-start", "2-r2d")] == [3, 6, 2]
    for method, words in (("r2d", "several methods r2d; name one by its number: 0 r2d"), ("99", "no method '99'")):
        with pytest.raises(HandoverError, match=words):
            release_index(folder, method, None)


def test_a_request_is_named_where_there_are_several(folders: Callable[[str], RunFolder]) -> None:
    several = replace(folders("descent"), learning={"requests": [{}, {}, {}]})
    assert release_index(several, "retrain", 2) == 2 * len(DESCENT["unlearning"]) + 7
    with pytest.raises(HandoverError, match="answers 3 requests; name one with --request, from 0 to 2"):
        release_index(several, "retrain", None)
    with pytest.raises(HandoverError, match="no request 3"):
        release_index(several, "retrain", 3)


def edited(folder: RunFolder, name: str, **changes: Any) -> Path:
    file = folder.path / "methods" / "0-r2d" / f"{name}.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")
    return folder.path


def test_a_violated_certificate_is_not_handed_over(run_once: SharedRuns) -> None:
    with pytest.raises(HandoverError, match="has found its certificate violated"):
        export_certificate(edited(run_once(EARNEST), "audit", holds=False), "r2d")


def test_a_run_that_does_not_verify_is_not_handed_over(run_once: SharedRuns) -> None:
    path = edited(run_once(EARNEST), "certificate", epsilon=0.5)
    rehash(path)
    with pytest.raises(HandoverError, match="does not verify, so nothing of it is handed over: 0 r2d, certificate"):
        export_certificate(path, "r2d")


def test_models_of_another_hash_are_not_handed_over(run_once: SharedRuns) -> None:
    path = run_once(EARNEST).path
    file = path / "methods" / "0-r2d" / "released.safetensors"
    save_file({"theta": load_file(file)["theta"] * 2}, file)
    with pytest.raises(HandoverError, match="the stored models are not those that the run released"):
        export_certificate(path, "r2d")


# Forgeries of a signed file


def swap_hash(document: dict[str, Any]) -> None:
    document["models"]["sha256"] = "0" * 64


def swap_hash_of_node(document: dict[str, Any]) -> None:
    each = document["models"]["each_sha256"]
    each[0], each[1] = each[1], each[0]


def drop_assumption(document: dict[str, Any]) -> None:
    document["assumptions"].pop()


def lower_epsilon(document: dict[str, Any]) -> None:
    document["guarantee"]["epsilon"] *= 1 - 1e-12


def widen_view(document: dict[str, Any]) -> None:
    document["guarantee"]["view"] = "transcript:all"
    document["statement"] = statement(document)


def raise_sigma(document: dict[str, Any]) -> None:
    document["numbers"]["sigma"][0] *= 2


def edit_sentence(document: dict[str, Any]) -> None:
    document["statement"]["promise"] += " Guaranteed!"


FORGERIES = [swap_hash, swap_hash_of_node, drop_assumption, lower_epsilon, widen_view, raise_sigma, edit_sentence]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_signed_file_that_was_changed_fails(
    document: dict[str, Any], keys: tuple[Path, Path], forge: Callable[[dict[str, Any]], None]
) -> None:
    forge(document)
    for key in (keys[1], None):
        assert statuses(verify_certificate(document, key))["signature"] == "FAILS"


@pytest.mark.parametrize("forge", [widen_view, raise_sigma, edit_sentence])
def test_such_changes_are_found_without_a_signature(
    document: dict[str, Any], forge: Callable[[dict[str, Any]], None]
) -> None:
    del document["signature"]
    forge(document)
    assert not verify_certificate(document).holds


def test_swapped_hashes_are_found_by_the_models(document: dict[str, Any], folders: Callable[[str], RunFolder]) -> None:
    released = folders("in-earnest").path / "methods" / "0-r2d" / "released.safetensors"
    del document["signature"]
    assert verify_certificate(document, models=[released]).holds
    swap_hash(document)
    assert not verify_certificate(document, models=[released]).holds


def test_a_signature_that_is_stripped_or_by_another_key_fails_before_the_key(
    document: dict[str, Any], keys: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    make_keys(other)
    stripped = {name: value for name, value in document.items() if name != "signature"}
    replaced = signed(stripped, other)
    assert statuses(verify_certificate(stripped))["signature"] == "unchecked"
    assert statuses(verify_certificate(replaced))["signature"] == "unchecked"
    assert statuses(verify_certificate(stripped, keys[1]))["signature"] == "FAILS"
    assert statuses(verify_certificate(replaced, keys[1]))["signature"] == "FAILS"
    # Another key under the fingerprint of the right one.
    posing = {**replaced["signature"], "fingerprint": document["signature"]["fingerprint"]}
    assert statuses(verify_certificate({**replaced, "signature": posing}))["signature"] == "FAILS"
    posing["public_key"] = document["signature"]["public_key"]
    assert statuses(verify_certificate({**replaced, "signature": posing}, keys[1]))["signature"] == "FAILS"


def test_openssl_makes_keys_that_sign_and_check(document: dict[str, Any], tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    for command in (
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)],
        ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    assert "signed with the given key" in check_signature(signed(document, private), public)


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "\x00" * 99])
def test_what_is_no_key_is_refused(document: dict[str, Any], content: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(content, "utf-8")
    with pytest.raises(HandoverError, match="no private Ed25519 key"):
        signed(document, file)
    with pytest.raises(HandoverError, match="no public Ed25519 key"):
        check_signature(document, file)
    with pytest.raises(HandoverError, match="cannot be read: No such file"):
        check_signature(document, tmp_path / "none.pem")


def test_keys_are_readable_by_their_owner_and_never_overwritten(tmp_path: Path) -> None:
    private = tmp_path / "mine.pem"
    public, fingerprint = make_keys(private)
    assert (private.stat().st_mode & 0o777, public.name) == (0o600, "mine.public.pem")
    assert re.fullmatch("[0-9a-f]{64}", fingerprint)
    before = private.read_bytes()
    with pytest.raises(HandoverError, match="exists, and a key is never overwritten"):
        make_keys(private)
    assert private.read_bytes() == before


# The commands


def command(*arguments: Any) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["certificate", *map(str, arguments)], env={"COLUMNS": "250"})
    return done.exit_code, done.stdout, done.stderr


def test_the_commands_export_check_and_print(folders: Callable[[str], RunFolder], tmp_path: Path) -> None:
    folder, key, file = folders("in-earnest").path, tmp_path / "key.pem", tmp_path / "certificate.json"
    assert command("keygen", "--out", key)[0] == 0
    code, said, _ = command("export", folder, "r2d", "--key", key, "--out", file)
    assert (code, said.splitlines()[-1]) == (0, str(file))
    released = folder / "methods" / "0-r2d" / "released.safetensors"
    public = tmp_path / "key.public.pem"
    code, said, _ = command("verify", file, "--key", public, "--models", released, "--strict")
    assert code == 0, said
    assert said.startswith("Node 6, with every message received during the unlearning, whatever its skill")
    assert said.splitlines()[-1] == "4 hold, 0 fail, 1 rest on the issuer's word, 0 unchecked"
    assert command("verify", file)[0] == 0
    assert command("verify", file, "--strict")[0] == 1
    assert command("page", file, "--key", public)[1] == f"{tmp_path / 'certificate.html'}\n"
    forged = json.loads(file.read_text("utf-8"))
    forged["guarantee"]["epsilon"] = 0.9
    file.write_text(json.dumps(forged), "utf-8")
    code, said, _ = command("verify", file)
    assert (code, "FAILS      arithmetic: epsilon is stated as 0.9" in said) == (1, True)
    assert "can hardly tell" not in said.partition("FAILS")[0]
    code, _, error = command("page", file)
    assert (code, error.startswith(f"rewindnet: {file} does not hold, so no page is made of it: signature:")) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"[" * 10**5, "nested"),
        (b"{" + b" " * 33 * 2**20 + b"}", "too large"),
        (b"\x00\xff", "UTF-8"),
    ],
)
def test_a_damaged_file_ends_in_a_sentence_and_exit_code_2(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    file.write_bytes(content)
    for name in ("verify", "page"):
        code, said, error = command(name, file)
        assert (code, said, len(error.splitlines())) == (2, "", 1)
        assert words in error


def test_a_file_is_checked_without_torch(document: dict[str, Any], keys: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(document), "utf-8")
    script = (
        "import sys\n"
        "for name in ('torch', 'pydantic', 'sklearn', 'pandas', 'matplotlib', 'filelock'):\n"
        "    sys.modules[name] = None\n"
        "import rewindnet\n"
        f"print(rewindnet.verify_certificate({str(file)!r}, {str(keys[1])!r}).tally)\n"
        f"sys.argv[1:] = ['certificate', 'page', {str(file)!r}]\n"
        "from rewindnet.experiments.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 hold, 0 fail, 1 rest on the issuer's word, 1 unchecked\n")


def test_python_takes_results_and_contents(folders: Callable[[str], RunFolder], tmp_path: Path) -> None:
    result = rewindnet.Result(folders("descent").path)
    made = rewindnet.export_certificate(result, 1)
    assert rewindnet.verify_certificate(made).holds
    with pytest.raises(rewindnet.UserError, match="not the content of a certificate's file"):
        rewindnet.verify_certificate({"format": "rewindnet certificate"})
    file = tmp_path / "there" / "certificate.json"
    assert parse(json.dumps(rewindnet.export_certificate(result, 1, out=file)).encode()) == read_certificate(file)


# The page


class Tags(HTMLParser):
    """The tags of a page, and what its attributes refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [str(value) for name, value in attrs if name in ("src", "href", "style", "onload")]


@pytest.mark.parametrize(("name", "index"), [("descent", 0), ("descent", 8), ("tokens", 3), ("in-earnest", 0)])
def test_the_page_says_all_and_asks_for_nothing(
    folders: Callable[[str], RunFolder], name: str, index: int, tmp_path: Path
) -> None:
    file = tmp_path / "certificate.json"
    document = export_certificate(folders(name).path, index, out=file)
    assert command("page", file)[0] == 0
    page = (tmp_path / "certificate.html").read_text("utf-8")
    found = Tags(page)
    assert found.references == []
    assert found.tags.isdisjoint({"script", "img", "link", "iframe", "object", "form"})
    assert "url(" not in page
    for sentence in document["statement"].values():
        assert sentence.replace("'", "&#39;") in page
    assert document["models"]["sha256"] in page
    assert "it is not signed" in page
    assert len(re.sub(r"<style>.*?</style>|<[^>]+>", "", page, flags=re.DOTALL)) < 5_500


def test_the_page_escapes_every_name(document: dict[str, Any], tmp_path: Path) -> None:
    file, name = tmp_path / "certificate.json", "<script>alert(1)</script>"
    del document["signature"]
    document["guarantee"]["method"] = document["versions"]["rewindnet"] = name
    document["premises"] = [f"{name} premise"]
    document["checked"]["issuer"] = name
    document["statement"] = statement(document)
    file.write_text(json.dumps(document), "utf-8")
    assert command("page", file)[0] == 0
    page = (tmp_path / "certificate.html").read_text("utf-8")
    assert "script" not in Tags(page).tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt; premise" in page


def test_what_no_longer_fits_on_the_page_is_left_to_the_file(document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    del document["signature"]
    document["assumptions"] = ["A long assumption. " * 20] * 40
    document["guarantee"]["method"] = "m" * 4_000
    file.write_text(json.dumps(document), "utf-8")
    assert command("page", file)[0] == 0
    page = (tmp_path / "certificate.html").read_text("utf-8")
    assert "more in the file." in page
    assert "m" * 300 not in page


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    code, _, error = command("export", tmp_path / "none", "r2d")
    assert (code, "there is no folder" in error) == (2, True)
    with pytest.raises(rewindnet.UserError, match="there is no folder"):
        read_folder(tmp_path / "none")
