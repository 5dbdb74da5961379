"""What watches the house from outside the calls: metrics, traces, and the set-up of the log."""
