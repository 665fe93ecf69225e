"""What attack and overload do to the served application, counted part by part; each part returns its figures."""
