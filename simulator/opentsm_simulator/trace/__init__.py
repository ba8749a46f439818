"""What a virtual SE executed and wrote: coverage of its packages' code, and what each command did.

`recorder` listens to cards, `report` puts together what it heard, `html` and `files` show it; `cli` is `opentsm se
trace`.
"""
