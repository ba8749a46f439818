"""The on-device agent: links to secure elements, the relay, its journal."""
