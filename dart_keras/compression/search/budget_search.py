"""What each kind of budget asks of a model."""

from dart_keras.budgets import (
    ArenaBytes,
    FlashBytes,
    ModelBudget,
    MultiplyAdds,
    Parameters,
    RelativeError,
)
from dart_keras.compression.search.balanced import solve_balanced
from dart_keras.compression.search.file_size import remeasured, solve_file
from dart_keras.compression.search.model_costs import (
    Costs,
    multiply_add_costs,
    parameter_costs,
    unchangeable_part,
)
from dart_keras.compression.search.solution import Solution, solve_cost, solve_tolerance
from dart_keras.compression.search.student import StudentBuilder


def solve(builder: StudentBuilder, budget: ModelBudget, with_balanced: bool) -> list[Solution]:
    """Return the solution that does the least damage within a budget.

    Args:
        builder: Of the model.
        budget: The limit.
        with_balanced: Whether a second solution, of balanced TT matrices, is wanted as well; there
            is one for budgets of parameters and multiply-adds only, and not always.

    Raises:
        ValueError: If the budget is out of reach, with the smallest that can be reached.
    """
    match budget:
        case Parameters():
            return _within(builder, parameter_costs(builder), budget, with_balanced)
        case MultiplyAdds():
            return _within(builder, multiply_add_costs(builder), budget, with_balanced)
        case FlashBytes() | ArenaBytes():
            return [solve_file(builder, budget)]
        case RelativeError():
            return [solve_tolerance(builder, budget.tolerance)]


def after_training(
    builder: StudentBuilder, budget: ModelBudget, solution: Solution
) -> Solution | None:
    """Return a solution whose weights have changed, `None` if it no longer keeps to the budget."""
    match budget:
        case FlashBytes() | ArenaBytes():
            return remeasured(builder, budget, solution)
    return solution


def _within(
    builder: StudentBuilder, costs: Costs, budget: Parameters | MultiplyAdds, with_balanced: bool
) -> list[Solution]:
    if costs.smallest > budget.n:
        raise ValueError(
            f"Expected a budget of at least {type(budget)(costs.smallest)}, which the smallest "
            "factorizations of all layers and the rest of the model take"
            f"{unchangeable_part(costs)}. Received: {budget}"
        )
    solution = solve_cost(builder, costs, budget.n)
    if not with_balanced:
        return [solution]
    factorizations = [new.factorization for new in solution.fitted]
    balanced = solve_balanced(builder, costs, budget.n, factorizations)
    return [solution] if balanced is None else [solution, balanced]
