"""The judge. Pure: a record of what clients did and were told goes in, findings come out."""
