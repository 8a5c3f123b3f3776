"""Graphs drawn for teaching: slide pictures, a page that steps through backprop, formulas and tables."""
