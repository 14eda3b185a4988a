"""The figures of ``scripts.bench``: lines, each measured beside its peer or limit in the same run."""
