"""Test on SYSU-MM01: python test_sysu.py --help"""

from tokenmatcher.cli import run
from tokenmatcher.evaluation.main import test_sysu as main

if __name__ == "__main__":
    run(main)
