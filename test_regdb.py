"""Test on RegDB: python test_regdb.py --help"""

from tokenmatcher.cli import run
from tokenmatcher.evaluation.main import test_regdb as main

if __name__ == "__main__":
    run(main)
