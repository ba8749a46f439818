"""A mobile network's push gateway, which also holds the keys of its UICCs' issuer security domains.

`config` reads mno.toml, `hub` knows which devices are attached and wakes them, `issuer` computes scripts for the
issuer security domain of a UICC and verifies their answers, `store` keeps what must outlive the process, `app` is the
HTTPS side.
"""

from opentsm_tsm.mno.config import MnoConfig, load_config

__all__ = ["MnoConfig", "load_config"]
