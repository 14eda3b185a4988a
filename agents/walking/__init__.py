"""Walk-forwards and combinatorial folds: trainings on one stretch of time, tested on the next."""
