"""Small networks whose weights are one flat vector, with forward, gradient and optimiser written out by hand."""
