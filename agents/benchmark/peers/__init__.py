"""Other people's packages that the benchmark runs beside this one, each in a virtual environment of its own."""
