"""`opentsm demo`: the whole system on one machine, every sequence, and a check that reads each SE itself.

`cast` names who takes part, `folders` makes their keys and configurations, `world` runs their processes, and `tap`
stands between each agent and its SE and can cut at an exact command. `sequences` are the steps, played on a `stage`;
`model` says what each SE must then hold, `inspection` reads it with its keys and, by `reader`, as a payment terminal.
`comparison` holds what the central TSM believes against it, and `report` shows everything.
"""
