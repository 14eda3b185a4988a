"""The live trader and a local exchange in one process and in virtual time: for rehearsals, faults and parity."""
