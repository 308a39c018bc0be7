"""Train on one trial of RegDB: python train_regdb.py --help"""

from tokenmatcher.cli import run
from tokenmatcher.commands.train import main

if __name__ == "__main__":
    run(lambda: main("regdb"))
