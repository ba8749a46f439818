"""The `opentsm` command, the demo, the doctor, and the test-rig plugin."""
