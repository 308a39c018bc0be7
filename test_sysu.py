"""Test on SYSU-MM01: python test_sysu.py --help"""

from tokenmatcher.cli import run
from tokenmatcher.commands.test import main

if __name__ == "__main__":
    run(lambda: main("sysu"))
