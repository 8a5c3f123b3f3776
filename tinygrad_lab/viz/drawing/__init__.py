"""A picture drawn: cards and edges as SVG, and the other forms, text, JSON, DOT, pages and images."""
