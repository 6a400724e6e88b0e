"""The six states of a provisioning, one short file each."""
