"""Take each mechanism away and see that a test notices.

    python tests/mutations.py                  all of them, in a copy of the project; prints a Markdown table
    python tests/mutations.py digest lock      some

A mutation replaces a piece of one file's text. The named tests must pass without it and fail with it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutation:
    name: str
    mechanism: str
    file: str
    old: str
    new: str
    test: str
    also: tuple[str, str] = ("", "")  # replaced in the same file


def mutations():
    run, training = "tokenmatcher/files.py", "tokenmatcher/training"
    e2e = "tests/test_end_to_end.py"
    yield Mutation(
        "rename", "a file is written beside its place and renamed into it", run,
        'with temporary.open("wb") as file:', 'with path.open("wb") as file:',
        "tests/test_files.py::test_a_file_is_whole_or_as_before",
        ("        temporary.replace(path)\n", ""),
    )  # fmt: skip
    yield Mutation(
        "fsync", "a file is flushed to disk before it is renamed", run, "os.fsync(file.fileno())", "pass",
        "tests/test_files.py::test_a_file_and_its_folder_are_on_disk_before_it_is_done",
    )  # fmt: skip
    yield Mutation(
        "folder", "its folder is flushed, too", run, "        _sync_folder(path.parent)\n", "",
        "tests/test_files.py::test_a_file_and_its_folder_are_on_disk_before_it_is_done",
    )  # fmt: skip
    yield Mutation(
        "keep", "former checkpoints are kept", run, "_keep_as(younger, before(path, age))", "pass",
        "tests/training/test_resuming.py::test_the_last_saves_are_kept_and_no_more",
    )  # fmt: skip
    yield Mutation(
        "lock", "one run a folder", run, "fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass",
        "tests/test_files.py::test_a_second_run_is_told_who_holds_the_folder",
    )  # fmt: skip
    yield Mutation(
        "digest", "a digest inside checkpoints", "tokenmatcher/models/digest.py",
        "agrees = content.get(DIGEST) == digest_of(content)", "agrees = True",
        "tests/models/test_digest.py::test_a_flipped_byte_in_the_file_is_found",
    )  # fmt: skip
    yield Mutation(
        "fallback", "a damaged newest checkpoint gives way to the one before", f"{training}/resuming.py",
        "                continue\n", "                raise\n",
        "tests/training/test_resuming.py::test_the_newest_whole_one_is_taken",
    )  # fmt: skip
    yield Mutation(
        "generators", "saves within an epoch hold the random generators", f"{training}/midway.py",
        'trainer.random.restore(state["random"])', "pass",
        f"{e2e}::test_an_epoch_is_gone_on_with_where_it_was_left",
    )  # fmt: skip
    yield Mutation(
        "memories", "and the memories", f"{training}/midway.py", "vectors.copy_(saved)", "pass",
        f"{e2e}::test_an_epoch_is_gone_on_with_where_it_was_left",
    )  # fmt: skip
    yield Mutation(
        "optimiser", "and the optimiser", f"{training}/step.py",
        'optimizer.load_state_dict({**optimizer.state_dict(), "state": state["state"]})', "pass",
        f"{e2e}::test_an_epoch_is_gone_on_with_where_it_was_left",
    )  # fmt: skip
    yield Mutation(
        "signals", "SIGTERM and SIGINT finish the step and save", f"{training}/interruption.py",
        "self._deferring = True", "self._deferring = False",
        "tests/chaos/test_chaos.py::test_a_signal_finishes_the_step_and_saves",
    )  # fmt: skip
    yield Mutation(
        "log", "a resumed run cuts the log back", "tokenmatcher/report/log.py",
        "file.truncate(sum(map(len, kept)))", "pass", f"{e2e}::test_a_damaged_checkpoint_gives_way_to_the_one_before",
    )  # fmt: skip
    yield Mutation(
        "full disk", "a full disk is told by file", f"{training}/checkpoint.py",
        'raise UserError(f"{path}: cannot be written ({cause}); a file that was there is untouched") from None',
        "raise",
        "tests/chaos/test_disk.py",
    )  # fmt: skip
    yield Mutation(
        "finite", "a loss or gradient that is not finite stops the run", f"{training}/step.py",
        "if not all(finite):", "if False:",
        "tests/training/test_trainer.py::test_a_loss_that_is_not_finite_stops_and_is_named",
    )  # fmt: skip
    yield Mutation(
        "gradient", "also where only the gradient is", f"{training}/step.py",
        '"total": total.detach(), GRADIENT: norm}', '"total": total.detach(), GRADIENT: torch.ones_like(norm)}',
        "tests/methods/test_degenerate.py::test_a_loss_that_is_not_finite_names_its_images",
    )  # fmt: skip
    yield Mutation(
        "images", "and names the images of the step", f"{training}/midway.py", "rows[error.step]", "rows[-1][:0]",
        "tests/methods/test_degenerate.py::test_a_loss_that_is_not_finite_names_its_images",
    )  # fmt: skip
    yield Mutation(
        "clusters", "fewer than two clusters end in advice", "tokenmatcher/methods/labelling.py",
        '        demand_clusters(labels[m], m, clusters[m], f"stage {stage} epoch {record.epoch}", fewest[m])\n', "",
        "tests/methods/test_degenerate.py::test_nothing_to_tell_apart_ends_in_advice",
    )  # fmt: skip
    yield Mutation(
        "capacity", "lopsided clusterings raise the capacity of matching", "tokenmatcher/mining/matchers/greedy.py",
        "capacity = max(capacity, -(-num_rows // num_columns))", "pass",
        "tests/methods/test_degenerate.py::test_lopsided_clusterings_are_trained_on",
    )  # fmt: skip
    yield Mutation(
        "neighbours", "images without neighbours leave a term of 0", "tokenmatcher/losses.py",
        "    if len(anchors) == 0:\n        return scores.sum() * 0\n", "",
        "tests/methods/test_degenerate.py::test_no_neighbours_leave_a_term_of_0",
    )  # fmt: skip
    yield Mutation(
        "camera", "a camera without clusters is left as it is", "tokenmatcher/methods/camera.py",
        "if found.num_clusters < 2:", "if False:",
        "tests/methods/test_degenerate.py::test_a_camera_without_clusters_is_left_as_it_is",
    )  # fmt: skip
    yield Mutation(
        "pickle", "no code in checkpoints and starts", "tokenmatcher/models/files.py", "weights_only=True",
        "weights_only=False", "tests/models/test_files.py::test_code_in_a_file_is_refused_and_not_run",
    )  # fmt: skip
    yield Mutation(
        "giant", "a network is compared with the file before it is built", "tokenmatcher/models/weights.py",
        "        if claimed != held:\n", "        if False:\n",
        "tests/fuzz/test_checkpoints.py::test_a_giant_network_is_refused_before_memory_is_taken",
    )  # fmt: skip
    yield Mutation(
        "root", "list entries stay in the data folder", "tokenmatcher/datasets/files.py",
        'return any(path.anchor or ".." in path.parts for path in paths)', "return False",
        "tests/datasets/test_records.py",
    )  # fmt: skip
    yield Mutation(
        "pixels", "decompression bombs are refused by pixel count", "tokenmatcher/images/pictures.py",
        "if image.width * image.height > MOST_PIXELS:", "if False:",
        "tests/images/test_store.py::test_more_pixels_than_anybody_photographs_are_refused",
    )  # fmt: skip
    yield Mutation(
        "formats", "pictures of other formats are not given to Pillow", "tokenmatcher/images/pictures.py",
        "Image.open(path, formats=FORMATS)", "Image.open(path)",
        "tests/images/test_store.py::test_formats_that_no_suffix_stands_for_are_refused",
    )  # fmt: skip
    yield Mutation(
        "names", "names of files are shown without control characters", "tokenmatcher/errors.py",
        "super().__init__(shown(", "super().__init__((", "tests/fuzz/test_fuzz.py::test_damaged_trees",
    )  # fmt: skip
    yield Mutation(
        "copy", "the training copy is built beside its place", "tokenmatcher/datasets/copy.py",
        "                _clear_leftovers(place)\n    except", "                pass\n    except",
        "tests/datasets/test_prepare.py",
    )  # fmt: skip
    yield Mutation(
        "seed", "every random number comes from the seed", "tokenmatcher/machine.py",
        "self.order = np.random.default_rng(seed)", "self.order = np.random.default_rng()",
        "tests/training/test_reproducible.py::test_the_same_bits_twice",
    )  # fmt: skip
    norms, groups = "tokenmatcher/models/norms.py", "tests/models/test_norms.py"
    yield Mutation(
        "groups", "batch norm groups do not see each other", norms,
        "        if self.groups == 1:\n", "        if True:\n", f"{groups}::test_groups_are_separate_passes",
    )  # fmt: skip
    yield Mutation(
        "statistics", "running statistics come from the first group alone", norms,
        "F.batch_norm(x, None, None,", "F.batch_norm(x, self.running_mean, self.running_var,",
        f"{groups}::test_the_other_groups_leave_no_trace_in_running_statistics",
    )  # fmt: skip
    yield Mutation(
        "necks", "in the necks group g of both modalities is one group", "tokenmatcher/models/base.py",
        "rows = gather_groups(tokens, counts, groups) if groups > 1 else tokens", "rows = tokens",
        f"{groups}::test_groups_are_separate_passes",
    )  # fmt: skip
    yield Mutation(
        "partners", "processes that hold a group together share its statistics", norms,
        "norm.groups, norm.partners = 1, partners", "norm.groups = 1",
        "tests/models/test_norm_processes.py::test_processes_are_one",
    )  # fmt: skip
    yield Mutation(
        "same", "all processes have the first one's running statistics", "tokenmatcher/models/norms.py",
        "                    team.broadcast(buffer)\n", "                    pass\n",
        "tests/models/test_norm_processes.py::test_processes_are_one",
    )  # fmt: skip
    yield Mutation(
        "formerly", "numbers that came in after a checkpoint mean what was done before",
        "tokenmatcher/training/checkpoint.py", "for name, value in saved.latecomers().items() if name not in given",
        "for name, value in saved.latecomers().items() if False",
        "tests/training/test_older_checkpoints.py::test_numbers_that_came_in_later_mean_what_was_done_then",
    )  # fmt: skip
    yield Mutation(
        "twice", "no identity stands twice in a batch", "tokenmatcher/images/batches.py",
        "whole = len(groups) // identities * identities or len(groups)", "whole = len(groups)",
        "tests/images/test_batches.py::test_no_identity_stands_twice_in_a_batch",
    )  # fmt: skip
    yield Mutation(
        "fifteen", "replacement at exactly 15 others, as published", "tokenmatcher/images/batches.py",
        "replace=pool.size < instances)", "replace=pool.size < instances - 1)",
        "tests/images/test_batches.py::test_replacement_where_there_are_fewer_than_the_instances",
    )  # fmt: skip
    yield Mutation(
        "late", "twins are jittered after crop and mirror, as published", "tokenmatcher/images/augment.py",
        "self.config.late_jitter and not jitter_plain", "False",
        "tests/images/test_augment.py::test_late_jitter_is_the_twins_alone_and_turns_about_the_border_too",
    )  # fmt: skip
    yield Mutation(
        "clustered", "clustering sees the pictures that were resized for it", "tokenmatcher/training/trainer.py",
        "self.images[m].clustered", "self.images[m].store",
        "tests/training/test_trainer.py::test_clustering_sees_the_pictures_made_for_it",
    )  # fmt: skip
    yield Mutation(
        "instances", "SDCL's instance memories are among what is saved within an epoch",
        "tokenmatcher/methods/sdcl_objective.py",
        "[*clusters.values(), *(memory for pair in self.instances.values() for memory in pair)]",
        "[*clusters.values()]",
        "tests/test_sdcl_end_to_end.py::test_a_killed_run_resumes_to_the_same_weights",
    )  # fmt: skip
    yield Mutation(
        "buffers", "SDCL's second stage goes on with the first one's optimiser", "tokenmatcher/training/trainer.py",
        "self.position.optimizer if self.stages[number].keeps_optimizer else None", "None",
        "tests/methods/test_sdcl.py::test_stage_two_goes_on_with_the_optimiser",
    )  # fmt: skip
    yield Mutation(
        "order", "PGM writes what was scored across before each modality's own", "tokenmatcher/methods/pgm.py",
        "        self.write(self.memories[self.across.other], *self._matched(views[self.across]))\n"
        "        super().update(views)\n",
        "        super().update(views)\n"
        "        self.write(self.memories[self.across.other], *self._matched(views[self.across]))\n",
        "tests/methods/test_pgm.py::test_golden",
    )  # fmt: skip
    yield Mutation(
        "counted", "what gradient checkpointing does again leaves no trace in batch norms",
        "tokenmatcher/models/norms.py", "        norm.momentum = 0.0\n", "        pass\n",
        "tests/models/test_resnet.py::test_recomputing_counts_a_batch_once",
    )  # fmt: skip
    yield Mutation(
        "views", "views are made unit before their mean is taken", "tokenmatcher/models/embedder.py",
        "if self.network.config.unit_views:", "if False:",
        "tests/models/test_embedder.py::test_unit_views_are_made_unit_before_their_mean_is_taken",
    )  # fmt: skip


def passes(folder, test):
    """Whether a test passes there, in a minute or ten."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *test.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{test}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def copied(folder):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="mutations (default: all)")
    given = parser.parse_args()
    missed, sound = 0, set()
    print("| mechanism | mutation | failing test |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        for mutation in mutations():
            if given.names and mutation.name not in given.names:
                continue
            path = folder / mutation.file
            text = path.read_text(encoding="utf-8")
            if text.count(mutation.old) != 1:
                raise SystemExit(f"{mutation.name}: stands {text.count(mutation.old)} times in {mutation.file}")
            if mutation.test not in sound:
                if not passes(folder, mutation.test):
                    raise SystemExit(f"{mutation.test} fails without any mutation")
                sound.add(mutation.test)
            mutated = text.replace(mutation.old, mutation.new).replace(*mutation.also)
            path.write_text(mutated, encoding="utf-8")
            noticed = not passes(folder, mutation.test)
            path.write_text(text, encoding="utf-8")
            missed += not noticed
            old, new = (" ".join(piece.split()) or "(nothing)" for piece in (mutation.old, mutation.new))
            test = mutation.test.removeprefix("tests/") if noticed else f"**NOT NOTICED** by {mutation.test}"
            cells = (
                f"{mutation.file.removeprefix('tokenmatcher/')}: `{old}` becomes `{new}`".replace("|", "\\|"),
                test,
            )
            print(f"| {mutation.mechanism} | {' | '.join(cells)} |", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
