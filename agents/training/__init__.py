"""A training: the environment as the learner sees it, the learners, their run from beginning to end, and its log."""
