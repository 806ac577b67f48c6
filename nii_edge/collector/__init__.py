"""The central side: archives what the edges report, gives receipts, and serves subscribers."""
