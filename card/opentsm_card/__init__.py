"""What a card speaks: bytes to types and back, with no input or output.

Commands, responses, secure channels and formats are values and pure functions, so the same code plans
scripts in the central TSM, runs a card manager, and checks what the virtual card says.
"""

__version__ = "0.1.0"
