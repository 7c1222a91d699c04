"""The commands `rewindnet certificate …`. Each imports its modules when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from rewindnet.experiments.output import say

app = typer.Typer(
    help="Hand over the certificate of a release as one file, and check such a file.", no_args_is_help=True
)

CertificateFile = Annotated[Path, typer.Argument(metavar="FILE")]
PublicKey = Annotated[
    Path | None, typer.Option("--key", help="The public key, in PEM, that the file must be signed with.")
]


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    method: Annotated[str, typer.Argument(metavar="METHOD")],
    request: Annotated[
        int | None, typer.Option("--request", help="The number of the deletion request, where there are several.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="A private Ed25519 key, in PEM, to sign with.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; DIR/certificate-METHOD.json.")] = None,
) -> None:
    """Write the certificate of a release as one JSON file without secrets.

    METHOD is the name of the method, or its number in the table. The run is verified first.
    """
    from rewindnet.experiments.handover.export import export_certificate

    name = f"certificate-{method}.json" if request is None else f"certificate-{method}-{request}.json"
    file = out or folder / name
    document = export_certificate(folder, method, request, key, file)
    say(document["statement"]["promise"])
    say(document["statement"]["limits"])
    say(file)


@app.command()
def verify(
    file: CertificateFile,
    key: PublicKey = None,
    models: Annotated[
        list[Path] | None,
        typer.Option("--models", help="Released models to compare, .safetensors; may be given several times."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where something could not be checked.")] = False,
) -> None:
    """Check the file of a certificate by itself: signature, arithmetic, sentences and models.

    Each line says what holds, what FAILS, what rests on the issuer's word (recorded), and what is unchecked.
    """
    from rewindnet.experiments.handover.files import read_certificate
    from rewindnet.experiments.handover.verify import verify_certificate

    document = read_certificate(file)
    outcomes = verify_certificate(document, key, models or [])
    if outcomes.holds:
        say(document["statement"]["promise"])
        say(document["statement"]["limits"])
    for outcome in outcomes:
        say(f"{outcome.status:9}  {outcome.what}: {outcome.sentence}")
    say(outcomes.tally)
    if not outcomes.holds or (strict and outcomes.unchecked):
        raise typer.Exit(1)


@app.command()
def page(
    file: CertificateFile,
    key: PublicKey = None,
    out: Annotated[Path | None, typer.Option("--out", help="The page to write; FILE with .html.")] = None,
) -> None:
    """Write the certificate of a file as one page to print, for a reader who is no expert."""
    from rewindnet.experiments.handover.page import write_page

    say(write_page(file, key, out or file.with_suffix(".html")))


@app.command()
def keygen(
    out: Annotated[Path, typer.Option("--out", help="The file of the private key.")] = Path("private.pem"),
) -> None:
    """Make a pair of Ed25519 keys: a private one to sign with, and a public one to hand over."""
    from rewindnet.experiments.handover.signature import make_keys

    public, fingerprint = make_keys(out)
    say(f"private key, to keep: {out}")
    say(f"public key, to hand over: {public}, fingerprint {fingerprint}")
