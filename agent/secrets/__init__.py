"""Opens sealed secrets, as a program of root that PID 1 starts for each change and that nothing else talks to."""
