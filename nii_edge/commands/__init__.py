"""What the longer commands do between reading their options and printing: progress bars, tables."""
