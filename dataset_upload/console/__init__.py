"""What all commands share: how they read options, end, log, show progress and take interrupts."""
