"""`rnla plan` and `rnla run`: a pipeline, a store, and flags or a job file that say the rest."""

from __future__ import annotations

from contextlib import ExitStack
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rnla.cli.clusters import Machines, opened
from rnla.cli.door import TOLERANCE_NOT_MET, debug_option, json_option
from rnla.cli.jobfile import is_job_file, job_file
from rnla.cli.options import given_options, pipeline_options, size
from rnla.cli.output import print_json, print_rows, singular
from rnla.errors import ConfigError, DoesNotFitError, OutputError, RequestError

if TYPE_CHECKING:
    from rnla.algorithms.planning import Plan
    from rnla.cluster.resources import Resources
    from rnla.jobs.running import Outcome

_SCHEDULER = "Address of a running Dask scheduler: tcp://127.0.0.1:8786, tls://host:8786.  [default: threads here]"
_COMMON = (
    click.Option(["--job"], metavar="FILE", help="TOML job file: pipeline, store, out, [options]. Flags override it."),
    click.Option(["--threads"], type=click.IntRange(1), help="Spans worked on at once.  [default: all cores]"),
    click.Option(["--memory"], type=size, help="Refuse a plan that needs more, like 600MB.  [default: what is free]"),
    click.Option(["--scheduler"], metavar="ADDRESS", help=_SCHEDULER),
    click.Option(["--insecure"], is_flag=True, help="Allow a scheduler on plain tcp off this machine."),
    click.Option(["--workers"], type=click.IntRange(1), help="Start so many worker processes on this machine."),
    click.Option(["--worker-memory"], type=size, help="Memory limit of each of them, like 512MB; they never spill."),
)
_PLAN_ONLY = (click.Option(["--graph"], metavar="FILE.svg", help="Draw the task graph of one sweep."),)
_RUN_ONLY = (
    click.Option(
        ["--out"],
        metavar="RESULT",
        help="Where the result goes: a new path, outside of other stores; its folder is made if need be.",
    ),
    click.Option(["--overwrite"], is_flag=True, help="Replace a result that rnla made; anything else is left alone."),
    click.Option(["--quiet", "-q"], is_flag=True, help="Say nothing but errors."),
)


class Pipelines(click.Group):
    """One subcommand for each pipeline that is installed; its flags are the fields of its configuration."""

    def __init__(self, name: str, **attributes: Any) -> None:
        self.work = {"plan": _plan, "run": _run}[name]
        self.own_options = {"plan": _PLAN_ONLY, "run": _RUN_ONLY}[name]
        super().__init__(name, subcommand_metavar="PIPELINE [STORE] [OPTIONS]", **attributes)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the pipelines."""
        return sorted(_pipelines())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of one pipeline."""
        found = _pipelines().get(cmd_name)
        return None if found is None else self._command(found)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command named first; an unknown name is told with the nearest one."""
        known = self.list_commands(ctx)
        if args[0] not in known:
            near = get_close_matches(args[0], known, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"there is no pipeline {args[0]!r}.{guess} Pipelines: {', '.join(known)}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A job file may name the pipeline: `rnla run job.toml` is `rnla run svd job.toml`."""
        args = [*_pipeline_of_job_file(args), *args]
        if args and args[0].startswith("-") and not {"-h", "--help", "--debug"} & set(args):
            ctx.fail(f"name the pipeline first: {ctx.command_path} PIPELINE STORE {' '.join(args)}")
        return super().parse_args(ctx, args)

    def _command(self, pipeline: Any) -> click.Command:
        common = [*self.own_options, *_COMMON]
        taken = frozenset(str(option.name) for option in common) | {"json", "debug", "help", "store"}

        def work(**parameters: Any) -> None:
            self.work(pipeline, parameters)

        params: list[click.Parameter] = [click.Argument(["store"], required=False, metavar="[STORE|JOB.toml]")]
        params += [*pipeline_options(pipeline.config, taken), *common]
        command = click.Command(pipeline.name, callback=work, params=params, help=pipeline.summary)
        json_option(command)
        debug_option(command)
        return command


def _pipelines() -> dict[str, Any]:
    from rnla.jobs.pipelines import pipelines

    return pipelines()


def _pipeline_of_job_file(args: list[str]) -> list[str]:
    """The pipeline's name from the job file, where the command line begins with that file or with an option."""
    if not args or not (args[0].startswith("-") or is_job_file(args[0])):
        return []
    paths = [args[0]] if is_job_file(args[0]) else []
    paths += [after for flag, after in pairwise(args) if flag == "--job"]
    paths += [arg.removeprefix("--job=") for arg in args if arg.startswith("--job=")]
    if not paths:
        return []
    job = job_file(paths[-1])
    if job.pipeline is None:
        msg = f"job file {paths[-1]} names no pipeline; add `pipeline = 'svd'`, or name it on the command line"
        raise ConfigError(msg)
    return [job.pipeline]


class Asked(NamedTuple):
    """What the command line and the job file say together."""

    store: str | None
    out: str | None
    options: dict[str, Any]
    machines: Machines


def _settled(pipeline: Any, parameters: dict[str, Any]) -> Asked:
    """The job file with flags over it, and where the job runs; a STORE that ends in .toml is the job file."""
    store, path = parameters["store"], parameters["job"]
    if is_job_file(store):
        if path is not None:
            msg = f"{store} and --job {path} are two job files: give one"
            raise ConfigError(msg)
        store, path = None, store
    job = job_file(path)
    if job.pipeline not in {None, pipeline.name}:
        msg = f"job file {path} is for {job.pipeline!r} and the command says {pipeline.name!r}: leave one of them out"
        raise ConfigError(msg)
    machines = Machines(
        parameters["scheduler"],
        parameters["insecure"],
        parameters["workers"],
        parameters["worker_memory"],
        parameters["threads"],
    )
    out = parameters.get("out") or job.out
    return Asked(store or job.store, out, job.options | given_options(parameters), machines)


def _wanted(wanted: str | None, what: str) -> str:
    if not wanted:
        msg = f"name {what}, here or in a job file"
        raise RequestError(msg)
    return wanted


def _plan(pipeline: Any, parameters: dict[str, Any]) -> None:
    from rnla.cluster.resources import resources
    from rnla.jobs.running import plan_job
    from rnla.sweeps.runners import active_runner

    asked = _settled(pipeline, parameters)
    machines, store = asked.machines, _wanted(asked.store, "the STORE that holds the matrix")
    limit = parameters["memory"] or parameters["worker_memory"]
    if parameters["graph"] and not parameters["graph"].lower().endswith(".svg"):
        msg = f"--graph {parameters['graph']}: the graph is drawn as SVG; give a file name that ends in .svg"
        raise RequestError(msg)
    with opened(machines):
        promised = plan_job(pipeline.name, store, asked.options, threads=machines.threads, memory_bytes=limit)
        found = resources(active_runner(machines.threads), limit)
    if parameters["graph"]:
        _draw(promised, store, parameters["graph"])
    fits = promised.peak_bytes <= found.limit_bytes
    if parameters["as_json"]:
        print_json(promised.as_dict() | {"limit_bytes": found.limit_bytes, "workers": found.workers, "fits": fits})
    else:
        print_rows(promised.summary)
    if not fits:
        _refuse(pipeline, promised, found)


def _refuse(pipeline: Any, promised: Plan, found: Resources) -> None:
    """What `run` would say; the plan itself has been printed."""
    from rnla.cluster.resources import refuse_if_too_large
    from rnla.jobs.cures import memory_cure

    try:
        refuse_if_too_large(promised.peak_bytes, found, memory_cure(pipeline))
    except DoesNotFitError as error:
        click.echo(f"error: {error}", err=True)
        click.get_current_context().exit(error.exit_code)


def _draw(promised: Plan, store: str, path: str) -> None:
    from rnla.dashboard.graph import write_sweep_graph
    from rnla.opening import open_matrix

    A = open_matrix(store)
    view, along = (A.T, "columns") if promised.transposed else (A, "rows")
    try:
        write_sweep_graph(path, view.geometry, title=f"One sweep of {store}", along=along)
    except OSError as error:
        msg = f"{path}: the graph cannot be written ({error.strerror}); choose another place"
        raise OutputError(msg) from error
    click.echo(f"graph of one sweep: {path}", err=True)


def _run(pipeline: Any, parameters: dict[str, Any]) -> None:
    from rnla.cli.progress import observer
    from rnla.jobs.running import run_job

    asked = _settled(pipeline, parameters)
    machines, store = asked.machines, _wanted(asked.store, "the STORE that holds the matrix")
    out = _wanted(asked.out, "where the result goes with --out RESULT")
    quiet = parameters["quiet"] or parameters["as_json"]
    with ExitStack() as stack:
        stack.enter_context(opened(machines))
        watch = stack.enter_context(observer(quiet=quiet))
        outcome = run_job(
            pipeline.name,
            store,
            out,
            asked.options,
            overwrite=parameters["overwrite"],
            threads=machines.threads,
            memory_bytes=parameters["memory"] or parameters["worker_memory"],
            observer=watch,
        )
    if parameters["as_json"]:
        print_json(outcome._asdict())
    elif not quiet:
        _told(outcome)
    if outcome.status != "ok":
        click.get_current_context().exit(TOLERANCE_NOT_MET)


def _told(outcome: Outcome) -> None:
    """One line on stderr; on a terminal the certificate too."""
    from rnla.cli.certificates import told_certificate, told_shortly
    from rnla.cli.networks import small_arrays
    from rnla.cli.output import console
    from rnla.cli.results import record_of, told_cost

    record = record_of(outcome.attributes)
    arrays = small_arrays(outcome.path) if record.get("pipeline") == "train" else {}
    screen = console(stderr=True)
    if screen.is_terminal:
        print_rows([*told_certificate(record, arrays), *told_cost(record)], stderr=True)
    click.echo(_summary(outcome, record, told_shortly(record, arrays)), err=True)
    if (told := (record.get("certificate") or {}).get("diverged")) is not None:
        click.echo(f"warning: {told}; the last finite network is kept", err=True)


def _summary(outcome: Outcome, record: dict[str, Any], shortly: str) -> str:
    cost = record.get("cost") or {}
    how = "done before, reused" if outcome.reused else "resumed and done" if outcome.resumed_sweeps else "done"
    state = how if outcome.status == "ok" else f"{how}, {outcome.status}"
    passes = f", {cost['passes']:.3g} passes in {cost['seconds']:.1f} s" if cost else ""
    return f"{record.get('pipeline', 'job')} {state}{shortly}{singular(passes)}: {outcome.path}"


@click.command("plan", cls=Pipelines, short_help="What a job will cost; nothing is read.")
def plan() -> None:
    """What a job will cost, before anything is read: passes, bytes, memory."""


@click.command("run", cls=Pipelines, short_help="Run a job, or resume it.")
def run() -> None:
    """Run a pipeline on a store; the same command again resumes or reuses it."""
