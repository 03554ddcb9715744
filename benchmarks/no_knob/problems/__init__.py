"""The problems, by name."""

from benchmarks.no_knob.problem import Problem
from benchmarks.no_knob.problems import images, penn_treebank, planted, regression, text

PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (
        *planted.PROBLEMS,
        regression.FRIEDMAN,
        text.SENTENCES,
        images.CONVOLUTIONS,
        images.FASHION_MNIST,
        penn_treebank.SMALL,
    )
}
# Takes hours on two cores, so it is only run if it is asked for.
ON_REQUEST = (penn_treebank.SMALL.name,)
