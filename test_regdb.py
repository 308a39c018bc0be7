"""Test on RegDB: python test_regdb.py --help"""

from tokenmatcher.cli import run
from tokenmatcher.commands.test import main

if __name__ == "__main__":
    run(lambda: main("regdb"))
