"""The report: one HTML file that holds everything and asks nothing of the network."""
