"""Write a study as an array of jobs for Slurm: `rewindnet sweep … --launcher slurm-array`.

Nothing is submitted. Every run that is not finished becomes one line of `commands.txt`, and `sweep.sbatch` runs the
line whose number is that of its task. The study is gathered by the same sweep without the launcher.
"""

import shlex
import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from rewindnet.errors import notice
from rewindnet.experiments.folder.files import write
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.studies.making import Missing

#: The files of an array, in the folder of the study.
COMMANDS, SCRIPT = "commands.txt", "sweep.sbatch"
#: By how much more memory is asked for than a run takes by the estimate.
_MARGIN = 1.25
#: The largest number of tasks that Slurm takes in one array unless it is set up otherwise.
_LARGEST_ARRAY = 1_000


def write_array(
    missing: Sequence[Missing], path: Path, folder: Path, name: str, force: bool, jobs: int | None
) -> list[Path]:
    """Write the commands of runs and the script of an array of jobs into the folder of a study.

    Args:
        missing: the runs that are to be made.
        path: the study file or scenario file.
        folder: the folder of the study.
        name: the name of the scenario.
        force: overwrite earlier runs.
        jobs: how many tasks go on at the same time; None leaves that to Slurm.

    Returns:
        The files; none if there is nothing to run.

    Raises:
        ScenarioError: if a run is not one process, or a command does not fit on a line.
    """
    if not missing:
        return []
    several = [run for run in missing if not run.one_process]
    if several:
        raise ScenarioError(
            "the launcher slurm-array makes each run in one process: use backend.kind=in-process, or give the commands "
            "of the runs to Slurm yourself"
        )
    if len(missing) > _LARGEST_ARRAY:
        notice(f"an array of {len(missing)} tasks is larger than Slurm takes by default; see its MaxArraySize")
    commands = [_command(run, path, force) for run in missing]
    broken = next((command for command in commands if "\n" in command), None)
    if broken is not None:
        raise ScenarioError(f"a command has to fit on one line: {broken!r}")
    write(folder / COMMANDS, "".join(f"{command}\n" for command in commands))
    write(folder / SCRIPT, _script(missing, folder, name, jobs))
    return [folder / COMMANDS, folder / SCRIPT]


def submit_command(folder: Path) -> str:
    """Return the command that submits the array of a study."""
    return f"cd {shlex.quote(str(folder))} && sbatch {SCRIPT}"


def _command(run: Missing, path: Path, force: bool) -> str:
    """Return the command that makes one run, from the folder in which the sweep was started."""
    settings = [f"{key}={value}" for key, value in run.point.values.items()]
    out = ["--out", str(run.point.folder), *(["--force"] if force else [])]
    # -P: what lies in the current folder is not to be imported in place of what was installed.
    return shlex.join([sys.executable, "-P", "-m", "rewindnet", "run", str(path), *settings, *out])


def _script(missing: Sequence[Missing], folder: Path, name: str, jobs: int | None) -> str:
    """Return the script of the array; its lines of options hold no paths, which may have any letters."""
    most = f"%{jobs}" if jobs else ""
    megabytes = ceil(_MARGIN * max(run.memory for run in missing) / 1e6)
    threads = max(run.threads for run in missing)
    return f"""#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=1-{len(missing)}{most}
#SBATCH --cpus-per-task={threads}
#SBATCH --mem={megabytes}M
#SBATCH --output=slurm-%A_%a.log

export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-{threads}}}"
cd {shlex.quote(str(Path.cwd()))} || exit 1
command=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {shlex.quote(str((folder / COMMANDS).absolute()))})
[ -n "$command" ] || exit 1
eval "exec $command"
"""
