"""What turns token ids into token ids; chat and text models know the interface only."""
