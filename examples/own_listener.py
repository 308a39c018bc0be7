"""A listener of one's own: a CSV file with a row an epoch, for a spreadsheet.

    python train_sysu.py --preset demo --data-dir data/demo --listener examples/own_listener.py

The file, `epochs.csv`, lies in the run's folder. A run that goes on leaves no row twice.
"""

import csv

from tokenmatcher.listeners import Listener

HEAD = ("stage", "camera", "epoch", "loss", "visible clusters", "infrared clusters", "protocol", "rank-1")


class Spreadsheet(Listener):
    def on_begin(self, folder, records):
        self.path = folder / "epochs.csv"
        with self.path.open("a+", newline="", encoding="utf-8") as file:
            file.seek(0)
            kept = list(csv.reader(file))[: records + 1] or [HEAD]
            file.truncate(0)
            csv.writer(file).writerows(kept)

    def on_epoch(self, record):
        protocol, scores = next(iter(record.scores.items()), ("", {}))
        clusters = [record.labels.get(modality, {}).get("clusters", "") for modality in ("visible", "infrared")]
        loss = (record.losses or {}).get("total", "")
        place = [record.place["stage"], record.place.get("camera", ""), record.epoch]
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([*place, loss, *clusters, protocol, scores.get("rank1", "")])
