"""From a recorded graph to a picture: reading it, naming its tensors, folding it to a size that can be read."""
