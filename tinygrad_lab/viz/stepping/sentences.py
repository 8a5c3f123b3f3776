"""One sentence for every step: what an op does, and why its gradient is what it is.

What this file lets you do: `forward(op)` and `backward(op)` return a sentence, `mistake(op)` what people get wrong
there most often. Ops are listed by name in families; for one that is in no family, its docstring and its formula speak.
"""

from __future__ import annotations

from typing import Any

__all__ = ["backward", "forward", "mistake"]

# names: (forward, backward, the usual mistake)
_FAMILIES: dict[str, tuple[str, str, str]] = {
    "add": (
        "Add the two, element by element.",
        "Addition hands the incoming gradient to both inputs unchanged.",
        "dividing the gradient between the inputs: each of them gets all of it",
    ),
    "sub": (
        "Subtract the second from the first, element by element.",
        "The first input gets the incoming gradient, the second gets it with the sign turned.",
        "forgetting the minus for the second input",
    ),
    "mul": (
        "Multiply the two, element by element.",
        "Product rule: each input gets the incoming gradient times the OTHER input.",
        "multiplying by the input's own value instead of the other's",
    ),
    "div": (
        "Divide the first by the second, element by element.",
        "The numerator gets the gradient divided by b; the denominator gets −g·y/b, for y = a/b falls as b grows.",
        "forgetting the minus for the denominator",
    ),
    "neg": ("Turn the sign.", "The sign of the gradient is turned as well.", "forgetting the minus"),
    "matmul product": (
        "Matrix product: rows of the first with columns of the second.",
        "Multiply the incoming gradient by the OTHER input, transposed. The shapes leave only one way to do it.",
        "forgetting to transpose, or multiplying from the wrong side",
    ),
    "linear": (
        "A linear layer: every row of X times the weights (one row of W per output), plus the bias.",
        "X gets the gradient times W, W gets the gradient transposed times X, and the bias, which was copied to every "
        "row of the batch, gets the sum over the rows.",
        "forgetting to sum the bias over the batch, or a missing transpose",
    ),
    "contract": (
        "Einsum: multiply the operands and sum over the indices that the output does not have.",
        "Each operand gets the einsum of the incoming gradient with all the others.",
        "keeping an index that must be summed",
    ),
    "relu": (
        "Keep what is positive, replace the rest by 0.",
        "The gate is open where the output is positive, and closed elsewhere: closed gates pass 0.",
        "passing the gradient through closed gates",
    ),
    "relu6 hardtanh hardsigmoid clamp_min clamp_max threshold hardswish": (
        "Cut the values off at a bound.",
        "Where the value was cut off the output no longer depends on it, so no gradient passes there.",
        "passing the gradient where the value was cut off",
    ),
    "leaky_relu elu celu selu silu gelu mish softplus logsigmoid": (
        "Apply the activation to each element.",
        "Each element's gradient is multiplied by the slope of the activation at that element.",
        "using the slope at the output instead of at the input",
    ),
    "sigmoid": (
        "Squash each element into (0, 1).",
        "The slope is y(1 − y): at most 1/4, and nearly 0 where the unit is saturated.",
        "writing x(1 − x) with the input instead of the output",
    ),
    "tanh": (
        "Squash each element into (−1, 1).",
        "The slope is 1 − y²: 1 at 0, and nearly 0 where the unit is saturated.",
        "forgetting the square",
    ),
    "exp2 expm1": (
        "Exponential of each element.",
        "An exponential's slope is, but for a factor, the output again.",
        "",
    ),
    "log1p log2 log10": (
        "Logarithm of each element.",
        "The slope falls as 1/a: small inputs make large gradients.",
        "",
    ),
    "reciprocal rsqrt": (
        "One over each element, or over its square root.",
        "It falls as the input grows, so the sign turns; near 0 the slope is very steep.",
        "forgetting the minus",
    ),
    "sin cos tan asin acos atan sinh cosh erf": (
        "Apply the function to each element.",
        "Each element's gradient is multiplied by the slope of the function at that element.",
        "losing the sign: cos falls where sin is positive",
    ),
    "atan2 hypot": (
        "Angle or distance of a point from its two coordinates.",
        "Each coordinate gets the gradient times how fast the angle or distance changes along it.",
        "",
    ),
    "logaddexp": ("A smooth maximum of the two.", "The larger of the two gets most of the gradient: its share.", ""),
    "xlogy": ("a times the logarithm of b.", "Product rule: a gets ln b, b gets a/b, each times the gradient.", ""),
    "lerp": (
        "A point on the way from a to b.",
        "The ends share the gradient by the weight; the weight gets it times the way from a to b.",
        "",
    ),
    "remainder": (
        "What is left of a after division by b.",
        "a gets the gradient as it is; b loses it once for each whole time it fits into a.",
        "",
    ),
    "nan_to_num": ("Replace what is not finite.", "What was replaced no longer depends on the input: it gets 0.", ""),
    "norm": (
        "The length of a vector.",
        "The gradient points along the vector itself, scaled to length 1: a/‖a‖. At 0 it is not defined.",
        "forgetting to divide by the norm",
    ),
    "tril triu": (
        "Keep one triangle of a matrix, 0 elsewhere.",
        "Only what was kept influences the result: the gradient is cut to the same triangle.",
        "",
    ),
    "recurrence": (
        "Each element takes in what the one before it has become.",
        "Gradients run through the sequence backwards: each element hands its share to the one before it.",
        "stopping after one step",
    ),
    "minus_one_hot": ("Subtract 1 at the right class.", "A constant was subtracted: the gradient is unchanged.", ""),
    "on_diagonal place_max window_spread conv2d_input conv2d_weight": (
        "The way back of another op, itself run forward here.",
        "The way back of a way back is the op's own way forward.",
        "",
    ),
    "exp": ("Exponential of each element.", "The slope of eˣ is eˣ itself, that is the output.", ""),
    "log": (
        "Natural logarithm of each element.",
        "The slope of ln a is 1/a: small inputs make large gradients.",
        "multiplying by a instead of dividing",
    ),
    "sqrt": (
        "Square root of each element.",
        "The slope is 1/(2√a), which is infinite at 0.",
        "forgetting the 2",
    ),
    "pow square": (
        "Raise each element to a power.",
        "Power rule: bring the exponent down and lower it by one.",
        "forgetting to lower the exponent",
    ),
    "abs": ("Absolute value.", "The slope is the sign of the input: +1, −1, or 0 at 0.", "forgetting the sign"),
    "sum sum_rows": (
        "Add up the elements.",
        "Every element counts once in the sum, so every element gets the same gradient, copied.",
        "dividing by the number of elements: that is the mean",
    ),
    "mean": (
        "Average of the elements.",
        "Every element counts 1/n in the mean, so every element gets 1/n of the gradient.",
        "forgetting the 1/n",
    ),
    "var std": (
        "How far the elements spread around their mean.",
        "An element's gradient grows with its distance from the mean.",
        "forgetting that the mean depends on the elements too (it cancels out)",
    ),
    "amax amin max_at median_of_all": (
        "Pick an extreme or middle element.",
        "Only the element that was picked influences the result, so it gets the gradient, the others 0; ties share it.",
        "giving the gradient to all elements",
    ),
    "prod cumprod": (
        "Multiply the elements together.",
        "An element's gradient is the product of all the OTHERS.",
        "dividing the product by the element, which fails at 0",
    ),
    "cumsum": ("Running sum.", "An element is in its own and all later sums: their gradients add up.", ""),
    "maximum minimum": (
        "Take the larger (or the smaller) of the two, element by element.",
        "The one that was taken gets the gradient, the other 0.",
        "giving the gradient to both",
    ),
    "where masked_fill": (
        "Choose element by element, as the condition says.",
        "The gradient goes to the side each element was taken from, and 0 to the other.",
        "giving the gradient to both sides",
    ),
    "reshape view permute transpose flip roll diagonal": (
        "The same numbers, arranged differently.",
        "Numbers were only moved, so their gradients are moved back.",
        "leaving the gradient in the arrangement of the output",
    ),
    "expand repeat": (
        "Copy the input to a larger shape.",
        "Each number was used in several places, so its gradient is the sum over the copies.",
        "forgetting to sum over the copies",
    ),
    "sum_to_size": ("Sum the copies.", "Every copy gets the gradient of the sum.", ""),
    "cat stack": (
        "Join tensors into one.",
        "The gradient is cut up again: each input gets the part it contributed.",
        "mixing up the order of the parts",
    ),
    "getitem gather index_select embedding constant_pad at_labels patches": (
        "Pick elements by index.",
        "Gradients go back to where the elements came from; what was not picked gets 0, and what was picked several "
        "times gets the sum.",
        "overwriting instead of adding where an element was picked twice",
    ),
    "setitem put scatter_add index_add add_at add_elements add_slices spread_patches": (
        "Write or add values at given places.",
        "What was written gets the gradient of its place; what was overwritten gets 0.",
        "giving overwritten elements a gradient",
    ),
    "conv2d": (
        "Slide the kernels over the image; at each place, multiply and sum.",
        "The image gets the gradient convolved with the flipped kernels; a kernel gets, for each weight, the products "
        "of the gradient with all the pixels it met, summed over places and batch.",
        "forgetting to sum over the batch and the places",
    ),
    "max_pool2d": (
        "Keep the largest element of every window.",
        "The largest element of each window gets that window's gradient, the others 0.",
        "giving the gradient to all elements of the window",
    ),
    "window_sum": ("Sum over every window.", "Each element gets the gradients of all windows it is in.", ""),
    "softmax": (
        "Turn each row of scores into probabilities that sum to 1.",
        "Raising one score lowers all other probabilities, so their gradients are subtracted, weighted by y.",
        "treating the elements as independent: y(1 − y) is only the diagonal",
    ),
    "log_softmax": (
        "Logarithms of the softmax probabilities.",
        "Each row gets its gradient minus the probabilities times the row's sum: with a one-hot target this becomes "
        "p − y.",
        "forgetting that all scores of a row are coupled",
    ),
    "logsumexp": ("A smooth maximum.", "Its gradient is the softmax: large scores get most of it.", ""),
    "nll_loss": (
        "Minus the log-probability of the right class, averaged over the batch.",
        "Only the right class of each row is looked at: it gets −1/N, every other class 0.",
        "forgetting the minus or the 1/N",
    ),
    "label_cross_entropy": (
        "Softmax, then minus the log-probability of the right class, averaged over the batch.",
        "Everything collapses to (p − one-hot)/N: the predicted probabilities, minus 1 at the right class.",
        "forgetting the 1/N, or subtracting the 1 in the wrong place",
    ),
    "mse_loss": (
        "Mean of the squared differences.",
        "The gradient points from the target to the prediction, 2/n times the difference.",
        "forgetting the 2 or the 1/n",
    ),
    "l1_loss huber_loss": (
        "Mean size of the differences.",
        "The gradient is the sign of the difference (near 0 the Huber loss softens it), divided by n.",
        "forgetting the 1/n",
    ),
    "binary_cross_entropy binary_cross_entropy_with_logits": (
        "Minus the log-probability of the right answer, averaged.",
        "With logits everything collapses to (σ(a) − t)/n: predicted minus true.",
        "forgetting the 1/n",
    ),
    "standardize": (
        "Normalise to mean 0 and variance 1, then scale and shift.",
        "Mean and variance depend on all the elements, so a part of the gradient along both is taken away.",
        "treating mean and variance as constants",
    ),
    "clone to_dtype frac": ("The same values.", "The gradient passes through unchanged.", ""),
    "ceil floor round sign trunc": (
        "Steps of a staircase.",
        "A staircase is flat almost everywhere: the gradient is 0.",
        "",
    ),
    "function_output": ("One of the outputs of a function.", "Its gradient is handed to the function.", ""),
}
_OF = {name: family for names, family in _FAMILIES.items() for name in names.split()}


def _first_sentence(op: Any) -> str:
    text = " ".join((getattr(op, "__doc__", "") or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "." if text and hasattr(op, "forward") else ""


def forward(op: Any) -> str:
    """What the op does.

    >>> from tinygrad_lab.ops.declare import registry
    >>> forward(registry["relu"])
    'Keep what is positive, replace the rest by 0.'
    """
    if op.name in _OF:
        return _OF[op.name][0]
    return _first_sentence(op) or f"The forward of {op.name}, written by hand."


def backward(op: Any) -> str:
    """Why the gradients of its inputs are what they are."""
    if op.name in _OF:
        return _OF[op.name][1]
    if not hasattr(op, "forward"):
        return f"The backward of {op.name}, written by hand, is given the incoming gradient."
    return "Chain rule: the incoming gradient times the derivative of the output with respect to the input."


def mistake(op: Any) -> str:
    """What is got wrong here most often; "" where nothing stands out."""
    return _OF[op.name][2] if op.name in _OF else ""
