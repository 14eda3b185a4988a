"""What tells skill from luck, in NumPy alone: intervals, Sharpe ratios, deflation, overfitting."""
