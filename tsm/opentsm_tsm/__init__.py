"""The central TSM, a mobile network's push gateway, and the SP TSM."""
