"""An executor that treats jobs as Kubernetes and AWS Batch do: a new folder for each, nothing shared but the bucket.

It runs the very command that those two would run, as a process of this machine. What is not tested by it is their
services: asking for machines, images, credentials.
"""

import os
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from snakemake_executor_plugin_kubernetes import common_settings  # noqa: F401  (read by Snakemake)
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface


class Executor(RemoteExecutor):
    """Runs each job in a folder of its own."""

    def __post_init__(self) -> None:
        self.next_seconds_between_status_checks = 1

    def run_job(self, job: JobExecutorInterface) -> None:
        """Start a job, with the environment that a pod would have: none of Snakemake's own but its secrets."""
        folder = Path(tempfile.mkdtemp(prefix="pod.", dir="..")).resolve()
        with (folder / "pod.log").open("w") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", self.format_job_exec(job)],
                cwd=folder,
                env=self.pod_environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        resources = {name: value for name, value in dict(job.resources).items() if not callable(value)}
        self.logger.info(f"pod {folder.name} {job.name} {resources}")
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=folder.name, aux={"process": process}))

    def pod_environment(self) -> dict[str, str]:
        """Give what the image and the secrets set."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, **self.envvars()}

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Ask for the exit status of the jobs' processes."""
        for info in active_jobs:
            status = info.aux["process"].poll()
            if status is None:
                yield info
            elif status == 0:
                self.report_job_success(info)
            else:
                self.report_job_error(info, aux_logs=[str(Path("..", info.external_jobid, "pod.log"))])

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """End the jobs' processes."""
        for info in active_jobs:
            info.aux["process"].terminate()
