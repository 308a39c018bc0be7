"""What the full schedule would take, from the phases of a rehearsal: sh benchmarks/rehearsal.sh

Every epoch's phases are in the run's log. An epoch of each stage (the last one, when everything is warm) times the
paper's number of epochs is the projection; the first epoch, which also compiles, is counted once beside it.
"""

import json
from pathlib import Path

from benchmarks.machine import benchmark_parser, write_result
from tokenmatcher.cli import run
from tokenmatcher.errors import UserError
from tokenmatcher.presets import preset
from tokenmatcher.report.tables import table


def main():
    parser = benchmark_parser("rehearsal", "Projected time of the full schedule.")
    parser.add_argument("--logs-dir", type=Path, default=Path("logs/rehearsal/run"), help="(default %(default)s)")
    given = parser.parse_args()
    log = given.logs_dir / "log.jsonl"
    if not log.is_file():
        raise UserError(f"{log}: no such file; run sh benchmarks/rehearsal.sh")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    paper = preset("sysu", "paper")
    used = json.loads((given.logs_dir / "config.json").read_text())
    phases, projected = {}, 0.0
    for stage, epochs in (("1", paper.schedule.epochs[0]), ("2", paper.schedule.epochs[1])):
        own = [entry for entry in entries if entry["stage"] == stage]
        phases[stage] = own[-1]["seconds"]
        first, last = (sum(entry["seconds"].values()) for entry in (own[0], own[-1]))
        # The last epoch was tested, as the paper's are from --eval-start on.
        projected += max(0.0, first - last) + epochs * last
    cameras = {entry["camera"]: entry for entry in entries if entry["stage"] == "camera"}
    for camera, entry in cameras.items():
        infrared = camera in (3, 6)
        epochs = paper.camera.camera_epochs_infrared if infrared else paper.camera.camera_epochs_visible
        projected += epochs * sum(entry["seconds"].values())
    phases["camera"] = {str(camera): entry["seconds"] for camera, entry in cameras.items()}
    rows = [[f"stage {s}", *(f"{name} {value:.1f} s" for name, value in phases[s].items())] for s in ("1", "2")]
    width = max(map(len, rows))
    print(table(["last epoch", *[""] * (width - 1)], [row + [""] * (width - len(row)) for row in rows]))
    if used["model"]["embed_dim"] == paper.model.embed_dim:
        print(f"the paper's schedule: {projected / 60:.1f} minutes (at most 60 on one H200)")
    else:
        print(f"as many epochs of this small network: {projected / 60:.1f} minutes, which says nothing of the paper's")
    result = {"seconds_of_phases": phases, "projected_minutes": projected / 60, "recipe": used}
    write_result(given.out, "rehearsal", result)


if __name__ == "__main__":
    run(main)
