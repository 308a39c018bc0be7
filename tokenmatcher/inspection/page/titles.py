"""What the log calls its figures, in words."""

from __future__ import annotations

import re

TOPICS = {
    "scores": ("Test scores", "Of the epochs that were tested. Training never sees these."),
    "labels": (
        "Pseudo labels",
        "Clusters should stay near the number of people. ARI and NMI compare them with the true identities, which "
        "training never reads.",
    ),
    "match": (
        "Matches between modalities",
        "right: share of matched clusters whose partner shows the same person; matchable: the share of all clusters "
        "for which there is such a partner. Where every cluster is matched, right cannot pass matchable. Images are "
        "alike where they pass the matcher's threshold.",
    ),
    "association": (
        "Association",
        "Each visible image is given an infrared cluster, or none; with one it is trained on that cluster's memory.",
    ),
    "neighbours": (
        "Neighbours",
        "Of an image those that it is pulled to. Fewer and righter is healthy; fewer without righter is a bad sign.",
    ),
    "losses": ("Losses", "Means over an epoch's steps, unweighted; the total is weighted."),
    "training": ("Training", ""),
    "seconds": ("Time", "Seconds of each phase of an epoch."),
}
TITLES = {
    ("labels", "clusters"): "Clusters",
    ("labels", "outliers"): "Outliers (images left out)",
    ("labels", "ari"): "Adjusted Rand index",
    ("labels", "nmi"): "Normalised mutual information",
    ("match", "shares"): "Share of clusters",
    ("match", "ratio"): "Visible clusters per infrared one",
    ("match", "capacity"): "Capacity of matching",
    ("match", "raised"): "Capacity raised (1: yes)",
    ("match", "matched_columns"): "Clusters of the smaller side with a match, share",
    ("match", "fused_pairs"): "Fused pairs (HF)",
    ("match", "associated"): "Visible images that have an infrared cluster, share",
    ("match", "alike"): "Pairs of images that are alike",
    ("match", "alike_share"): "Pairs of images that are alike, share",
    ("match", "accepted"): "Pairs of clusters that were accepted",
    ("match", "rounds"): "Rounds of assignment",
    ("association", "trained"): "Visible images that are trained on, share",
    ("association", "right"): "Visible images whose infrared cluster shows their person, share",
    ("association", "clusters_without"): "Infrared clusters without visible images",
    ("neighbours", "per_image"): "Neighbours an image",
    ("neighbours", "precision"): "Neighbours that are right, share",
    ("scores", "rank1"): "rank-1",
    ("scores", "rank5"): "rank-5",
    ("scores", "rank10"): "rank-10",
    ("scores", "rank20"): "rank-20",
    ("losses", "own modality"): "Loss: own modality",
    ("training", "lr"): "Learning rate",
    ("training", "gradient"): "Gradient norm",
    ("training", "images_per_second"): "Images a second",
    ("training", "gpu_memory"): "GPU memory, bytes",
    ("training", "silhouette"): "Silhouette of the camera stage's labels",
    ("seconds", "seconds"): "Seconds of each phase",
}
MODALITIES = {"vis": "visible", "inf": "infrared"}


def title_of(topic: str, name: str) -> str:
    """Of a family of figures; a name that nobody has put into words stands as it is."""
    if known := TITLES.get((topic, name)):
        return known
    words = name.replace("_", " ")
    if topic != "losses":
        return words
    if way := re.fullmatch(r"(vis|inf)-(vis|inf)_(deep|shallow)", name):
        words = f"neighbours, {MODALITIES[way[1]]} to {MODALITIES[way[2]]}, {way[3]} branch"
    elif own := re.fullmatch(r"(visible|infrared)_(deep|shallow)", name):
        words = f"own cluster, {own[1]}, {own[2]} branch"
    return f"Loss: {words}"
