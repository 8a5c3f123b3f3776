"""Formulas: parsed, evaluated on the numbers of a graph, typeset, and put together to the chain rule of a loss."""
