"""A service provider's TSM: it holds the provider's keys and accounts, and wraps its own scripts.

`SpTsm` is the library, `opentsm sp` the command. `durable` makes operations survive a kill, `session` computes secure
channels ahead, `rotation`, `accounts` and `work` are the operations, `store` and `client` their two ends.
"""

from opentsm_tsm.sp.personalization import Account
from opentsm_tsm.sp.tsm import SpTsm

__all__ = ["Account", "SpTsm"]
