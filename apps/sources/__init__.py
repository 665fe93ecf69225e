"""Sources of posts that a monitor reads by itself, behind one protocol: folders, feeds, Redis streams."""
