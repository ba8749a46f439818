"""Kills hosts of virtual SEs in the middle of their work, and looks at what the card images kept."""
