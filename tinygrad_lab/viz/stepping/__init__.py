"""The page that steps through a forward and backward pass: what it records, asks, explains and shows."""
