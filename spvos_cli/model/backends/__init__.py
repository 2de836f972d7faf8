"""Other engines for what is dense in every frame. PyTorch's modules are the definition, and run where an
engine is not installed."""
