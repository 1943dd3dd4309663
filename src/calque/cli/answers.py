"""Commands that draw from runs: events, and the parameters that made data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calque.cli.options import Layout, Quiet, Resume, Settings, app


@app.command()
def produce(
    runs: Annotated[list[Path], typer.Argument(help="run folders, mixed by their rates")],
    out: Annotated[Path, typer.Option("--out", "-o", help="file to write; its suffix is the format")],
    n: Annotated[float | None, typer.Option("-n", help="expected number of events; one per row of --contexts")] = None,
    context: Annotated[list[str], typer.Option("--context", help="fix a context: --context id=13")] = [],  # noqa: B006
    contexts: Annotated[str | None, typer.Option(help="a file of contexts: n / rows events for each row")] = None,
    where: Annotated[str | None, typer.Option(help="a region, until n events lie in it: pz > 100")] = None,
    way: Annotated[str, typer.Option(help="into the region: rejection or latent")] = "rejection",
    data: Annotated[str | None, typer.Option("--data", help="where the original of a run moved to, for latent")] = None,
    unweight: Annotated[bool, typer.Option("--unweight", help="accept events by their learnt weight: each counts one")]
    = False,
    seed: Annotated[int, typer.Option(help="which events")] = 0,
    first_event: Annotated[int, typer.Option(help="go on after an earlier production of this seed")] = 0,
    exact: Annotated[bool, typer.Option("--exact", help="exactly n events, not a Poisson number")] = False,
    order: Annotated[str, typer.Option(help="shuffled or sorted by run")] = "shuffled",
    tree: Annotated[str | None, typer.Option(help="name of the tree or group")] = None,
    compression: Annotated[str, typer.Option(help="none, lz4, zstd or zlib, with a level: zstd-5")] = "lz4",
    layout: Layout = None,
    workers: Annotated[int, typer.Option(help="threads that draw")] = 2,
    precision: Annotated[str, typer.Option(help="float32 or bf16")] = "float32",
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto")] = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Draw events into a file."""
    from calque.producing import produce as produce_events
    from calque.producing.sources import chosen

    typer.echo(produce_events(
        list(runs), n, out=out, context=chosen(context, contexts), where=where, way=way, data=data,  # type: ignore[arg-type]
        unweight=unweight, seed=seed, first_event=first_event, exact=exact, order=order, tree=tree,  # type: ignore[arg-type]
        compression=compression, layout=layout, workers=workers, precision=precision,  # type: ignore[arg-type]
        device=device, resume=resume, quiet=quiet,
    ))


@app.command()
def tune(
    emulator: Annotated[Path, typer.Argument(help="a run folder: an emulator of the simulation")],
    data: Annotated[str, typer.Argument(help="a file of images whose parameters are to be found")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the answer")] = Path("tuned"),
    settings: Settings = [],  # noqa: B006
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Find the parameters that made data, through an emulator of the simulation."""
    from calque.config import section_settings
    from calque.tuning import tune as find

    typer.echo(find(emulator, data, out=out, seed=seed, resume=resume, quiet=quiet,
                    **section_settings("tune", settings)))
