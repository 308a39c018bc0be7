"""Write SYSU-MM01's training copy (rgb_modify/, ir_modify/) into its folder and print what was found there."""

from tokenmatcher.cli import run
from tokenmatcher.commands.prepare import main

if __name__ == "__main__":
    run(lambda: main("sysu"))
