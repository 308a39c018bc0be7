"""Train on SYSU-MM01: python train_sysu.py --help"""

from tokenmatcher.cli import run
from tokenmatcher.commands.train import main

if __name__ == "__main__":
    run(lambda: main("sysu"))
