"""`opentsm card`: the host for test cards, over any link.

`cli` names the subcommands, each in a module of its own subject, imported when it is used. `desk` opens what a
subcommand works at; `manager` talks to the card; `channels` picks the secure channel by what the card answers;
`key_sources` finds keys; `safety` and `failures` keep a card from being bricked.
"""
