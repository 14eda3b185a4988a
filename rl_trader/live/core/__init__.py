"""The core: an event comes in, the state changes, commands come out; no clock, no chance, no input or output."""
