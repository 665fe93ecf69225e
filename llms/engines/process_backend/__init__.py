"""Engine in a process of its own: one that hangs or breaks takes nothing else with it, and is started anew."""
