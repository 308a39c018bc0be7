"""The disk becomes full in the middle of a run."""

import shlex
import shutil
import subprocess
import sys

import pytest
import torch
from chaos import harness
from scripts import ENVIRONMENT, HANGING, ROOT

pytestmark = pytest.mark.slow
NAMESPACE = ["unshare", "--map-root-user", "--mount"]  # in which anybody may mount


def can_mount(folder):
    if shutil.which("unshare") is None:
        return False
    mount = [*NAMESPACE, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    return subprocess.run(mount, capture_output=True).returncode == 0


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_full_disk_is_told_and_what_was_saved_is_whole(untouched, tmp_path, share):
    data, whole, _ = untouched
    small, rescued = tmp_path / "small", tmp_path / "rescued"
    small.mkdir()
    if not can_mount(small):
        pytest.skip("no file systems may be mounted here")
    size = int(share * sum(path.stat().st_size for path in whole.rglob("*") if path.is_file()))
    train = shlex.join(map(str, [sys.executable, *harness.command(data, small / "run"), "--save-every", "0"]))
    here, there = (shlex.quote(str(path)) for path in (small, rescued))
    script = f"""
        mount -t tmpfs -o size={size} none {here} || exit 9
        {train}
        status=$?
        cp -r {here}/run {there}
        exit $status
    """
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=HANGING, env=ENVIRONMENT
    )
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and str(small) in lines[0] and "No space left" in lines[0], done.stderr
    for path in rescued.rglob("*.pt"):
        assert torch.load(path, weights_only=True)["format"] == "tokenmatcher"
    assert not list(rescued.rglob("*.tmp"))
    harness.demand(harness.python(*harness.command(data, rescued)), 0)
    assert not harness.differences(harness.state(whole), harness.state(rescued))
