"""Trains a law on a data set and writes its artefact.

A checkpoint beside the artefact holds network, optimiser, random state and loss curve; --resume goes on from it, also
after an interruption (Ctrl-C, SIGTERM), which writes one, but no artefact, before leaving. Errors are relative L2 over
time and components jointly, per path.
"""

import argparse
import re
import signal
import sys
from pathlib import Path

from cases.options import OptionError, command_parser, count, natural, new_file, positive, user_errors
from fem.folder import alone_with
from learning.pytorch import torch
from learning.train_pca_net import PcaNetTraining
from learning.train_recurrent import RecurrentTraining
from learning.training import CHECKPOINT, Training

KINDS: dict[str, type[Training]] = {training.kind: training for training in (RecurrentTraining, PcaNetTraining)}
EXAMPLE = "python -m learning.train --kind recurrent --data train --test test --output recurrent.npz --iterations 20000"


def parser(kind: str) -> argparse.ArgumentParser:
    """The options common to all kinds, and those of one."""
    p = command_parser("train", __doc__, EXAMPLE, package="learning")
    p.add_argument("--kind", choices=KINDS, default=kind, help="which law; its own options are shown with it")
    p.add_argument("--data", required=True, metavar="FOLDER", help="data set of learning.generate to train on")
    p.add_argument("--test", metavar="FOLDER", help="data set of fresh paths to measure errors on")
    p.add_argument("--output", required=True, metavar="FILE.npz", help="the artefact; its curve and checkpoint beside")
    p.add_argument("--paths", type=count, metavar="N", help="use the first N paths only (default: all)")
    p.add_argument("--partial", action="store_true", help="take what is there of sets that are still being made")
    p.add_argument("--seed", type=natural, default=0, help="of initial weights and batches")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--threads", type=count, default=1, help="threads on a CPU")
    p.add_argument("--every", type=count, default=500, help="iterations from one test and checkpoint to the next")
    p.add_argument("--minutes", type=positive, help="stop after this long; --resume goes on")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    p.add_argument("--overwrite", action="store_true", help="replace the artefact and its checkpoint, begin anew")
    p.add_argument("--quiet", action="store_true", help="print nothing but errors")
    KINDS[kind].add_options(p)
    return p


def chosen_kind(arguments: list[str]) -> str:
    """The kind that the arguments name, which decides the other options."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--kind", default=RecurrentTraining.kind)
    kind = first.parse_known_args(arguments)[0].kind
    return kind if kind in KINDS else RecurrentTraining.kind


@user_errors
def main(arguments: list[str] | None = None) -> Path:
    """Train, and return the artefact's path."""
    given = sys.argv[1:] if arguments is None else arguments
    kind = chosen_kind(given)
    options = parser(kind).parse_args(given)
    options.arguments = given
    artefact = new_file(options.output, options.overwrite or options.resume, ".npz")
    new_file(artefact.with_suffix(CHECKPOINT), options.overwrite or options.resume)
    if not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise OptionError(f"--device {options.device}: give cpu, cuda or cuda:N")
    if options.device != "cpu" and not torch.cuda.is_available():
        raise OptionError(f"--device {options.device}: torch finds no GPU here (torch.cuda.is_available() is False)")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with alone_with(artefact):
        return train(KINDS[kind], options)


def train(kind: type[Training], options: argparse.Namespace) -> Path:
    """Train, and write the artefact; leaves with 130 where told to stop before the end."""
    training = kind.begin(options)
    if options.resume:
        training.resume()
    training.check_test()
    if not options.resume:
        training.save()  # from now on it is this training that --resume finds
    before = {number: signal.signal(number, training.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        training.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if training.stopped and training.iteration < training.iterations:
        done = f"{training.iteration} of {training.iterations} iterations"
        print(f"interrupted after {done}: the same command with --resume goes on", file=sys.stderr)
        sys.exit(130)
    return training.write_artefact()


if __name__ == "__main__":
    main()
