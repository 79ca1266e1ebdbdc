"""What `make bench` runs: ratios measured in one run, against what a script would do."""
