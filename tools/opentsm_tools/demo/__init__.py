"""`opentsm demo`: the whole system on one machine, every sequence, and a check that reads each SE itself.

`world` makes keys, certificates and configurations and runs the processes; `tap` stands between each agent and its SE
and can cut at an exact command; `sequences` are the steps; `inspection` reads an SE with its keys and as a payment
reader; `model` says what an SE must hold; `report` shows it.
"""
